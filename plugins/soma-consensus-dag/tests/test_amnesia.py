"""After a start a quorum is asked for our own last block; what we do not remember is never signed again."""

import pytest

from soma_consensus_dag import Config, Params, open_engine
from soma_consensus_dag import _messages as messages
from soma_consensus_dag._block import Format
from soma_consensus_dag._committee import Committee
from soma_consensus_dag._recovery import Recovery
from soma_core.api import (
    Action,
    Event,
    Load,
    Loaded,
    PeerUp,
    Pull,
    Received,
    Send,
    SetTimer,
    Start,
    Timer,
    Verified,
    Verify,
)
from soma_core.testing.committee import setup_of


def test_a_committee_of_one_need_ask_nobody() -> None:
    assert Recovery(0, Committee([1])).done


def test_a_quorum_answers_and_our_own_stake_counts() -> None:
    recovery = Recovery(0, Committee([1, 1, 1, 1]))
    assert not recovery.done
    recovery.answer(2, 0)
    recovery.answer(2, 0)
    assert not recovery.done, "f + 1 may all have missed our last block, or lie"
    recovery.answer(3, 0)
    assert recovery.done
    assert recovery.floor(0) == 0


def test_stake_counts_and_not_heads() -> None:
    recovery = Recovery(3, Committee([4, 3, 2, 1]))
    recovery.answer(2, 0)
    recovery.answer(1, 0)
    assert not recovery.done
    recovery.answer(0, 0)
    assert recovery.done
    heavy = Recovery(0, Committee([4, 3, 2, 1]))
    heavy.answer(1, 0)
    assert heavy.done


@pytest.mark.parametrize(
    ("answers", "last", "floor"), [((9, 4), 9, 0), ((4, 9), 8, 11), ((9, 4), 0, 11), ((0, 0), 5, 0)]
)
def test_we_go_on_two_rounds_above_what_we_forgot(answers: tuple[int, int], last: int, floor: int) -> None:
    recovery = Recovery(1, Committee([1, 1, 1, 1]))
    for peer, round_ in zip((0, 3), answers, strict=True):
        recovery.answer(peer, round_)
    assert recovery.floor(last) == floor


# The engine, its disk lost. -------------------------------------------------------------------------------------------


class Forgetful:
    """A's engine after the loss of its disk, in a committee of four, as its driver sees it."""

    def __init__(self) -> None:
        setup = setup_of(4, 0)
        self.format = Format(setup.chain, setup.epoch, Committee([1] * 4))
        self.engine = open_engine(Config(), Params(), setup)
        self.now = 1_000
        self.seen: list[Action] = []
        self.step(Start({}, 0))
        while loads := [one for one in self.seen if isinstance(one, Load)]:
            self.seen = [one for one in self.seen if not isinstance(one, Load)]
            for load in loads:
                self.step(Loaded(load.id, ()))

    def step(self, event: Event) -> None:
        self.seen += self.engine.step(event, self.now)

    def block(self, round_: int) -> bytes:
        """A block of A, of which nothing is here that it refers to."""
        refs = [(round_ - 1, author, bytes([author]) * 32) for author in range(4)]
        return self.format.make(round_, 0, 500, refs, (), b"", ()).signed(bytes(64)).wire

    def number(self) -> int:
        """Of the question that it asks."""
        asked = [messages.unpack(one.message) for one in self.seen if isinstance(one, Send)]
        return next(one.number for one in asked if isinstance(one, messages.AskLast))

    def answer(self, peer: int, wire: bytes) -> None:
        self.step(Received(peer, messages.pack(messages.Last(self.number(), wire))))

    def verify(self, *, ok: bool = True) -> None:
        checks = [one for one in self.seen if isinstance(one, Verify)]
        self.seen = [one for one in self.seen if not isinstance(one, Verify)]
        for one in checks:
            self.step(Verified(one.id, ok))

    def pulls(self) -> list[int]:
        """The rounds that it begins blocks for, within a minute."""
        for _ in range(120):
            self.now += 500
            timers = {one.name for one in self.seen if isinstance(one, SetTimer) and one.at <= self.now}
            self.seen = [one for one in self.seen if not isinstance(one, SetTimer) or one.name not in timers]
            for name in sorted(timers):
                self.step(Timer(name))
        return [one.round for one in self.seen if isinstance(one, Pull)]


@pytest.fixture
def forgetful() -> Forgetful:
    member = Forgetful()
    for peer in (1, 2, 3):
        member.step(PeerUp(peer))
    return member


def test_nothing_is_proposed_before_a_quorum_has_answered(forgetful: Forgetful) -> None:
    forgetful.answer(1, b"")
    assert forgetful.pulls() == []
    forgetful.answer(2, b"")
    assert forgetful.pulls() == [1]


@pytest.mark.parametrize("together", [True, False])
def test_answers_count_when_they_are_verified_and_bind_us_then(forgetful: Forgetful, *, together: bool) -> None:
    """Whether the second answer comes before the first is verified or after it."""
    for peer in (1, 2):
        forgetful.answer(peer, forgetful.block(9))
        if not together:
            forgetful.verify()
    assert not together or forgetful.pulls() == []
    forgetful.verify()
    assert forgetful.pulls() == []


def test_who_shows_a_forged_block_has_not_answered(forgetful: Forgetful) -> None:
    forgetful.answer(1, forgetful.block(9))
    forgetful.verify(ok=False)
    forgetful.answer(2, b"")
    assert forgetful.pulls() == []
    forgetful.answer(3, b"")
    assert forgetful.pulls() == [1]


def test_who_asks_has_just_started_and_is_asked_once_more(forgetful: Forgetful) -> None:
    forgetful.answer(1, b"")
    forgetful.seen.clear()
    for peer in (1, 2):
        forgetful.step(Received(peer, messages.pack(messages.AskLast(7))))
    sent = [(one.peers, messages.unpack(one.message)) for one in forgetful.seen if isinstance(one, Send)]
    assert [peers for peers, message in sent if isinstance(message, messages.Last)] == [(1,), (2,)]
    assert [peers for peers, message in sent if isinstance(message, messages.AskLast)] == [(2,)], "1 has answered"


def test_an_answer_to_a_question_of_an_earlier_life_is_none(forgetful: Forgetful) -> None:
    stale = messages.pack(messages.Last(forgetful.number() + 1, b""))
    for peer in (1, 2, 3):
        forgetful.step(Received(peer, stale))
    assert forgetful.pulls() == []
