"""`ledger-sqlite` is held to what every ledger is held to."""

from soma_core.testing import LedgerSuite


class TestLedgerSqlite(LedgerSuite):
    plugin = "ledger-sqlite"
