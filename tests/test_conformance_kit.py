"""The conformance kit itself: known failures are strict, features are held as they are declared, for every kind."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from constants import SPECS
from fake_distributions import forget, install

import soma_core.testing
from soma_core.api.spec import SPECS as KINDS
from soma_core.cli import main
from soma_core.testing import EncoderSuite, LedgerSuite, Outcome, run_suite
from soma_core.testing.component import component
from soma_core.testing.ledger import Opener
from soma_core.testing.run import SUITES

ENCODER = """
    from attrs import frozen
    from soma_core.api import EncoderInfo, EncoderSpec, NoConfig, hookimpl

    class Counting:
        info = EncoderInfo(dim=64)

        def __init__(self, config, context):
            import numpy
            self.np = numpy

        def encode(self, batch):
            out = self.np.ones((len(batch), 64), self.np.float32)
            for row, data in zip(out, batch):
                for byte in data:
                    row[byte % 64] += 1
            return out

        {methods}

    @hookimpl
    def soma_encoder():
        return EncoderSpec(api=1, config=NoConfig, open=Counting, features={features!r})
"""
ZERO = "out[[len(data) == 1 for data in batch]] = 0"
"""A fault: a byte alone has no direction."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SOMA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    forget(tmp_path)


Made = Callable[..., None]


@pytest.fixture
def make(world: Path) -> Made:
    """Install ``encoder-kit`` with methods beside `encode`, and the features that it declares."""

    def made(features: frozenset[str] = frozenset(), methods: str = "", source: str = ENCODER) -> None:
        text = source.replace("{methods}", methods).replace("{features!r}", repr(features))
        install(world, "soma-encoder-kit", {"encoder-kit": "soma_encoder_kit"}, {"soma_encoder_kit": text})

    return made


def outcomes(known: Mapping[str, str] | None = None) -> dict[str, Outcome]:
    return {one.name: one for one in run_suite("encoder", "encoder-kit", {}, known or {})}


def failed(found: Mapping[str, Outcome]) -> set[str]:
    return {name for name, one in found.items() if one.outcome == "failed"}


# Known failures -------------------------------------------------------------------------------------------------------


def test_a_known_failure_is_run_and_reported_with_its_reason(make: Made) -> None:
    make(source=ENCODER.replace("return out", f"{ZERO}\n            return out"))
    without = outcomes()
    broken = failed(without)
    assert "test_vectors_are_finite_rows_of_float32" in broken
    found = outcomes(dict.fromkeys(broken, "a byte alone has no direction, issue 7"))
    assert failed(found) == set()
    assert {name for name, one in found.items() if one.outcome == "known"} == broken
    known = found["test_vectors_are_finite_rows_of_float32"]
    assert (known.ok, known.detail) == (False, "a byte alone has no direction, issue 7")
    assert found.keys() == without.keys()


def test_a_known_failure_that_passes_is_a_failure(make: Made) -> None:
    make()
    found = outcomes({"test_info": "fixed long ago"})
    assert failed(found) == {"test_info"}
    assert found["test_info"].detail == "it passes, and is named as a known failure: fixed long ago"


def test_a_component_that_does_not_open_is_no_known_failure(make: Made) -> None:
    make(source=ENCODER.replace("import numpy", "raise OSError('no weights')"))
    assert "test_info" in failed(outcomes({"test_info": "it does not open"}))


@pytest.mark.parametrize("name", ["test_inof", "test_inof[1]", "info", "plugin", ""])
def test_a_name_that_no_test_has_is_refused(make: Made, name: str) -> None:
    make()
    with pytest.raises(ValueError, match="known failures of EncoderSuite: there is no"):
        outcomes({name: "reason"})
    with pytest.raises(ValueError, match="there is no"):
        type("TestKit", (EncoderSuite,), {"known_failures": {name: "reason"}})


def test_a_reason_is_needed() -> None:
    with pytest.raises(ValueError, match="test_info has no reason"):
        type("TestKit", (EncoderSuite,), {"known_failures": {"test_info": " "}})


def test_one_case_of_a_test_can_be_named_and_must_exist() -> None:
    case = "test_scan_includes_start_and_excludes_stop"
    known = {f"{case}[a-c]": "is not so", f"{case}[a-z]": "no such case"}
    found = {one.name: one for one in run_suite("ledger", "ledger-memory", {}, known)}
    assert failed(found) == {f"{case}[a-c]", "test_known_failures_name_cases"}
    assert f"no case is named {case}[a-z]" in found["test_known_failures_name_cases"].detail
    assert found[f"{case}[a-a]"].outcome == "passed"


