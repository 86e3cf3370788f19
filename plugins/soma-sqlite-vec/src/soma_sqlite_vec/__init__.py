"""``index-sqlite-vec``: vectors in one SQLite database, compared by the functions of sqlite-vec."""

from attrs import frozen

from soma_core.api import Context, Index, IndexSpec, hookimpl, option

__all__ = ["SqliteVecConfig", "soma_index"]


@frozen
class SqliteVecConfig:
    """Settings of ``[index.sqlite-vec]``. Durability is not one of them."""

    cache_mb: int = option(64, "memory for pages of the database, MiB", min=1, max=65_536)


@hookimpl
def soma_index() -> IndexSpec[SqliteVecConfig]:
    """``index-sqlite-vec``: durable, and nothing is approximate."""
    return IndexSpec(api=1, config=SqliteVecConfig, open=open_index, features=frozenset({"durable"}))


def open_index(config: SqliteVecConfig, context: Context) -> Index:
    """The index in ``<directory>/vectors.sqlite``.

    Raises `OSError` if it is in use or another program's, `CorruptionError` if damaged.
    """
    from ._index import SqliteVecIndex

    return SqliteVecIndex(context.directory, cache_mb=config.cache_mb)
