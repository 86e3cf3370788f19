"""``ledger-sqlite``: ordered keys and values in one SQLite file, on disk before `write` returns."""

from attrs import frozen

from soma_core.api import Ledger, LedgerContext, LedgerSpec, hookimpl, option

__all__ = ["SqliteConfig", "soma_ledger"]


@frozen
class SqliteConfig:
    """Settings of ``[ledger.sqlite]``. Durability is not one of them."""

    cache_mb: int = option(16, "memory for pages of the database, MiB", min=1, max=65_536)


@hookimpl
def soma_ledger() -> LedgerSpec[SqliteConfig]:
    """``ledger-sqlite``: durable, with snapshots."""
    return LedgerSpec(api=1, config=SqliteConfig, open=open_ledger, features=frozenset({"durable", "snapshot"}))


def open_ledger(config: SqliteConfig, context: LedgerContext) -> Ledger:
    """The ledger in ``<directory>/<database>.sqlite``. Raises `OSError` if in use, damaged or another program's."""
    from ._ledger import SqliteLedger

    return SqliteLedger(context.directory / f"{context.database}.sqlite", cache_mb=config.cache_mb)
