"""The signer's record keeps its promises when the power goes; and the trial of it notices records that do not."""

import sqlite3
from pathlib import Path

import pytest
from power_world import try_slots

from soma_core.node._slots import SignedSlots
from soma_core.testing.power import CASES, Case


@pytest.mark.parametrize("case", CASES)
def test_no_promise_is_forgotten(case: Case, tmp_path: Path) -> None:
    for seed in range(40):
        outcome = try_slots(tmp_path / "signed.sqlite", case, seed)
        assert outcome.verdict == "held", f"{case}, seed {seed}: {outcome}"


class Unsynced(SignedSlots):
    """Lets signatures leave before the disk has them."""

    def _open(self) -> None:
        super()._open()
        self._file.execute("PRAGMA synchronous = OFF")


class Early(SignedSlots):
    """Says that it has committed, and commits with the next."""

    def commit(self) -> None:
        pass


class Loose(sqlite3.Connection):
    """SQLite's own default: the journal that was deleted may come back."""

    def execute(self, sql: str, *more: object) -> sqlite3.Cursor:  # type: ignore[override]
        return super().execute(sql.replace("EXTRA", "FULL"), *more)  # type: ignore[arg-type]


def loose(path: Path) -> SignedSlots:
    with pytest.MonkeyPatch.context() as patch:
        real = sqlite3.connect
        patch.setattr(sqlite3, "connect", lambda *args, **more: real(*args, factory=Loose, **more))
        return SignedSlots(path)


@pytest.mark.parametrize("record", [Unsynced, Early, loose])
def test_the_trial_notices(record: object, tmp_path: Path) -> None:
    verdicts = {try_slots(tmp_path / "signed.sqlite", "power loss", seed, record).verdict for seed in range(40)}
    assert "lost" in verdicts
