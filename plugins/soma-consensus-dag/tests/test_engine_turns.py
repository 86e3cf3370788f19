"""An engine's turns, one by one: what is on disk before what is said, whom it believes, when it wakes."""

import pytest
from driven_engine import SIGNATURE, Driven

from soma_consensus_dag import Config
from soma_consensus_dag import _messages as messages
from soma_consensus_dag._asker import STILL_MS
from soma_consensus_dag._intake import FAR
from soma_core.api import (
    Accuse,
    Applied,
    Deliver,
    Durable,
    EndEpoch,
    Payload,
    Persist,
    Pull,
    Send,
    Sign,
    Signed,
    Verify,
)

CONFIG = Config()
"""As `Driven` has it."""


@pytest.fixture
def member() -> Driven:
    made = Driven()
    made.join()
    return made


def rounds(member: Driven) -> list[int]:
    return [one.round for one in member.of(Pull)]


# What is on disk. -----------------------------------------------------------------------------------------------------


def test_a_block_is_on_disk_before_it_is_signed_and_sent() -> None:
    member = Driven()
    member.durable = member.answering = False
    member.join()
    assert rounds(member) == [1]
    member.step(Payload((), b""))
    (write,) = member.of(Persist)
    member.step(Durable(write.barrier - 1))
    assert not member.of(Sign)
    member.step(Durable(write.barrier))
    (sign,) = member.of(Sign)
    assert not member.own()
    member.step(Signed(sign.slot, SIGNATURE))
    (sent,) = [one for one in member.of(Send) if member.blocks_in(one)]
    assert sent.after == write.barrier
    assert sent.peers == (1, 2, 3)
    assert member.own()[0].round == 1
    assert sign.slot == (1).to_bytes(8, "big")
    assert sign.body == member.own()[0].header


def test_with_a_block_all_that_it_refers_to_is_on_disk(member: Driven) -> None:
    member.give_round(1)
    member.wait(1_000)
    (first, second) = [one for one in member.of(Send) if member.blocks_in(one) and len(one.peers) == 3][:2]
    written = b"".join(
        value for one in member.of(Persist) if one.barrier <= second.after for value in one.batch.values() if value
    )
    assert second.after > first.after
    for author in range(4):
        assert member.blocks[1, author].header in written


def test_a_commit_is_on_disk_before_the_chain_has_it(member: Driven) -> None:
    for round_ in range(1, 7):
        member.give_round(round_)
        member.wait(1_000)
    commits = member.of(Deliver)
    assert commits
    for one in commits:
        before = [
            action
            for _, action in member.done[: [action for _, action in member.done].index(one)]
            if isinstance(action, Persist)
        ]
        assert one.after == before[-1].barrier > 0


# When it wakes. -------------------------------------------------------------------------------------------------------


def test_a_refused_round_is_given_up() -> None:
    """The signer remembers a block of round 1 that we do not: there is none of ours, and later rounds go on."""
    member = Driven()
    member.answering = False
    member.join()
    member.step(Payload((), b""))
    member.step(Signed((1).to_bytes(8, "big"), b""))
    member.wait(5_000)
    assert rounds(member) == [1]
    member.give_round(1)
    member.wait(5_000)
    assert rounds(member) == [1, 2]
    assert not member.own()


def test_a_new_round_has_its_own_timeout_also_if_our_own_block_completes_it() -> None:
    """Two blocks of round 1 are here and a minute goes by; our own is the third. The leader of round 1 is missing."""
    first = Driven().leader[1]
    me = (first + 1) % 4
    member = Driven(me)
    member.answering = False
    member.join()
    others = [place for place in member.others if place != first]
    for author in others:
        member.give(member.make(author, 1))
    member.wait(60_000)
    assert rounds(member) == [1]
    member.answering = True
    member.step(Payload((), b""))
    assert len(member.own()) == 1
    begun = member.now
    member.wait(2_000)
    entered = [at for at, action in member.done if isinstance(action, Pull) and action.round == 2]
    assert entered == [begun + CONFIG.idle_ms + CONFIG.leader_timeout_ms], "the idle delay, and then the timeout"


def test_a_round_that_is_entered_late_has_its_whole_timeout() -> None:
    """The third block of round 1 comes after a minute. The leader's is missing: it is waited for from then on."""
    first = Driven().leader[1]
    member = Driven((first + 1) % 4)
    member.join()
    one, other = [place for place in member.others if place != first]
    member.give(member.make(one, 1))
    member.wait(60_000)
    begun = member.now
    member.give(member.make(other, 1))
    member.wait(2_000)
    entered = [at for at, action in member.done if isinstance(action, Pull) and action.round == 2]
    assert entered == [begun + CONFIG.leader_timeout_ms]


def test_times_of_our_blocks_never_go_back(member: Driven) -> None:
    member.give_round(1)
    member.wait(600)
    member.now -= 400
    member.give_round(2)
    member.timers.clear()
    member.wait(0)
    member.now += 1
    member.give_round(3)
    member.now += 5_000
    member.give_round(4)
    times = [block.time for block in member.own()]
    assert len(times) >= 2
    assert times == sorted(times)


def test_a_clock_that_goes_back_while_a_block_is_pulled_for() -> None:
    member = Driven()
    member.answering = False
    member.join()
    member.step(Payload((), b""))
    member.step(Signed((1).to_bytes(8, "big"), SIGNATURE))
    member.give_round(1)
    member.wait(5_000)
    assert rounds(member) == [1, 2]
    member.now = 10
    member.step(Payload((), b""))
    member.step(Signed((2).to_bytes(8, "big"), SIGNATURE))
    first, second = member.own()
    assert second.time >= first.time > 10


