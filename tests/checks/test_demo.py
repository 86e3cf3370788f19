"""`soma demo --json`, whole: nine nodes, four kinds of data, receipts that verify, a race. ``nox -s demo``."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ENTRY = {"path", "dim", "vector_digest", "shard", "winner", "payments", "receipt"}
MEMBER = {"encoder", "loss_bits_per_byte", "weight", "disqualified"}
PAYMENT = {"to", "amount", "reason"}
"""What is promised to programs that read the object; there may be more."""


def soma(*arguments: str | Path, directory: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "soma_core.cli", *map(str, arguments)],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("demo")
    done = soma("demo", "--json", directory=directory)
    assert done.returncode == 0, done.stderr
    return directory, json.loads(done.stdout)


def test_the_object_has_the_promised_form(demo: tuple[Path, dict[str, Any]]) -> None:
    _, found = demo
    assert set(found) == {"inputs", "race", "search", "validators", "supply", "seconds"}
    assert found["validators"] == 4
    assert set(found["supply"]) == {"genesis", "emitted", "total", "drift"}
    assert all(type(amount) is int for amount in found["supply"].values())
    assert found["supply"]["drift"] == 0
    assert found["supply"]["total"] == found["supply"]["genesis"] + found["supply"]["emitted"]
    assert 0 < found["seconds"] < 120
    assert len(found["inputs"]) == 4
    for entry in found["inputs"]:
        assert entry.keys() >= ENTRY
        assert Path(entry["path"]).is_file()
        assert Path(entry["receipt"]).is_file()
        assert entry["dim"] == 128
        assert len(bytes.fromhex(entry["vector_digest"])) == 32
        assert {m["encoder"] for m in entry["shard"]} == {"text", "code", "image", "audio", "generalist"}
        assert sum(m["weight"] for m in entry["shard"]) == 1
        assert all(m["weight"] == 0 for m in entry["shard"] if m["disqualified"])
        for member in entry["shard"]:
            assert member.keys() >= MEMBER
            assert 0 <= member["loss_bits_per_byte"] <= 16
            assert 0 <= member["weight"] <= 1
        for payment in entry["payments"]:
            assert payment.keys() >= PAYMENT
            assert type(payment["amount"]) is int
            assert payment["amount"] > 0


def test_the_specialist_wins_its_kind(demo: tuple[Path, dict[str, Any]]) -> None:
    _, found = demo
    assert [entry["winner"] for entry in found["inputs"]] == ["text", "code", "image", "audio"]
    for entry in found["inputs"]:
        losses = {m["encoder"]: m["loss_bits_per_byte"] for m in entry["shard"]}
        assert min(losses, key=losses.__getitem__) == entry["winner"]
        won = [p for p in entry["payments"] if p["reason"] == "won"]
        assert [p["to"] for p in won] == [entry["winner"]]


def test_every_receipt_verifies_offline_and_none_that_was_altered(demo: tuple[Path, dict[str, Any]]) -> None:
    directory, found = demo
    for entry in found["inputs"]:
        receipt = Path(entry["receipt"])
        verified = soma("verify", receipt, "--json", directory=directory)
        assert verified.returncode == 0, verified.stderr
        assert json.loads(verified.stdout)["vector_digest"] == entry["vector_digest"]
        whole = receipt.read_bytes()
        for place in (len(whole) // 3, len(whole) // 2, len(whole) - 1):
            altered = directory / "altered.receipt"
            altered.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            refused = soma("verify", altered, directory=directory)
            assert refused.returncode in {1, 4}, (place, refused.stdout)  # 4: it was the genesis in it
            assert ";" in refused.stderr


def test_a_target_is_hit_audited_and_paid_and_a_cheat_loses_its_bond(demo: tuple[Path, dict[str, Any]]) -> None:
    race = demo[1]["race"]
    assert race["files"] > 0
    hit = race["hit"]
    assert hit["outcome"] == "hit"
    assert Path(hit["path"]).is_file()
    assert hit["distance"] <= hit["radius"]
    assert hit["loss_bits_per_byte"] <= 7.5
    assert race["paid"] == hit["reward"] * 4_975 // 10_000 + hit["reward"] * 50 // 10_000
    cheat = race["cheat"]
    assert cheat["caught"]
    assert cheat["lost"] >= hit["reward"], "more than it hoped for"


def test_what_is_like_the_question_is_found_first_with_its_receipt(demo: tuple[Path, dict[str, Any]]) -> None:
    directory, found = demo
    search = found["search"]
    assert Path(search["query"]["path"]).name == "send.py"
    assert search["job"] == search["query"]["job"]
    assert (search["among"], search["behind"]) == (5, 0)
    inputs = {entry["job"]: entry for entry in found["inputs"]}
    assert [each["job"] for each in search["found"]] == [
        each["job"] for each in sorted(search["found"], key=lambda each: -each["similarity"])
    ]
    assert {each["job"] for each in search["found"]} == set(inputs), "the question itself is left out"
    nearest, *others = search["found"]
    assert nearest["winner"] == "code"
    assert nearest["name"] == Path(inputs[nearest["job"]]["path"]).name
    assert nearest["similarity"] > 0.3 > others[0]["similarity"] + 0.1, "a program is near to a program"
    assert nearest["held"]
    assert nearest["receipt"] == inputs[nearest["job"]]["receipt"]
    verified = soma("verify", nearest["receipt"], "--json", directory=directory)
    assert verified.returncode == 0, verified.stderr


def test_its_processes_are_gone(demo: tuple[Path, dict[str, Any]]) -> None:
    directory, found = demo
    root = Path(found["inputs"][0]["receipt"]).parents[1]
    assert root.is_relative_to(directory)
    for lock in root.glob("*/lock"):
        assert not Path("/proc", lock.read_text().strip()).exists()
