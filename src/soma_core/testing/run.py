"""Running a suite without a test file, as ``soma conformance`` does."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
from attrs import field, frozen

import soma_core.testing

from .outcome import Outcome
from .suite import check_known

SUITES: Final = {
    "consensus": "ConsensusSuite",
    "transport": "TransportSuite",
    "ledger": "LedgerSuite",
    "encoder": "EncoderSuite",
    "scoring": "ScoringSuite",
    "tokenizer": "TokenizerSuite",
    "coder": "CoderSuite",
    "index": "IndexSuite",
}
"""Kind of plugin → its suite in `soma_core.testing`."""

_ARGUMENTS: Final = ("--import-mode=importlib", "-p", "no:terminal", "-p", "no:cacheprovider")
_PASSES: Final = "[XPASS(strict)] "
"""How pytest begins what it says of a case that was expected to fail."""
_SETTINGS: Final = "[pytest]\ntrio_mode = true\nfilterwarnings = error\nxfail_strict = true\n"


def run_suite(
    kind: str, plugin: str, config: Mapping[str, object], known: Mapping[str, str] = MappingProxyType({})
) -> list[Outcome]:
    """Every test of the suite of `kind` for the component `plugin` under `config` (plain values).

    `known`: failures that are expected, with their reasons. Raises `ValueError` if one of them names no test.
    """
    suite = SUITES[kind]
    source = (
        f"from soma_core.testing import {suite}\n\n\n"
        f"class Test{suite}({suite}):\n    plugin = {plugin!r}\n    config = {dict(config)!r}\n"
        f"    known_failures = {dict(known)!r}\n"
    )
    recorder = _Recorder()
    with tempfile.TemporaryDirectory(prefix="soma-conformance-") as directory:
        base = Path(directory)
        module = f"test_{base.name.replace('-', '_')}"  # of its own: pytest would take up one imported before
        (base / "pytest.ini").write_text(_SETTINGS, "utf-8")
        (base / f"{module}.py").write_text(source, "utf-8")
        pytest.main(
            [*("-c", str(base / "pytest.ini")), *("--rootdir", directory), *_ARGUMENTS, str(base)],
            plugins=[recorder],
        )
    sys.modules.pop(module, None)
    check_known(getattr(soma_core.testing, suite), known)  # only now: pytest wants to be there before what it imports
    return recorder.outcomes


@frozen
class _Recorder:
    """Collects reports. A failure to set up or to collect is a failure of the case."""

    outcomes: list[Outcome] = field(factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            why = report.longreprtext.replace(_PASSES, "it passes, and is named as a known failure: ")
            self.outcomes.append(Outcome(name, "failed", why))
        elif hasattr(report, "wasxfail"):
            self.outcomes.append(Outcome(name, "known", report.wasxfail))
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            self.outcomes.append(Outcome(name, "skipped", reason))
        elif report.when == "call":
            self.outcomes.append(Outcome(name, "passed"))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcomes.append(Outcome(report.nodeid or "collection", "failed", report.longreprtext))
