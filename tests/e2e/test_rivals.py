"""A made-up hit on a running network: found false; the honest rival that had sealed after it is next, and is paid."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from attrs import evolve, frozen
from numpy.typing import NDArray

from soma_core import fixed
from soma_core.api import control, racing, standing
from soma_core.cli._client import Node
from soma_core.cli._hunting import open_targets
from soma_core.cli._network import Network, Plan

WINDOW: Final = 60.0
"""Seconds until the honest one is paid, once it waits."""
TRIES: Final = 40

Vector = NDArray[np.int16]


@frozen
class Note:
    """A file's data, and what the encoder gives for it."""

    data: bytes
    score: racing.Score

    @property
    def vector(self) -> Vector:
        return fixed.vector_from_bytes(self.score.vector, len(self.score.vector) // 2)


def test_a_made_up_hit_is_found_false_and_the_honest_rival_is_paid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(validators=1, consensus="consensus-solo", encoder="encoder-numpy", encoders=("text",))
    with Network(tmp_path / "net", plan, print) as network:
        network.start()
        cheat = network.root / "text"
        with Node(network.validator) as node:
            notes = scored(node)
            number = contested(network.validator, cheat, node, notes)
            hit = next(one for one in hits(node).hits if one.number == number)
            assert hit.submitter != hits(node).account, "the cheat's, which is audited"
            assert (hit.rivals, hit.state) == (1, "audited")
            deadline = time.monotonic() + WINDOW
            while not (own := [one for one in hits(node).hits if one.number == number and one.state == "claimable"]):
                assert time.monotonic() < deadline, (network.validator / "node.log").read_text()
                time.sleep(0.1)
            assert own[0].submitter == hits(node).account
            before = node.ask(control.BALANCE, control.AskBalance(own[0].submitter)).balance
            claimed = standing.Act(role="account", kind="claim_target", action={"target": number})
            assert node.ask(control.ACT, claimed).code == ""
            gain = own[0].bond + own[0].reward * 4_975 // 10_000
            assert node.ask(control.BALANCE, control.AskBalance(own[0].submitter)).balance >= before + gain - 10_000
            assert node.ask(control.SUPPLY, control.Empty()).drift == 0
    capsys.readouterr()


def scored(node: Node) -> list[Note]:
    """Notes of a few words each, as the borrowed encoder has them."""
    words = (Path(__file__).parents[2] / "README.md").read_text("utf-8").split()
    data = [" ".join(words[7 * number : 7 * number + 30]).encode() for number in range(60)]
    replies = [node.ask_with_payload(control.SCORE, racing.AskScores(), each)[0] for each in data]
    return [Note(each, reply.scores[0]) for each, reply in zip(data, replies, strict=True)]


def contested(honest: Path, cheat: Path, node: Node, notes: list[Note]) -> int:
    """A target that the cheat has hit, and that the honest one had sealed for by then: its number."""
    with ThreadPoolExecutor(2) as pool:
        for _ in range(TRIES):
            target, point, note = match(node, notes)
            notes.remove(note)
            true = racing.Submit(
                target=target.number, encoder=note.score.encoder, loss=note.score.loss, vector=note.score.vector
            )
            lie = evolve(true, loss=0, vector=fixed.vector_bytes(point))
            made_up = pool.submit(submit, cheat, lie, random.Random(target.number).randbytes(300))
            outcome = submit(honest, true, note.data)
            if outcome == "waiting" and made_up.result() == "hit":
                return target.number
    raise AssertionError("the cheat never sealed first and showed second")


def submit(directory: Path, asked: racing.Submit, data: bytes) -> str:
    """What comes of a submission through a node."""
    with Node(directory) as node:
        return node.ask_with_payload(control.SUBMIT, asked, data)[0].outcome


def match(node: Node, notes: list[Note]) -> tuple[racing.OpenTarget, Vector, Note]:
    """An open target that nobody has sealed for, its point, and a note that hits it."""
    deadline = time.monotonic() + WINDOW
    while time.monotonic() < deadline:
        for target, point in open_targets(node):
            for note in notes if not target.submissions else ():
                if note.score.loss <= target.loss and distance(note.vector, point) <= target.radius:
                    return target, point, note
        time.sleep(0.1)
    raise AssertionError("no note hits any target")


def distance(vector: Vector, point: Vector) -> int:
    product = int(fixed.dots(vector[None], point[None])[0, 0])
    return fixed.ONE - fixed.cosq(product, fixed.squared_norm(vector), fixed.squared_norm(point))


def hits(node: Node) -> racing.Hits:
    return node.ask(control.HITS, control.Empty())