def test_the_command_takes_known_failures(make: Made, capsys: pytest.CaptureFixture[str]) -> None:
    make(frozenset({"export"}))
    assert main(["conformance", "encoder-kit"]) == 6
    capsys.readouterr()
    assert main(["conformance", "encoder-kit", "--known", "test_export_as_declared=not yet = later", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["failed"], report["known"]) == (0, 1)
    case = next(case for case in report["cases"] if case["name"] == "test_export_as_declared")
    assert case == {**case, "ok": False, "outcome": "known", "detail": "not yet = later"}
    assert main(["conformance", "encoder-kit", "--known", "test_export_as_declared=not yet"]) == 0
    shown = capsys.readouterr().out
    assert "known  test_export_as_declared\n        not yet\n" in shown
    assert shown.endswith("0 failed, 0 skipped, 1 known to fail\n")
    assert main(["conformance", "encoder-kit", "--known", "test_export_as_declared=x", "--known", "test_info=y"]) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--known", "test_info"], "--known 'test_info' has no reason; write --known"),
        (["--known", "test_info= "], "has no reason"),
        (["--known", "=why"], "has no reason"),
        (["--known", "test_none=why"], "there is no test_none"),
        (["--known", "test_info=why", "--vectors", "file"], "--known does not go with --vectors"),
    ],
)
def test_the_command_refuses_known_failures_that_are_none(
    make: Made, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make()
    assert main(["conformance", "encoder-kit", *arguments]) == 2
    assert said in capsys.readouterr().err


# Features -------------------------------------------------------------------------------------------------------------


def declarable(kind: str) -> set[str]:
    """Features that a spec of this kind can name."""
    (literal,) = get_args(KINDS[kind].__annotations__["features"])
    return set(get_args(literal))


def test_every_feature_is_held_by_its_suite_or_cannot_be_declared() -> None:
    unheld = {kind: declarable(kind) - getattr(soma_core.testing, suite).capabilities for kind, suite in SUITES.items()}
    assert {kind: names for kind, names in unheld.items() if names} == {"transport": {"gossip"}}
    text = (SPECS / "60-plugins.md").read_text("utf-8")
    written = set(re.findall(r"^\| (\w+) \| `([a-z-]+)` \|", text, re.MULTILINE))
    assert written == {(kind, name) for kind in SUITES for name in declarable(kind)}


EVALUATE = """
        def evaluate(self, batch, seed):
            from soma_core.api import Evaluation
            return Evaluation(self.encode(batch){shift}, self.np.full(len(batch), {loss}))
"""
GRADIENT = """
        def gradient(self, batch, seed):
            return {"w": self.np.full(3, {value}, self.np.float32)}
"""
EXPORT = """
        def export(self, form):
            return {body}
"""


def lies() -> Iterator[Any]:
    honest = EVALUATE.replace("{shift}", "").replace("{loss}", "2.0")
    for name, methods in {
        "loss": honest,
        "gradient": GRADIENT.replace("{value}", "0.5"),
        "export": EXPORT.replace("{body}", "b'x' * 100"),
    }.items():
        yield pytest.param({name}, "", f"test_{name}_as_declared", id=f"{name} declared and absent")
        yield pytest.param(set(), methods, f"test_{name}_as_declared", id=f"{name} present and undeclared")
    broken = {
        "other vectors": EVALUATE.replace("{shift}", " + 1").replace("{loss}", "2.0"),
        "negative loss": EVALUATE.replace("{shift}", "").replace("{loss}", "-1.0"),
        "loss that is no number": EVALUATE.replace("{shift}", "").replace("{loss}", "float('nan')"),
    }
    for name, methods in broken.items():
        yield pytest.param({"loss"}, methods, "test_loss_as_declared", id=name)
    infinite = GRADIENT.replace("{value}", "float('inf')")
    yield pytest.param({"gradient"}, infinite, "test_gradient_as_declared", id="infinite gradient")
    double = GRADIENT.replace("{value}, self.np.float32", "0.5")
    yield pytest.param({"gradient"}, double, "test_gradient_as_declared", id="gradient of doubles")
    for name, body in {"nothing": "b''", "no safetensors": "b'x' * 100"}.items():
        export = EXPORT.replace("{body}", body)
        yield pytest.param({"export"}, export, "test_export_as_declared", id=f"{name} exported")


@pytest.mark.parametrize(("features", "methods", "case"), list(lies()))
def test_an_encoder_that_lies_about_a_feature_is_caught(
    make: Made, features: set[str], methods: str, case: str
) -> None:
    make(frozenset(features), methods)
    assert case in failed(outcomes())


def test_an_encoder_that_keeps_what_it_declares_passes(make: Made) -> None:
    methods = EVALUATE.replace("{shift}", "").replace("{loss}", "2.0") + GRADIENT.replace("{value}", "0.5")
    tensors = "__import__('soma_core.model').model.write_tensors({'w': self.np.ones(3, self.np.float32)})"
    make(frozenset({"loss", "gradient", "export"}), methods + EXPORT.replace("{body}", tensors))
    assert failed(outcomes()) == set()


def test_a_feature_without_a_check_cannot_be_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    from soma_core.testing import suite

    def declared(name: str, config: Mapping[str, object]) -> Any:
        chosen = original(name, config)
        return attrs.evolve(chosen, spec=attrs.evolve(chosen.spec, features=frozenset({"gossip"})))

    original = suite.component
    monkeypatch.setattr(suite, "component", declared)
    found = {one.name: one for one in run_suite("transport", "transport-memory", {})}
    assert failed(found) == {"test_declared_features_can_be_held"}
    assert "cannot hold a component to gossip" in found["test_declared_features_can_be_held"].detail


LEDGER = """
    import json
    from soma_core.api import LedgerSpec, NoConfig, hookimpl

    class Ledger:
        def __init__(self, config, context):
            self.path = context.directory / f"{context.database}.json"
            kept = json.loads(self.path.read_text()) if self.path.exists() else {}
            self.entries = {bytes.fromhex(key): bytes.fromhex(value) for key, value in kept.items()}

        def get(self, key):
            return self.entries.get(key)

        def scan(self, start, stop):
            yield from [(key, self.entries[key]) for key in sorted(self.entries) if start <= key < stop]

        def write(self, batch):
            batch = dict(batch)
            if not all(type(key) is bytes and (value is None or type(value) is bytes) for key, value in batch.items()):
                raise TypeError("bytes")
            self.entries = {key: v for key, v in {**self.entries, **batch}.items() if v is not None}
            {after_write}

        def keep(self):
            self.path.write_text(json.dumps({key.hex(): value.hex() for key, value in self.entries.items()}))

        def close(self):
            {at_close}

    @hookimpl
    def soma_ledger():
        return LedgerSpec(api=1, config=NoConfig, open=Ledger, features={features})
"""


@pytest.mark.parametrize(
    ("after_write", "at_close", "features", "caught"),
    [
        ("self.keep()", "pass", "{'durable'}", set()),
        ("pass", "pass", "()", set()),
        ("pass", "self.keep()", "{'durable'}", {"test_durable_needs_no_close"}),
        ("pass", "self.keep()", "()", {"test_durable_as_declared"}),
        ("pass", "pass", "{'durable'}", {"test_durable_as_declared", "test_durable_needs_no_close"}),
        ("self.keep()", "pass", "{'durable', 'snapshot'}", {"test_snapshot_as_declared"}),
    ],
)
def test_a_ledger_that_lies_about_what_it_keeps_is_caught(
    world: Path, after_write: str, at_close: str, features: str, caught: set[str]
) -> None:
    source = LEDGER.replace("{after_write}", after_write).replace("{at_close}", at_close)
    source = source.replace("{features}", features)
    install(world, "soma-ledger-kit", {"ledger-kit": "soma_ledger_kit"}, {"soma_ledger_kit": source})
    suite: LedgerSuite = type("Kit", (LedgerSuite,), {"plugin": "ledger-kit"})()
    chosen = component("ledger-kit")
    opener = Opener(chosen, world)

    def fails(check: Callable[[], None]) -> bool:
        try:
            check()
        except AssertionError:
            return True
        except pytest.skip.Exception:
            assert not chosen.spec.features
        return False

    with opener.open() as ledger:
        checks = {
            "test_durable_as_declared": lambda: suite.test_durable_as_declared(chosen, opener),
            "test_durable_needs_no_close": lambda: suite.test_durable_needs_no_close(chosen, world),
            "test_snapshot_as_declared": lambda: suite.test_snapshot_as_declared(chosen, ledger),
        }
        assert {name for name, check in checks.items() if fails(check)} == caught


def test_an_engine_that_claims_more_than_one_member_is_tried_with_four(world: Path) -> None:
    source = """
        import attrs
        import soma_consensus_solo as solo
        from soma_core.api import hookimpl

        @hookimpl
        def soma_consensus():
            return attrs.evolve(solo.soma_consensus(), features={"byzantine"})
    """
    install(world, "soma-consensus-kit", {"consensus-kit": "soma_consensus_kit"}, {"soma_consensus_kit": source})
    found = {one.name: one for one in run_suite("consensus", "consensus-kit", {})}
    assert found["test_rule_is_named"].ok
    assert "4 members" in found["test_byzantine_as_declared"].detail
    assert "4 members" in found["test_everything_is_ordered_once_and_everywhere_alike"].detail
