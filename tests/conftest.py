"""Fails a whole run of ``tests`` in which a file of ``specs/vectors`` was not read (``specs/README.md``)."""

from pathlib import Path
from typing import Final

import pytest
import vectors

TESTS: Final = Path(__file__).resolve().parent
_NOT_READ: Final = pytest.StashKey[list[str]]()


def not_read(session: pytest.Session) -> list[str]:
    """Vector files that this run should have read and did not; none if only a part of the tests was asked for."""
    options = session.config.option
    if (
        options.keyword
        or getattr(options, "lf", False)
        or options.collectonly
        or session.shouldstop
        or session.shouldfail
    ):
        return []
    names = {path.name for path in vectors.DIRECTORY.glob("*.json")}
    collected = {item.path for item in getattr(session, "items", ())}
    if any(_names(path, names) and path not in collected for path in TESTS.rglob("test_*.py")):
        return []
    plugins = list(TESTS.parent.glob("plugins/*/tests/**/*.py"))
    return [name for name in vectors.unread() if not any(_names(path, {name}) for path in plugins)]


def _names(path: Path, names: set[str]) -> bool:
    source = path.read_text("utf-8")
    return any(f'"{name}"' in source for name in names)


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[_NOT_READ] = missing = not_read(session)
    if missing and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name in config.stash.get(_NOT_READ, []):
        terminalreporter.write_line(f"specs/vectors/{name}: no test reads it", red=True)
