"""``index-chroma``: a Chroma that runs in this process and keeps its files in the index's directory."""

from attrs import frozen

from soma_core.api import Context, Index, IndexSpec, hookimpl, option

__all__ = ["ChromaConfig", "soma_index"]


@frozen
class ChromaConfig:
    """Settings of ``[index.chroma]``. A collection keeps those it was made with."""

    neighbours: int = option(32, "neighbours of a vector in the graph", min=4, max=128)
    ef_construction: int = option(200, "candidates that are looked at for each when the graph grows", min=8, max=4096)
    ef_search: int = option(128, "candidates of a search", min=8, max=4096)


@hookimpl
def soma_index() -> IndexSpec[ChromaConfig]:
    """``index-chroma``: durable, approximate."""
    return IndexSpec(api=1, config=ChromaConfig, open=open_index, features=frozenset({"durable", "approximate"}))


def open_index(config: ChromaConfig, context: Context) -> Index:
    """The index in ``<directory>/chroma``. Raises `OSError` if in use, `CorruptionError` if Chroma cannot read it."""
    from ._index import ChromaIndex

    return ChromaIndex(config, context.directory)
