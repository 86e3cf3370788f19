"""`ledger-memory` is held to what every ledger is held to."""

from soma_core.testing import LedgerSuite


class TestLedgerMemory(LedgerSuite):
    plugin = "ledger-memory"
