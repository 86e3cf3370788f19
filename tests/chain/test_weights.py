"""Rules L8 to L13: new weights are sealed, shown and in force an epoch apart (``specs/15-encoders.md``)."""

from typing import Any

import pytest
import replays
from attrs import evolve, field, frozen
from committee_world import Committee, address, committee_genesis, spread
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import PlainRule

from soma_core import chain, fixed
from soma_core.api import Answer, Settlement
from soma_core.chain import penalties
from soma_core.chain.execution import Execution
from soma_core.crypto import digest

ONE = 1
NEW: dict[str, Any] = {
    "salt": b"\x07" * 32,
    "weights": b"\x08" * 32,
    "frame": b"\x09" * 32,
    "position": fixed.vector_bytes(spread(50)),
}


def epoch(world: Committee) -> None:
    world.step(after=world.genesis.parameters.epoch_ms)
    world.announce()


def seal_of(number: int = ONE, **changes: Any) -> bytes:
    return chain.weights_seal(address(number), **{**NEW, **changes})


def commit(world: Committee, seal: bytes | None = None, number: int = ONE) -> str:
    action = chain.CommitWeights(seal_of(number) if seal is None else seal)
    return outcome(world, world.transaction(number, "commit_weights", action))


def reveal(world: Committee, number: int = ONE, **changes: Any) -> str:
    return outcome(world, world.transaction(number, "reveal_weights", chain.RevealWeights(**{**NEW, **changes})))


def deactivate(world: Committee, number: int = ONE) -> str:
    return outcome(world, world.transaction(number, "deactivate_encoder", chain.DeactivateEncoder()))


def outcome(world: Committee, payload: bytes) -> str:
    ((_, code),) = world.outcomes(world.step(payload))
    return code


def encoder(world: Committee, number: int = ONE) -> chain.Encoder:
    return world.state.need(chain.ENCODERS, address(number))


def test_weights_are_in_force_two_epochs_after_their_seal() -> None:
    world = replays.begun()
    before = encoder(world)
    assert commit(world) == ""
    epoch(world)
    assert reveal(world) == ""
    assert encoder(world) == before
    assert commit(world) == "exists"
    epoch(world)
    after = encoder(world)
    assert (after.weights, after.frame, after.position) == (NEW["weights"], NEW["frame"], NEW["position"])
    assert (after.registered, after.gate, after.since) == (4, 0, 0)
    assert world.state.get(chain.NEXT_WEIGHTS, address(ONE)) is None
    assert commit(world) == ""


def test_who_seals_first_is_the_earlier_whoever_shows_first() -> None:
    world = replays.begun()
    for number in (2, 1):
        assert commit(world, number=number) == ""
    epoch(world)
    for number in (1, 2):
        assert reveal(world, number=number) == ""
    epoch(world)
    assert encoder(world, 2).registered < encoder(world, 1).registered


def test_what_is_not_shown_in_its_epoch_is_forgotten() -> None:
    world = replays.begun()
    before = encoder(world), chain.stake_of(world.state, address(ONE))
    assert commit(world) == ""
    epoch(world)
    epoch(world)
    assert reveal(world) == "weights"
    assert (encoder(world), chain.stake_of(world.state, address(ONE))) == before


def test_what_is_refused() -> None:
    world = replays.begun()
    assert commit(world, number=6) == "encoder"
    assert reveal(world, number=6) == "encoder"
    assert deactivate(world, number=6) == "encoder"
    assert reveal(world) == "weights"
    assert commit(world) == ""
    assert reveal(world) == "epoch"
    epoch(world)
    assert reveal(world, salt=bytes(32)) == "seal"
    assert reveal(world, position=b"") == "seal"
    assert reveal(world) == ""
    assert reveal(world) == "weights"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"weights": b""}, "weights"),
        ({"frame": bytes(31)}, "weights"),
        ({"position": bytes(16)}, "position"),
        ({"position": NEW["position"][:-2]}, "position"),
        ({"position": b""}, ""),
    ],
    ids=str,
)
def test_what_is_shown_must_be_weights(changes: dict[str, Any], code: str) -> None:
    world = replays.begun()
    assert commit(world, seal_of(**changes)) == ""
    epoch(world)
    assert reveal(world, **changes) == code


