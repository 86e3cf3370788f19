"""What `soma hunt` makes of folders and targets, without a node: a fake one answers."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from attrs import define, field

from soma_core import fixed
from soma_core.api import control, racing
from soma_core.cli import _hunting
from soma_core.cli._hunting import Hunter
from soma_core.cli._walking import walk
from soma_core.errors import EncoderError, RefusedError

DIM = 8
A, B = bytes([1]) * 32, bytes([2]) * 32
ONE = 1 << 16


def vector(*head: float) -> bytes:
    return fixed.vector_bytes(fixed.quantise(np.array([*head, *[0.0] * (DIM - len(head))])))


def target(number: int, **changes: Any) -> racing.OpenTarget:
    given = {"radius": ONE // 2, "loss": 7 * ONE, "reward": 10, "cell": None, "submissions": 0, "encoders": (A, B)}
    return racing.OpenTarget(number=number, **{**given, **changes})


@define
class FakeNode:
    """Open targets by number, each with its point; scores by what a file says."""

    sought: dict[int, tuple[racing.OpenTarget, bytes]] = field(factory=dict)
    scores: dict[bytes, tuple[racing.Score, ...] | Exception] = field(factory=dict)
    others: dict[bytes, tuple[racing.Score, ...]] = field(factory=dict)
    outcome: Callable[[racing.Submit], str] = lambda _asked: "hit"
    submitted: list[tuple[racing.Submit, bytes]] = field(factory=list)
    page: int = 2

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        pass

    def ask_with_payload(self, operation: Any, request: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        if operation is control.SCORE:
            answer = self.scores[payload] if request.target is None else self.others.get(payload, ())
            if isinstance(answer, Exception):
                raise answer
            return racing.Scores(answer), b""
        if operation is control.SUBMIT:
            self.submitted.append((request, payload))
            return racing.Submitted(blob=bytes(32), outcome=self.outcome(request), text=""), b""
        numbers = sorted(number for number in self.sought if number >= request.first)
        shown = numbers[: self.page]
        reply = racing.Targets(
            epoch=1,
            dimension=DIM,
            most=1000,
            pool=0,
            radius=0,
            reward=10,
            goal=1,
            hits=0,
            targets=tuple(self.sought[number][0] for number in shown),
            next=numbers[self.page] if len(numbers) > self.page else None,
            weak=(),
        )
        return reply, b"".join(self.sought[number][1] for number in shown)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    fake = FakeNode()
    monkeypatch.setattr(_hunting, "Node", lambda _directory: fake)
    monkeypatch.setattr(_hunting, "LOOK_EVERY", 0.0)
    return fake


def hunter(node: FakeNode) -> Hunter:
    hunting: Any = node
    return Hunter(Path(), hunting)


def file(node: FakeNode, root: Path, name: str, *scores: tuple[bytes, int, bytes] | Exception) -> Path:
    path = root / name
    path.write_bytes(name.encode())
    only = scores[0]
    found = (
        only
        if isinstance(only, Exception)
        else tuple(
            racing.Score(encoder=encoder, loss=loss, vector=v)
            for encoder, loss, v in scores  # type: ignore[misc]
        )
    )
    node.scores[name.encode()] = found
    return path


def run(hunt: Hunter, *paths: Path, looks: int = 1) -> list[tuple[str, int, str]]:
    for path in paths:
        hunt.score(path)
    for _ in range(looks):
        hunt.look()
        hunt.wait(5)
    return [(catch.path.name, catch.target, catch.outcome) for catch in hunt.catches]


def test_the_nearest_of_the_files_that_hit_is_submitted_once(node: FakeNode, tmp_path: Path) -> None:
    node.sought = {number: (target(number), vector(1)) for number in range(5)}
    far = file(node, tmp_path, "far", (A, ONE, vector(0, 1)))
    near = file(node, tmp_path, "near", (A, ONE, vector(1, 0.1)))
    nearer = file(node, tmp_path, "nearer", (A, ONE, vector(1)))
    hunt = hunter(node)
    assert sorted(run(hunt, far, near, nearer, looks=3)) == [("near", 1, "hit"), ("nearer", 0, "hit")]
    assert [(asked.target, asked.loss, data) for asked, data in node.submitted] == [
        (0, ONE, b"nearer"),
        (1, ONE, b"near"),
    ]
    assert all(catch.distance <= catch.radius for catch in hunt.catches)


def test_a_file_belongs_to_the_assigned_encoder_that_predicts_it_best(node: FakeNode, tmp_path: Path) -> None:
    """B is better, and puts it elsewhere: A's answer is not submitted where B is assigned too."""
    both = file(node, tmp_path, "both", (A, 3 * ONE, vector(1)), (B, 2 * ONE, vector(0, 1)))
    node.sought = {0: (target(0), vector(1))}
    assert run(hunter(node), both) == []
    node.sought = {1: (target(1, encoders=(A,)), vector(1))}
    assert run(hunter(node), both) == [("both", 1, "hit")]
    assert node.submitted[-1][0].encoder == A


def score(encoder: bytes, loss: int, given: bytes) -> racing.Score:
    return racing.Score(encoder=encoder, loss=loss, vector=given)