def test_the_chain_is_not_left_behind(member: Driven) -> None:
    """What it has not applied is bounded; when it has, the order goes on where it stood."""
    for round_ in range(1, 40):
        if (round_ - 1, 0) not in member.blocks and round_ > 1:
            break
        member.give_round(round_)
        member.wait(1_000)
    held = len(member.delivered())
    assert held == 16
    member.wait(60_000)
    assert len(member.delivered()) == held
    last = max(round_ for round_, author in member.blocks if author == 0)
    member.step(Applied(held))
    for round_ in range(last, last + 6):
        member.give_round(round_)
        member.wait(1_000)
    assert len(member.delivered()) > held
    assert member.delivered() == list(range(1, len(member.delivered()) + 1))


def test_who_has_ended_an_epoch_goes_on_for_those_who_have_not_and_not_for_ever(member: Driven) -> None:
    for round_ in range(1, 6):
        member.give_round(round_)
        member.wait(1_000)
    made, last = len(member.own()), len(member.delivered())
    member.step(EndEpoch(last))
    for round_ in range(6, 40):
        if (round_ - 1, 0) not in member.blocks:
            break
        member.give_round(round_)
        member.wait(1_000)
    member.wait(60_000)
    assert len(member.own()) > made
    assert len(member.delivered()) == last + 16


# Whom it believes. ----------------------------------------------------------------------------------------------------


def test_blocks_of_others_are_not_taken_unasked(member: Driven) -> None:
    member.give(member.make(2, 1), peer=1)
    assert not member.of(Verify)
    member.give(member.make(2, 1))
    assert len(member.of(Verify)) == 1


def test_what_is_missing_is_asked_for_again_and_of_others(member: Driven) -> None:
    """Author 1's block of round 2 refers to blocks of round 1 that nobody sent."""
    for author in member.others:
        member.blocks[1, author] = member.make(author, 1)
    member.give(member.make(1, 2))
    member.wait(3_000)
    wants = [
        (one.peers, message)
        for one in member.of(Send)
        if isinstance(message := messages.unpack(one.message), messages.Want)
    ]
    needed = {member.blocks[1, author].ref for author in member.others}
    assert {ref for _, message in wants for ref in message.refs} == needed
    assert {peers for peers, _ in wants} == {(1,), (2,), (3,)}
    for author in member.others:
        member.give(member.blocks[1, author], peer=3)
    asked = len(wants)
    member.wait(3_000)
    later = [one for one in member.of(Send) if isinstance(messages.unpack(one.message), messages.Want)]
    assert len(later) == asked


ASKED = (messages.Since(1), messages.Since(2))


def test_blocks_of_a_round_that_lasts_are_asked_for(member: Driven) -> None:
    member.give_round(1)
    member.wait(CONFIG.idle_ms)
    assert rounds(member) == [1, 2]
    member.give(member.make(1, 2))
    member.wait(STILL_MS - CONFIG.idle_ms - 1)
    assert messages.Since(1) not in member.sent(), "the round has begun less than that before"
    member.wait(1)
    questions = [(one.peers, message) for one in member.of(Send) if (message := messages.unpack(one.message)) in ASKED]
    assert questions == [((1,), messages.Since(2)), ((2,), messages.Since(1)), ((3,), messages.Since(1))]
    member.wait(3 * STILL_MS)
    assert member.sent().count(messages.Since(1)) == 2 * 4
    member.give(member.make(2, 2))
    member.wait(CONFIG.leader_timeout_ms)
    assert rounds(member) == [1, 2, 3]
    assert member.sent().count(messages.Since(2)) == 4


def test_what_came_too_early_is_asked_for_again(member: Driven) -> None:
    """Its author has shown us later blocks than those that we lack: they were too far ahead to be kept."""
    for round_ in range(1, FAR + 3):
        for author in member.others:
            member.blocks[round_, author] = member.make(author, round_)
    for author in member.others:
        member.give(member.blocks[FAR + 2, author])
    member.done.clear()
    member.wait(2 * STILL_MS)
    assert [message for message in member.sent() if isinstance(message, messages.Since)] == [messages.Since(0)] * 6


def test_two_blocks_of_a_slot_are_told_once(member: Driven) -> None:
    first, second, third = (member.make(1, 1, time=time) for time in (1, 2, 3))
    member.give(first)
    assert not member.of(Accuse)
    member.give(second)
    assert len(member.of(Accuse)) == 1
    member.give(third)
    (accused,) = member.of(Accuse)
    assert (accused.member, accused.first, accused.second) == (1, first.stub, second.stub)
    member.give(second)
    assert len(member.of(Accuse)) == 1


def test_of_a_liar_no_third_block_of_a_slot_is_taken_unless_another_refers_to_it(member: Driven) -> None:
    first, second, third, fourth = (member.make(1, 1, time=time) for time in range(4))
    for one in (first, second, third):
        member.give(one)
    assert len(member.of(Verify)) == 2
    member.blocks[1, 1] = fourth
    for author in (2, 3):
        member.blocks[1, author] = member.make(author, 1)
        member.give(member.blocks[1, author])
    above = member.make(2, 2)
    member.give(above)
    member.give(fourth, peer=2)
    assert above.ref in [block.ref for block in member.engine._parts.manager.blocks.values()]  # type: ignore[attr-defined]
