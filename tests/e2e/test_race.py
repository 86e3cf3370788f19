"""`soma hunt` on a folder of ordinary files, through a real node: hits, audits, claims; random bytes; lies; a kill."""

import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from running_node import RunningNode

from soma_core import fixed
from soma_core.api import control, racing
from soma_core.cli._client import Node
from soma_core.cli._hunting import open_targets
from soma_core.genesis import OPAQUE

FILES: Final = 400
WINDOW: Final = 60.0
"""Seconds in which a hit must come, and in which it must have been audited."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    root = tmp_path_factory.mktemp("race")
    running = RunningNode(root / "data", ("consensus-solo", "encoder-jax", "transport-memory"))
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four hundred notes, some in folders of their own; and what cannot be hunted."""
    root = tmp_path_factory.mktemp("files")
    words = (Path(__file__).parents[2] / "README.md").read_text("utf-8").split()
    chance = random.Random(5)
    for number in range(FILES):
        where = root / f"folder{number % 7}"
        where.mkdir(exist_ok=True)
        at = chance.randrange(len(words) - 60)
        (where / f"note{number}.txt").write_text(" ".join(words[at : at + chance.randint(20, 60)]), "utf-8")
    (root / "empty").touch()
    (root / "large").write_bytes(bytes(1 << 20))
    (root / "link").symlink_to(root / "empty")
    return root


def hunt(node: RunningNode, *arguments: str | Path) -> dict[str, Any]:
    return json.loads(node.soma("hunt", *arguments, "--json"))  # type: ignore[no-any-return]


def balance(node: RunningNode) -> int:
    with Node(node.directory) as client:
        return client.ask(control.BALANCE, control.AskBalance(None)).balance


def hits(node: RunningNode) -> dict[int, racing.Hit]:
    with Node(node.directory) as client:
        return {hit.number: hit for hit in client.ask(control.HITS, control.Empty()).hits}


def until_audited(node: RunningNode, number: int) -> racing.Hit | None:
    """The hit once its audit is over, or None if it is no more."""
    deadline = time.monotonic() + WINDOW
    while (hit := hits(node).get(number)) is not None and hit.state == "audited":
        assert time.monotonic() < deadline, node.log.read_text()
        time.sleep(0.1)
    return hit


def test_ordinary_files_hit_within_a_minute_are_audited_and_paid(node: RunningNode, folder: Path) -> None:
    found = hunt(node, folder, "--hits", "2", "--seconds", str(WINDOW))
    assert found["files"] == FILES
    assert found["skipped"] == {"empty": 1, "more than 32,768 bytes": 1, "a link": 1}
    assert found["hits"] >= 2
    caught = [catch for catch in found["catches"] if catch["outcome"] == "hit"]
    for catch in caught:
        assert Path(catch["path"]).is_relative_to(folder)
        assert catch["distance"] <= catch["radius"]
    assert len({catch["path"] for catch in caught}) == len(caught), "a file hits once"
    shown = json.loads(node.soma("targets", "--json"))
    assert shown["most_bytes"] == 32 << 10
    numbers = {catch["target"] for catch in caught}
    assert numbers <= {hit["number"] for hit in shown["hits"]}
    assert not numbers & {target["number"] for target in shown["open"]}
    before = balance(node)
    waiting = {number: until_audited(node, number) for number in numbers}
    paid = json.loads(node.soma("claim", "--json"))
    assert {claim["target"]: claim["code"] for claim in paid["claims"]} == dict.fromkeys(numbers, "")
    fees = len(numbers) * 10_000
    gain = sum(hit.bond + hit.reward * 4_975 // 10_000 + hit.reward * 50 // 10_000 for hit in waiting.values() if hit)
    assert balance(node) >= before + gain - fees, "the account is the validator's too, which earns beside it"
    with Node(node.directory) as client:
        assert client.ask(control.SUPPLY, control.Empty()).drift == 0
    assert not any((node.directory / "submissions").iterdir()), "what has hit leaves nothing behind"
    node.soma("claim", str(min(numbers)), expect=2)


def test_random_bytes_do_not_pay(node: RunningNode, tmp_path: Path) -> None:
    chance = random.Random(6)
    for number in range(10):
        (tmp_path / f"noise{number}").write_bytes(chance.randbytes(chance.randint(200, 1_000)))
    found = hunt(node, tmp_path, "--seconds", "15")
    assert (found["scored"], found["hits"], found["catches"]) == (10, 0, [])
    assert found["unpredicted"] == 10


def test_whoever_lies_about_a_vector_is_caught_and_never_paid(node: RunningNode) -> None:
    """`soma demo` shows what that costs: this node's account earns as a validator meanwhile."""
    with Node(node.directory) as client:
        (own,) = [e for e in client.ask(control.ENCODERS, control.Empty()).encoders if e.architecture != OPAQUE]
        reply, number = None, 0
        while reply is None or reply.outcome != "hit":
            sought = list(open_targets(client))
            if not sought:
                time.sleep(0.2)
                continue
            target, point = sought[-1]
            number = target.number
            lie = racing.Submit(target=number, encoder=own.address, loss=0, vector=fixed.vector_bytes(point))
            reply, _ = client.ask_with_payload(control.SUBMIT, lie, random.Random(7).randbytes(500))
    assert hits(node)[number].bond == 500 * 5_000
    assert until_audited(node, number) is None
    node.soma("claim", str(number), expect=2)


def test_a_node_that_is_killed_shows_what_it_had_sealed(node: RunningNode, folder: Path) -> None:
    """The file is there before the seal leaves; started again, the node brings the submission to its end."""
    name = node.directory / "submissions"
    hunter = hunting(node, folder)
    deadline = time.monotonic() + WINDOW
    while not (left := sorted(path.name for path in name.glob("[0-9]*"))):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    node.kill()
    hunter.send_signal(signal.SIGTERM)
    hunter.wait(30)
    left = sorted(path.name for path in name.glob("[0-9]*"))
    node.start()
    while any(path.name in left for path in name.glob("[0-9]*")):
        assert time.monotonic() < deadline + WINDOW, node.log.read_text()
        time.sleep(0.1)
    with Node(node.directory) as client:
        supply = client.ask(control.SUPPLY, control.Empty())
        assert supply.drift == 0
        assert not [t for t, _ in open_targets(client) if t.submissions and str(t.number) in left]


def hunting(node: RunningNode, folder: Path) -> Any:
    """A hunt in a process of its own."""
    import os
    import subprocess
    import sys

    return subprocess.Popen(
        [sys.executable, "-m", "soma_core.cli", "hunt", str(folder), "--seconds", "60", "--json"],
        env={**os.environ, "SOMA_DATA_DIR": str(node.directory)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
