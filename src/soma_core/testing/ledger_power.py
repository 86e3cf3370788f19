"""What a durable ledger must bear: the power goes, the disk fills or fails, at any moment, in recovery too."""

import logging
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest

from soma_core.api import Ledger, LedgerContext

from .component import Component
from .disk import Disk
from .power import CASES, Case, Mount, try_ledger
from .sqlite_disk import sqlite_on
from .suite import Suite

TRIALS = 25
"""Of each case, in the suite; ``nox -s power`` does thousands."""


class PowerSuite(Suite):
    """`storage` puts what the ledger stores on a model disk. Those that store through SQLite need not name theirs."""

    storage: ClassVar[Mount | None] = None

    @pytest.mark.parametrize("case", CASES)
    def test_keeps_what_it_acknowledged(self, case: Case, chosen: Component, tmp_path: Path) -> None:
        if "durable" not in chosen.spec.features:
            pytest.skip("does not declare `durable`")
        opened = ledger_opener(chosen, tmp_path)
        mount = type(self).storage or (sqlite_on if _uses_sqlite(opened) else None)
        if mount is None:
            pytest.skip("stores by other means than SQLite and names no `storage`: it is killed, and keeps its power")
        for seed in range(TRIALS):
            outcome = try_ledger(opened, mount, case, seed)
            assert outcome.verdict == "held", f"{case}, seed {seed}: {outcome.verdict}, {outcome.detail}"


def ledger_opener(chosen: Component, directory: Path) -> Callable[[], Ledger]:
    """Opens the component in `directory`, whatever disk that is on at the moment."""
    context = LedgerContext(chosen.name, directory, logging.getLogger("soma.test"), "chain")

    def opened() -> Ledger:
        ledger: Ledger = chosen.spec.open(chosen.config, context)
        return ledger

    return opened


def _uses_sqlite(opened: Callable[[], Ledger]) -> bool:
    disk = Disk(Random(0))
    with sqlite_on(disk):
        ledger = opened()
        ledger.write({b"a": b"1"})
        used = disk.operations > 0
        disk.off = True
        ledger.close()
    return used
