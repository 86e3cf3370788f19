"""What `soma targets` and `soma claim` say of hits and of what waits for their audits; a fake node answers."""

import json
from pathlib import Path
from typing import Any, Self

import pytest
from attrs import define

from soma_core.api import control, racing
from soma_core.cli import _client, main

ME, OTHER = bytes([1]) * 32, bytes([2]) * 32
ENCODER = bytes([3]) * 32


def hit(number: int, submitter: bytes, state: str, rivals: int = 0) -> racing.Hit:
    return racing.Hit(
        number=number,
        submitter=submitter,
        encoder=ENCODER,
        blob=bytes(32),
        size=9,
        loss=1 << 16,
        distance=0,
        reward=10**9,
        bond=10**6,
        claimable=5,
        state=state,
        rivals=rivals,
    )


HITS = racing.Hits(
    account=ME,
    time=1,
    hits=(hit(4, OTHER, "audited", rivals=2), hit(5, ME, "audited")),
    waiting=(
        racing.Waiting(number=4, bond=10**6, state="shown", deadline=9, before=0),
        racing.Waiting(number=7, bond=10**6, state="sealed", deadline=9, before=3),
    ),
)


@define
class FakeNode:
    """A node of an account with a hit, and with two submissions that wait for others'."""

    directory: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        pass

    def ask(self, operation: Any, _request: Any) -> Any:
        if operation is control.HITS:
            return HITS
        if operation is control.ENCODERS:
            return control.Encoders(())
        return self.ask_with_payload(operation, None)[0]

    def ask_with_payload(self, _operation: Any, _request: Any) -> tuple[Any, bytes]:
        reply = racing.Targets(
            epoch=1,
            dimension=8,
            most=1000,
            pool=0,
            radius=0,
            reward=10,
            goal=3,
            hits=0,
            targets=(),
            next=None,
            weak=(),
        )
        return reply, b""


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "Node", FakeNode)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert main(arguments) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_targets_say_who_waits_for_a_hit_and_which_own_submissions_wait(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "targets", "--data-dir", "x")
    lines = out.splitlines()
    assert "hit 4 · 020202020202 with 030303030303 · 1.000000000 SOMA · audited · 2 wait" in lines
    assert "hit 5 · 010101010101 with 030303030303 · 1.000000000 SOMA · audited" in lines
    assert "waiting 4 · shown, if a hit is found false · next" in lines
    assert "waiting 7 · sealed, if a hit is found false · 3 before it" in lines


def test_targets_for_programs_have_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(said(capsys, "targets", "--json", "--data-dir", "x")[0])
    assert [one["rivals"] for one in shown["hits"]] == [2, 0]
    assert shown["waiting"][1] == {"number": 7, "bond": 10**6, "state": "sealed", "deadline": 9, "before": 3}


def test_claim_says_what_is_still_audited_and_what_waits(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys, "claim", "--data-dir", "x")
    assert out == ""
    assert err.splitlines() == [
        "nothing to claim; 1 hits are still audited",
        "2 submissions wait for the audits of others' hits",
    ]
    shown = json.loads(said(capsys, "claim", "--json", "--data-dir", "x")[0])
    assert shown == {"claims": [], "waiting": 1, "rivals": 2}