def test_a_seal_is_for_one_encoder() -> None:
    world = replays.begun()
    assert commit(world, seal_of(2)) == ""
    epoch(world)
    assert reveal(world) == "seal"


def test_a_registered_encoder_may_say_where_it_is_good() -> None:
    world = replays.begun()
    action = chain.RegisterEncoder(
        name="fresh",
        stake=10**9,
        weights=bytes(32),
        frame=bytes(32),
        architecture="byte-transformer-1",
        position=NEW["position"],
    )
    assert outcome(world, world.transaction(5, "register_encoder", action)) == ""
    assert encoder(world, 5).position == NEW["position"]


def test_an_encoder_that_ends_is_drawn_no_more_until_it_has_new_weights() -> None:
    world = replays.begun(shard_size=4)
    assert deactivate(world) == ""
    assert deactivate(world) == "exists"
    _, shard = replays.ask_and_draw(world)
    assert ONE in shard  # until the epoch is over
    assert commit(world) == ""
    epoch(world)
    _, shard = replays.ask_and_draw(world, nonce=1)
    assert sorted(shard) == [2, 3, 4]
    assert reveal(world) == ""
    epoch(world)
    assert (encoder(world).until, encoder(world).since) == (None, 2)
    _, shard = replays.ask_and_draw(world, nonce=2)
    assert sorted(shard) == [1, 2, 3, 4]


@frozen
class Blaming:
    """The plain rule, which calls the highest loss the weakest."""

    plain: PlainRule = field(factory=PlainRule)

    def draw(self, *arguments: Any) -> tuple[int, ...]:
        return self.plain.draw(*arguments)

    def settle(self, pot: int, answers: list[Answer], settled: Any, /) -> Settlement:
        judged = self.plain.settle(pot, answers, settled)
        return evolve(judged, weakest=max(judged.weights, key=lambda place: answers[place].loss))


def test_who_is_always_the_weakest_is_ejected() -> None:
    world = Committee(genesis=committee_genesis((1,), shard_size=4), rule=Blaming())
    world.announce()
    for nonce in range(8):
        assert encoder(world, 4).until is None
        assert encoder(world, 4).last_places == nonce
        replays.whole_job(world, nonce=nonce)
    assert (encoder(world, 4).until, encoder(world, 4).last_places) == (1, 8)
    replays.whole_job(world, nonce=8)
    assert encoder(world, 4).until == 1
    assert encoder(world, 1).last_places == 0


def test_a_win_wipes_out_last_places() -> None:
    world = Committee(genesis=committee_genesis((1,), shard_size=4), rule=Blaming())
    world.announce()
    replays.whole_job(world)
    assert encoder(world, 4).last_places == 1
    job, shard = replays.ask_and_draw(world, nonce=1)
    said = {n: (0 if n == 4 else n << 16, replays.answer(n)[1]) for n in shard}
    world.step(*(replays.seal(world, job, n, *said[n]) for n in shard))
    world.step(*(replays.show(world, job, n, *said[n]) for n in shard))
    replays.mixing(world)
    assert (encoder(world, 4).last_places, encoder(world, 3).last_places) == (0, 1)


def test_a_third_offence_ends_an_encoder() -> None:
    world = replays.begun()
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 5)
    for number in range(3):
        assert run.state.need(chain.ENCODERS, address(1)).until is None, number
        penalties.convict(run, address(1), 10**9)
    assert run.state.need(chain.ENCODERS, address(1)).until == 6
    penalties.convict(run, address(1), 10**9)
    assert run.state.need(chain.ENCODERS, address(1)).until == 6


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["commit", "reveal", "end", "epoch"]), st.integers(1, 3)), max_size=20))
def test_whatever_order_things_come_in_the_registry_is_in_order(steps: list[tuple[str, int]]) -> None:
    world = replays.begun()
    for step, number in steps:
        if step == "epoch":
            epoch(world)
        else:
            {"commit": commit, "reveal": reveal, "end": deactivate}[step](world, number=number)
    for known in (found for _, found in world.state.scan(chain.NEXT_WEIGHTS)):
        assert world.epoch - 1 <= known.epoch <= world.epoch
    numbers = [found.registered for _, found in world.state.scan(chain.ENCODERS)]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < world.state.need(chain.encoders.REGISTRY).count
    assert digest("soma/weightseal") != digest("soma/weights")