def test_a_file_that_an_encoder_elsewhere_predicts_better_is_not_submitted(node: FakeNode, tmp_path: Path) -> None:
    """An audit would find it, and take the bond. The next file may be the one."""
    first = file(node, tmp_path, "first", (A, 3 * ONE, vector(1)))
    second = file(node, tmp_path, "second", (A, 3 * ONE, vector(1, 0.1)))
    node.others = {b"first": (score(A, 3 * ONE, vector(1)), score(B, 2 * ONE, vector(0, 1)))}
    node.others[b"second"] = (score(B, 4 * ONE, vector(0, 1)),)
    node.sought = {0: (target(0), vector(1))}
    hunt = hunter(node)
    assert run(hunt, first, second, looks=3) == [("second", 0, "hit")]
    assert [asked.encoder for asked, _ in node.submitted] == [A]


def test_a_file_hits_with_the_vector_of_the_encoder_that_predicts_it_best(node: FakeNode, tmp_path: Path) -> None:
    one = file(node, tmp_path, "one", (A, 3 * ONE, vector(1)))
    node.others = {b"one": (score(B, 2 * ONE, vector(1, 0.2)),)}
    node.sought = {0: (target(0), vector(1))}
    assert run(hunter(node), one, looks=3) == [("one", 0, "hit")]
    ((asked, _),) = node.submitted
    assert (asked.encoder, asked.loss, asked.vector) == (B, 2 * ONE, vector(1, 0.2))


def test_what_waits_for_the_audit_of_anothers_hit_may_hit_elsewhere(node: FakeNode, tmp_path: Path) -> None:
    node.sought = {0: (target(0), vector(1))}
    node.outcome = lambda asked: "waiting" if asked.target == 0 else "hit"
    hunt = hunter(node)
    one = file(node, tmp_path, "one", (A, ONE, vector(1)))
    assert run(hunt, one, looks=2) == [("one", 0, "waiting")]
    node.sought[1] = (target(1), vector(1))
    assert run(hunt, looks=2)[1:] == [("one", 1, "hit")]


def test_what_is_predicted_too_badly_is_not_submitted_and_counted(node: FakeNode, tmp_path: Path) -> None:
    node.sought = {0: (target(0, loss=ONE), vector(1))}
    hunt = hunter(node)
    assert run(hunt, file(node, tmp_path, "noise", (A, ONE + 1, vector(1)))) == []
    assert hunt.unpredicted() == 1


def test_what_has_lost_may_hit_another_and_what_was_refused_not(node: FakeNode, tmp_path: Path) -> None:
    node.sought = {0: (target(0), vector(1))}
    node.outcome = lambda _asked: "lost"
    hunt = hunter(node)
    one = file(node, tmp_path, "one", (A, ONE, vector(1)))
    assert run(hunt, one, looks=2) == [("one", 0, "lost")]
    node.sought = {3: (target(3), vector(1))}
    node.outcome = lambda _asked: "refused"
    assert run(hunt, looks=2)[1:] == [("one", 3, "refused")]
    node.sought = {4: (target(4), vector(1))}
    assert len(run(hunt, looks=2)) == 2


def test_who_cannot_be_read_or_embedded_is_counted_by_why(node: FakeNode, tmp_path: Path) -> None:
    hunt = hunter(node)
    odd = file(node, tmp_path, "odd", EncoderError("no such picture", "try another"))
    assert run(hunt, odd, tmp_path / "gone") == []
    assert hunt.failed == {"no such picture": 1, "cannot be read: No such file or directory": 1}
    assert hunt.scored == 0


def test_a_submission_that_the_node_does_not_take_is_said(node: FakeNode, tmp_path: Path) -> None:
    def full(_asked: racing.Submit) -> str:
        raise RefusedError("the disk is nearly full", "make room")

    node.outcome = full
    node.sought = {0: (target(0), vector(1))}
    hunt = hunter(node)
    assert run(hunt, file(node, tmp_path, "one", (A, ONE, vector(1)))) == [("one", 0, "failed")]
    assert "nearly full" in hunt.catches[0].text


def test_a_file_that_has_changed_since_it_was_scored_is_not_submitted(node: FakeNode, tmp_path: Path) -> None:
    """Its answer would be found false, and cost the bond."""
    node.sought = {0: (target(0), vector(1))}
    log = file(node, tmp_path, "log", (A, ONE, vector(1)))
    hunt = hunter(node)
    hunt.score(log)
    log.write_bytes(b"log, and another line")
    assert run(hunt) == [("log", 0, "failed")]
    assert hunt.catches[0].text == "the file has changed since it was scored"
    assert node.submitted == []


# Walking. -------------------------------------------------------------------------------------------------------------


def test_a_walk_finds_each_file_once_the_smallest_first_and_says_what_it_skips(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name, size in (("b", 3), ("a", 5), ("below/c", 1), ("empty", 0), ("large", 11)):
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "again").hardlink_to(tmp_path / "a")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    found = walk([tmp_path, tmp_path / "a", tmp_path / "gone"], 10)
    assert [(path.name, size) for path, size in found.files] == [("c", 1), ("b", 3), ("a", 5)]
    assert found.skipped == {
        "empty": 1,
        "more than 10 bytes": 1,
        "a link": 1,
        "no regular file": 1,
        "cannot be read: No such file or directory": 1,
    }


def test_a_walk_is_bounded(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"x" * (number + 1))
    found = walk([tmp_path], 10, files_most=3)
    assert len(found.files) == 3
    assert found.skipped == {"beyond the first 3": 1}
