"""``index-weaviate``: a Weaviate server, spoken to by its documented REST and GraphQL API. Not tested on a live one."""

from attrs import frozen

from soma_core.api import Context, Index, IndexSpec, hookimpl, option

__all__ = ["WeaviateConfig", "soma_index"]


@frozen
class WeaviateConfig:
    """Settings of ``[index.weaviate]``."""

    url: str = option("http://localhost:8080", "where the server listens")
    api_key: str = option("", "what the server asks for", secret=True)
    collection: str = option("", "the server's collection, capital first; else one that only this directory knows")
    timeout: float = option(30.0, "seconds that an answer may take", min=0.1, max=3600)


@hookimpl
def soma_index() -> IndexSpec[WeaviateConfig]:
    """``index-weaviate``: approximate. Written after Weaviate's documentation, not tested on a live server."""
    return IndexSpec(
        api=1,
        config=WeaviateConfig,
        open=open_index,
        features=frozenset({"approximate"}),
        needs=frozenset({"network"}),
    )


def open_index(config: WeaviateConfig, context: Context) -> Index:
    """The server's collection. Raises `OSError` if no server answers, `ValueError` for a setting that cannot be."""
    from ._index import WeaviateIndex

    return WeaviateIndex(config, context.directory)
