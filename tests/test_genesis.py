"""Rules G: what a network starts from (``specs/10-genesis.md``)."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from committee_world import committee_genesis
from vectors import load

from soma_core import chain, codec, genesis
from soma_core.crypto import digest
from soma_core.errors import GenesisError
from soma_core.records import pack, to_value, unpack

CASES = load("genesis.json")


class Nothing:
    def get(self, _key: bytes, /) -> None:
        return None

    def scan(self, _start: bytes, _stop: bytes, /) -> Any:
        return iter(())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "genesis.soma"


@pytest.mark.parametrize("case", CASES["valid"], ids=lambda case: case["name"])
def test_valid_vectors(case: dict[str, Any], file: Path) -> None:
    file.write_bytes(bytes.fromhex(case["bytes"]))
    document = genesis.read(file)
    assert document.chain.hex() == case["chain"]
    assert document.protocol.hex() == case["protocol"]
    assert document.supply == case["supply"]
    founded = chain.found(document, Nothing())
    assert pack(founded.record).hex() == case["record"]
    assert founded.tip.record.hex() == case["record_digest"]
    assert chain.money_in([(key, value) for key, (_, value) in founded.changes.items()]) == case["supply"]


@pytest.mark.parametrize("case", CASES["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case: dict[str, Any], file: Path) -> None:
    file.write_bytes(bytes.fromhex(case["bytes"]))
    with pytest.raises(GenesisError) as caught:
        genesis.read(file)
    assert case["says"] in caught.value.what
    assert caught.value.remedy
    assert caught.value.exit_code == 4


def test_a_written_genesis_comes_back(file: Path) -> None:
    document = committee_genesis()
    genesis.write(document, file)
    assert genesis.read(file) == document


def test_what_would_be_refused_is_not_written(file: Path) -> None:
    with pytest.raises(GenesisError, match="no validator"):
        genesis.write(evolve(committee_genesis(), validators=()), file)
    assert not file.exists()


def test_everything_wrong_is_said_at_once() -> None:
    wrong = evolve(committee_genesis(), validators=(), references=())
    with pytest.raises(GenesisError, match="there is no validator; fewer than 7 reference vectors"):
        genesis.check(wrong)


def test_a_file_that_is_not_there_or_too_large(file: Path) -> None:
    with pytest.raises(GenesisError, match=r"No such file.*--genesis"):
        genesis.read(file)
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(GenesisError, match="more than the 1048576 allowed"):
        genesis.read(file)


def test_one_byte_more_makes_another_network_and_time_is_one() -> None:
    document = committee_genesis()
    later = genesis.with_time(document, document.time + 1)
    assert later.time == document.time + 1
    assert later.chain != document.chain
    assert later.protocol == document.protocol


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "other"}, True),
        ({"allocations": ()}, True),
        ({"scoring": {"plugin": "scoring-other"}}, True),
        ({"scoring": {"rule_id": "other"}}, False),
        ({"scoring": {"rule_version": 2}}, False),
        ({"scoring": {"params": {"a": 1}}}, False),
        ({"consensus": {"rule_version": 2}}, False),
        ({"parameters": {"fee": 1}}, False),
    ],
    ids=str,
)
def test_the_protocol_is_rules_and_parameters_never_a_plugin(change: dict[str, Any], same: bool) -> None:  # noqa: FBT001
    document = committee_genesis()
    value = to_value(document)
    for field, new in change.items():
        value[field] = {**value[field], **new} if isinstance(new, dict) else list(new) if new == () else new
    other = unpack(genesis.Genesis, codec.encode(value))
    assert (other.protocol == document.protocol) is same


def test_the_chain_id_is_the_digest_of_the_file() -> None:
    document = committee_genesis()
    assert document.chain == digest("soma/genesis", pack(document.charter))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("e1", True),
        ("_", True),
        ("a" * 32, True),
        ("class", True),
        ("a" * 33, False),
        ("", False),
        ("1a", False),
        ("a b", False),
        ("a-b", False),
        ("é", False),
        ("submitter", False),
        ("validators", False),
        ("treasury", False),
    ],
)
def test_names_of_encoders(name: str, is_one: bool) -> None:  # noqa: FBT001
    assert genesis.is_name(name) is is_one
