"""The main job on one real node, through the command line, as a person does it."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from running_node import RunningNode

from soma_core.cli import main

SOMA = 10**9


def embed(node: RunningNode, *arguments: str | Path) -> dict[str, object]:
    (entry,) = json.loads(node.soma("embed", *arguments, "--json"))["inputs"]
    return entry  # type: ignore[no-any-return]


def balance(node: RunningNode) -> int:
    return json.loads(node.soma("balance", "--json"))["balance"]  # type: ignore[no-any-return]


def test_bytes_become_a_paid_embedding_with_a_receipt_that_verifies_offline(
    node: RunningNode, text_file: Path, tmp_path: Path
) -> None:
    entry = embed(node, text_file)
    assert entry["outcome"] == "settled"
    (member,) = entry["shard"]  # type: ignore[misc]
    assert member["encoder"] == entry["winner"] == "numpy"
    assert member["weight"] == 1.0
    assert 0 < member["loss_bits_per_byte"] < 16
    payments = entry["payments"]
    assert {p["to"] for p in payments} == {"numpy", "validators", "treasury"}  # type: ignore[attr-defined]
    receipt = Path(str(entry["receipt"]))
    verified = json.loads(node.soma("verify", receipt, "--json"))
    assert verified["valid"]
    assert verified["vector_digest"] == entry["vector_digest"]
    damaged = tmp_path / "damaged.receipt"
    data = bytearray(receipt.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    assert "soma: " in node.soma("verify", damaged, expect=1)


def test_what_a_receipt_is_trusted_for_can_be_named(
    node: RunningNode, text_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = str(embed(node, text_file)["receipt"])
    chain = json.loads(node.soma("genesis", "--json"))["chain"]
    assert chain in json.loads(node.soma("verify", receipt, "--chain", chain, "--json"))["trusts"]
    assert "is of chain" in node.soma("verify", receipt, "--chain", "00" * 32, expect=2)
    node.soma("verify", receipt, "--genesis", node.directory / "genesis.cbor")
    later = time.time_ns() + 40 * 86_400 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert main(["verify", receipt]) == 1
    assert "older than the unbonding time" in capsys.readouterr().err


def test_the_price_is_what_is_paid_and_asking_twice_pays_once(node: RunningNode, text_file: Path) -> None:
    before = balance(node)
    (priced,) = json.loads(node.soma("embed", text_file, "--dry-run", "--json"))["inputs"]
    assert balance(node) >= before  # a dry run pays nothing; an epoch may have paid the validator
    first = embed(node, text_file)
    paid = sum(p["amount"] for p in first["payments"])  # type: ignore[attr-defined]
    assert paid == priced["pot"] + priced["commission"] == priced["total"] - priced["fee"]
    again = embed(node, text_file)
    assert again["job"] == first["job"]
    third = embed(node, text_file, "--again")
    assert third["job"] != first["job"]
    assert third["vector_digest"] == first["vector_digest"]


def test_vectors_are_written_as_npz(node: RunningNode, text_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors.npz"
    node.soma("embed", text_file, "--out", out)
    with np.load(out) as stored:
        assert stored["vectors"].shape == stored["unit"].shape == (1, 128)
        assert stored["vectors"].dtype == np.int16
        assert np.allclose(np.linalg.norm(stored["unit"], axis=1), 1, atol=1e-6)


def test_money_is_sent_and_the_supply_stays_exact(node: RunningNode) -> None:
    to = "5a" * 32
    node.soma("send", to, "2.5")
    assert json.loads(node.soma("balance", to, "--json"))["balance"] == 2_500_000_000
    status = json.loads(node.soma("status", "--json"))
    assert status["supply"]["drift"] == 0
    assert status["supply"]["total"] == status["supply"]["genesis"] + status["supply"]["emitted"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["send", "5a" * 32, "99999999"], 1, "overdraft|balance is"),
        (["send", "5a" * 32, "-1"], 2, "No such option|cannot be sent"),
        (["send", "5a" * 32, "0.0000000001"], 2, "nine decimals"),
        (["send", "nobody", "1"], 2, "not an address"),
        (["embed", "/nowhere"], 2, "No such file"),
        (["embed", "/dev/null"], 2, "not a regular file"),
        (["embed", "/"], 2, "not a regular file"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(node: RunningNode, arguments: list[str], code: int, said: str) -> None:
    import re

    error = node.soma(*arguments, expect=code)
    assert re.search(said, error), error
    assert ";" in error


def test_a_file_that_is_empty_or_too_large_is_refused_before_anything_is_paid(
    node: RunningNode, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert "is empty" in node.soma("embed", empty, expect=2)
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate((16 << 20) + 1)
    assert "exceed the network's" in node.soma("embed", huge, expect=1)


def test_a_second_node_in_the_same_directory_is_refused(node: RunningNode) -> None:
    said = node.soma("run", "--plugin", "consensus-solo", "--data-dir", node.directory, expect=2)
    assert "a node is running here already" in said


def test_the_genesis_can_be_shown_and_checked(node: RunningNode) -> None:
    shown = json.loads(node.soma("genesis", "show", "--json"))
    assert shown["chain"] == json.loads(node.soma("status", "--json"))["chain"]
    assert shown["chain"] in node.soma("genesis", "check", node.directory / "genesis.cbor")


def test_no_node_is_said_plainly(tmp_path: Path) -> None:
    nowhere = RunningNode(tmp_path / "nowhere")
    assert "no node runs in" in nowhere.soma("status", expect=5)


def test_after_a_kill_everything_acknowledged_is_there_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    node = RunningNode(tmp_path / "node")
    node.start()
    try:
        source = tmp_path / "a.txt"
        source.write_text("What was acknowledged is never lost.\n" * 5)
        before = embed(node, source)
        node.kill()
        node.start()
        after = embed(node, source)
        assert after["job"] == before["job"]
        assert after["vector_digest"] == before["vector_digest"]
        assert json.loads(node.soma("status", "--json"))["supply"]["drift"] == 0
        assert json.loads(node.soma("verify", str(before["receipt"]), "--json"))["valid"]
    finally:
        assert node.stop() == 0, node.log.read_text()


def test_the_doctor_finds_a_running_node_well(node: RunningNode) -> None:
    found = {f["what"]: (f["level"], f["detail"]) for f in json.loads(node.soma("doctor", "--json"))["findings"]}
    assert node.process is not None
    assert found["lock"] == ("ok", f"a node runs here (process {node.process.pid})")
    assert found["disk space"][0] == "ok"
    assert "to sync a small write" in found["disk speed"][1]
