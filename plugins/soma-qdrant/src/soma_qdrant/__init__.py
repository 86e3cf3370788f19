"""``index-qdrant``: Qdrant in this process, or a Qdrant server."""

from attrs import frozen

from soma_core.api import Context, Index, IndexSpec, hookimpl, option

__all__ = ["QdrantConfig", "soma_index"]


@frozen
class QdrantConfig:
    """Settings of ``[index.qdrant]``."""

    url: str = option("", "where a server listens, such as http://localhost:6333; else Qdrant runs in this process")
    api_key: str = option("", "what the server asks for", secret=True)
    collection: str = option("", "the server's collection; else one that only this directory knows")
    timeout: int = option(30, "seconds that an answer may take", min=1, max=3600)


@hookimpl
def soma_index() -> IndexSpec[QdrantConfig]:
    """``index-qdrant``: durable, approximate. Tested in this process; a server after its documentation alone."""
    return IndexSpec(
        api=1,
        config=QdrantConfig,
        open=open_index,
        features=frozenset({"durable", "approximate"}),
        needs=frozenset({"network"}),
    )


def open_index(config: QdrantConfig, context: Context) -> Index:
    """The index in ``<directory>/qdrant``, or the server's collection.

    Raises `OSError` if it is in use or no server answers, `CorruptionError` if Qdrant cannot read it.
    """
    from ._index import QdrantIndex

    return QdrantIndex(config, context.directory)
