"""The chain is what its vectors say, and the vectors are what the chain makes (``specs/README.md``)."""

from typing import Any

import make_vectors
import pytest
import replays
from committee_world import committee_genesis
from ledger_world import PlainTargets
from upkeep_replays import FailingTargets
from vectors import DIRECTORY, load

from soma_core import chain, codec
from soma_core.chain import lthash
from soma_core.chain.sketches import distance
from soma_core.crypto import signing_digest
from soma_core.errors import CorruptionError, DecodeError
from soma_core.records import to_value

STATE, TRANSACTIONS = load("state.json"), load("transactions.json")
JOBS, EPOCHS, AUDITS = load("jobs.json"), load("epochs.json"), load("audits.json")
ENCODERS, ROUTING = load("encoders.json"), load("routing.json")
TARGETS, MEMBERS = load("targets.json"), load("members.json")
SAFE_MODE = load("safe_mode.json")
RUNS = [run for file in (TRANSACTIONS, JOBS, EPOCHS, AUDITS, ENCODERS, ROUTING, MEMBERS) for run in file["runs"]]


def of(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize("name", make_vectors.FILES)
def test_the_files_are_those_that_the_code_makes(name: str) -> None:
    assert (DIRECTORY / name).read_text("utf-8") == make_vectors.rendered(name), "run `python tests/make_vectors.py`"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["name"])
def test_a_run_replayed_gives_the_same_records_receipts_and_outcomes(run: dict[str, Any]) -> None:
    again = replays.replayed(run)
    for index, (made, wanted) in enumerate(zip(again["commits"], run["commits"], strict=True), 1):
        assert made == wanted, f"commit {index}"
    assert again == run


@pytest.mark.parametrize("run", TARGETS["runs"], ids=lambda run: run["name"])
def test_a_race_replayed_is_the_same_race(run: dict[str, Any]) -> None:
    assert replays.replayed(run, PlainTargets()) == run


@pytest.mark.parametrize("run", SAFE_MODE["runs"], ids=lambda run: run["name"])
def test_safe_mode_replayed_is_the_same(run: dict[str, Any]) -> None:
    assert replays.replayed(run, FailingTargets()) == run


def test_seals_of_submissions() -> None:
    for case in TARGETS["seals"]:
        names = [bytes.fromhex(case[name]) for name in ("submitter", "salt", "blob", "encoder")]
        vector = bytes.fromhex(case["vector"])
        assert chain.submission_seal(case["target"], *names, case["loss"], vector).hex() == case["commitment"]


@pytest.mark.parametrize("case", TRANSACTIONS["valid"], ids=lambda case: case["name"])
def test_valid_transactions(case: dict[str, Any]) -> None:
    signed = chain.parse_wire(of(case["wire"]))
    assert signed.id.hex() == case["id"]
    assert signed.wire == of(case["wire"])
    assert make_vectors.notation(to_value(signed.transaction)) == case["fields"]
    t = signed.transaction
    assert signing_digest("soma/tx", t.chain, t.expiry, signed.unsigned).hex() == case["signed_digest"]
    assert signed.signature_holds()


@pytest.mark.parametrize("case", TRANSACTIONS["invalid"], ids=lambda case: case["name"])
def test_bytes_that_are_no_transaction(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        chain.parse_wire(of(case["wire"]))


def test_prices_keys_and_seals() -> None:
    parameters = committee_genesis().parameters
    for case in JOBS["prices"]:
        assert chain.price(parameters, case["size"]) == (case["pot"], case["commission"])
    for case in JOBS["keys"]:
        assert chain.job_key(of(case["requester"]), of(case["blob"]), case["nonce"]).hex() == case["job"]
    for case in JOBS["seals"]:
        sealed = chain.commitment(
            of(case["job"]), of(case["encoder"]), of(case["salt"]), case["loss"], of(case["vector"])
        )
        assert sealed.hex() == case["commitment"]


def test_seals_of_verdicts_and_canaries() -> None:
    for case in AUDITS["seals"]:
        results = tuple(chain.Result(loss=r["loss"], vector=of(r["vector"])) for r in case["results"])
        sealed = chain.verdict_commitment(case["kind"], of(case["key"]), of(case["auditor"]), of(case["salt"]), results)
        assert sealed.hex() == case["commitment"]
    for case in AUDITS["canaries"]:
        encoder, secret = of(case["encoder"]), of(case["secret"])
        assert chain.canary_seal(encoder, secret).hex() == case["seal"]
        assert chain.may_lie(encoder, secret, of(case["job"])) is case["may_lie"]


def test_sketches() -> None:
    first = of(ROUTING["sketches"][0]["sketch"])
    for case in ROUTING["sketches"]:
        sketch = chain.sketch_of(of(case["data"]))
        assert sketch.hex() == case["sketch"]
        assert distance(first, sketch) == case["distance"]


def test_the_best_of_anchors() -> None:
    for case in ROUTING["best"]:
        assert chain.best_anchors(case["losses"]).hex() == case["best"]


def test_seals_of_weights() -> None:
    for case in ENCODERS["seals"]:
        parts = (of(case[name]) for name in ("encoder", "salt", "weights", "frame", "position", "best"))
        assert chain.weights_seal(*parts).hex() == case["seal"]


def test_lanes_sums_and_money() -> None:
    for case in STATE["entries"]:
        lanes = lthash.entry_lanes(of(case["key"]), of(case["value"]))
        assert lanes.astype("<u2").tobytes().hex() == case["lanes"]
    for case in (*STATE["sums"], *STATE["states"]):
        entries = [(of(key), of(value)) for key, value in case["entries"]]
        assert lthash.state_digest(lthash.total(entries)).hex() == case["digest"]
    for case in STATE["states"]:
        entries = [(of(key), of(value)) for key, value in case["entries"]]
        assert chain.money_in(entries) == case["money"] == case["supply"] + case["emitted"]


@pytest.mark.parametrize("case", STATE["invalid"], ids=lambda case: case["name"])
def test_damaged_records(case: dict[str, Any]) -> None:
    with pytest.raises(CorruptionError, match="damaged"):
        chain.money_in([(of(case["key"]), of(case["value"]))])


def test_notation_is_not_ambiguous() -> None:
    value = [None, True, 0, -1, b"", "", [], {}, {"a": [b"\0"]}, {1: "x"}]
    assert codec.encode(value)
    assert len({repr(make_vectors.notation(each)) for each in value}) == len(value)
