"""The trial on a model disk notices a ledger that SQLite's defaults would make: each setting of ours is needed."""

import sqlite3
from pathlib import Path

import pytest

from soma_core.testing.component import component
from soma_core.testing.ledger_power import ledger_opener
from soma_core.testing.power import Case, try_ledger
from soma_core.testing.sqlite_disk import sqlite_on

TRIALS = 150


def verdicts(case: Case, directory: Path) -> set[str]:
    opened = ledger_opener(component("ledger-sqlite"), directory)
    return {try_ledger(opened, sqlite_on, case, seed).verdict for seed in range(TRIALS)}


@pytest.mark.parametrize(
    ("case", "ours", "without"),
    [
        ("power loss", "synchronous = EXTRA", "synchronous = OFF"),
        ("power loss", "synchronous = EXTRA", "synchronous = FULL"),
        ("kill", "journal_mode = DELETE", "journal_mode"),
    ],
)
def test_each_setting_is_needed(
    case: Case, ours: str, without: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changed(sqlite3.Connection):
        def execute(self, sql: str, *more: object) -> sqlite3.Cursor:  # type: ignore[override]
            return super().execute(sql.replace(ours, without), *more)  # type: ignore[arg-type]

    real = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **more: real(*args, factory=Changed, **more))
        assert verdicts(case, tmp_path) - {"held"}
    assert verdicts(case, tmp_path) == {"held"}
