"""Rules Y: data that look alike go to who was good at them, and newcomers are seen (``specs/23-routing.md``)."""

from typing import Any

import pytest
import replays
from attrs import evolve, field, frozen
from committee_world import Committee, account, address
from hypothesis import given
from hypothesis import strategies as st
from ledger_world import PlainRule

from soma_core import chain, fixed
from soma_core.api import Candidate
from soma_core.chain import routing
from soma_core.chain.execution import Execution
from soma_core.chain.sketches import distance
from soma_core.crypto import digest
from soma_core.genesis import SKETCH_SIZE

TEXT = b"Many hands make light work of what one hand would leave undone. " * 20
CODE = b"for i in range(10):\n    if (x[i] != y[i]): z += {'a': 1}[k]\n" * 20
NOISE = b"".join(digest("soma/chunk", bytes([n])) for n in range(60))


def execution(world: Committee, epoch: int = 0) -> Execution:
    return Execution(world.genesis, world.rule, world.state, 9, 9, epoch)


@given(st.binary(min_size=1, max_size=400))
def test_a_sketch_is_64_bytes_of_any_data(data: bytes) -> None:
    sketch = chain.sketch_of(data)
    assert len(sketch) == SKETCH_SIZE
    counts = [sum(value // 8 == bucket for value in data) for bucket in range(32)]
    roots = [max(0, int((count * 65536 // len(data)) ** 0.5)) for count in counts]
    assert [abs(a - min(255, b)) <= 1 for a, b in zip(sketch, roots, strict=False)] == [True] * 32


def test_kinds_of_data_lie_apart_and_parts_of_one_together() -> None:
    kinds = {"text": TEXT, "code": CODE, "noise": NOISE}
    for name, data in kinds.items():
        whole, part = chain.sketch_of(data), chain.sketch_of(data[: len(data) // 2])
        assert distance(whole, part) < routing.CELL_RADIUS
        for other in kinds.keys() - {name}:
            assert distance(whole, chain.sketch_of(kinds[other])) > routing.CELL_RADIUS


def test_data_fall_into_cells_which_move_with_them() -> None:
    run = execution(replays.begun())
    assert routing.cell_of(run, b"") is None
    assert [routing.cell_of(run, chain.sketch_of(data)) for data in (TEXT, CODE, NOISE)] == [0, 1, 2]
    before = run.state.need(routing.CELLS, b"\0")
    assert routing.cell_of(run, chain.sketch_of(TEXT[:100])) == 0
    after = run.state.need(routing.CELLS, b"\0")
    assert (after.jobs, after.middle != before.middle) == (2, True)


def test_when_there_is_no_room_for_a_cell_the_nearest_takes_the_datum() -> None:
    run = execution(replays.begun())
    for number in range(routing.CELLS_MOST):
        sketch = bytes(255 if place == number else 0 for place in range(SKETCH_SIZE))
        assert routing.cell_of(run, sketch) == number
    assert routing.cell_of(run, bytes(255 if place in (40, 41) else 0 for place in range(SKETCH_SIZE))) == 0


@pytest.mark.parametrize(
    ("answers", "excess", "factor"),
    [
        (3, 99 << 16, 1 << 16),
        (4, 0, 1 << 16),
        (4, 1 << 16, 1 << 15),
        (4, 4 << 16, 1 << 12),
        (4, 32 << 16, routing.ROUTE_LEAST),
    ],
)
def test_a_factor_is_what_earlier_epochs_say(answers: int, excess: int, factor: int) -> None:
    run = execution(replays.begun(), epoch=1)
    score = routing.Score(epoch=0, answers=answers, excess=excess, answers_before=0, excess_before=0)
    run.state.put(routing.SCORES, b"\0" + address(1), score)
    run.state.put(routing.SCORES, b"\1" + address(2), score)
    seed = next(s for n in range(99) if _routes(run, s := bytes([n]) * 32))
    assert routing.factors(run, 0, seed) == {address(1): factor}
    assert routing.factors(run, None, seed) == {}
    assert routing.factors(evolve(run, epoch=0), 0, seed) == {address(1): 1 << 16}


def _routes(run: Execution, seed: bytes) -> bool:
    return bool(routing.factors(run, 0, seed))


def test_one_draw_in_twelve_goes_by_stake_alone() -> None:
    run = execution(replays.begun(), epoch=1)
    score = routing.Score(epoch=0, answers=9, excess=1 << 20, answers_before=0, excess_before=0)
    run.state.put(routing.SCORES, b"\0" + address(1), score)
    plain = sum(not _routes(run, digest("soma/draw", n.to_bytes(4, "big"))) for n in range(1_200))
    assert 60 <= plain <= 140  # 5 to 12 in a hundred


def test_older_scores_fade() -> None:
    score = routing.Score(epoch=3, answers=5, excess=50, answers_before=8, excess_before=80)
    later = routing._as_of(score, 9)
    assert (later.epoch, later.answers, later.answers_before, later.excess_before) == (9, 0, 13, 130)
    assert routing._as_of(score, 3) == score
    many = routing._as_of(evolve(score, answers=500, excess=5_000, answers_before=64, excess_before=6_400), 4)
    assert (many.answers_before, many.excess_before) == (564 >> 4, 11_400 >> 4)


def test_a_network_of_few_jobs_learns_too() -> None:
    """An answer an epoch is enough, in time; and what an encoder was long ago is outweighed."""
    score = routing.Score(epoch=0, answers=1, excess=8, answers_before=0, excess_before=0)
    seen = []
    for epoch in range(1, 400):
        score = evolve(routing._as_of(score, epoch), answers=1, excess=8 if epoch < 200 else 0)
        seen.append((score.answers_before, score.excess_before))
    assert seen[3] == (4, 32)
    assert max(answers for answers, _ in seen) == 64
    assert seen[-1][1] < seen[-1][0]  # of 8 bits an answer before, less than one is left


def test_validators_must_agree_on_the_sketch() -> None:
    world = replays.begun((1, 1, 1, 1))
    job = chain.job_key(address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world))

    def attest(place: int, sketch: bytes) -> list[tuple[str, str]]:
        action = chain.AttestData(job, sketch)
        return world.outcomes(world.step(world.transaction(account(place), "attest_data", action)))

    right = chain.sketch_of(TEXT)
    assert attest(0, right[:-1]) == [("failed", "sketch")]
    for place, sketch in ((0, right), (1, chain.sketch_of(CODE)), (2, right)):
        assert attest(place, sketch) == [("applied", "")]
        assert world.state.need(chain.JOBS, job).stage == "attesting"
    assert attest(3, right) == [("applied", "")]
    found = world.state.need(chain.JOBS, job)
    assert (found.stage, found.cell, found.attested) == ("drawing", 0, (0, 1, 2, 3))
    assert found.sketches[1] == chain.sketch_of(CODE)


@frozen
class Weighing:
    """The plain rule, but drawing by stake and routing, as the real ones do."""

    plain: PlainRule = field(factory=PlainRule)

    def draw(self, size: int, candidates: list[Candidate], beacon: bytes, /) -> tuple[int, ...]:
        left = dict(enumerate(candidates))
        drawn: list[int] = []
        while left and len(drawn) < size:
            weights = [c.stake * c.routing for c in left.values()]
            rest = int.from_bytes(digest("soma/draw", beacon, bytes([len(drawn)])), "big") % sum(weights)
            for place, weight in zip(list(left), weights, strict=True):
                if rest < weight:
                    drawn.append(place)
                    del left[place]
                    break
                rest -= weight
        return tuple(drawn)

    def settle(self, *arguments: Any) -> Any:
        return self.plain.settle(*arguments)


def test_specialists_are_drawn_more_often_for_their_own_kind_and_lower_the_loss() -> None:
    """Two of four encoders are good at text, two at code; a shard of two is drawn for each datum."""
    good = {0: {1, 2}, 1: {3, 4}}
    world = evolve_world(replays.begun(shard_size=2, epoch_ms=3_000))
    shares: list[float] = []
    losses: list[float] = []
    for epoch in range(6):
        own, best = 0, 0
        for nonce in range(16):
            kind = nonce % 2
            job = chain.job_key(address(replays.USER), replays.BLOB, 100 * epoch + nonce)
            world.step(replays.request(world, nonce=100 * epoch + nonce))
            sketch = chain.sketch_of((TEXT, CODE)[kind])
            world.step(world.transaction(account(0), "attest_data", chain.AttestData(job, sketch)))
            replays.mixing(world)
            shard = replays.drawn(world, job)
            loss = {n: (2 if n in good[kind] else 4) << 16 for n in shard}
            own += len(good[kind] & set(shard))
            best += min(loss.values())
            world.step(*(replays.seal(world, job, n, loss[n], replays.answer(n)[1]) for n in shard))
            world.step(*(replays.show(world, job, n, loss[n], replays.answer(n)[1]) for n in shard))
            replays.mixing(world)
        shares.append(own / 32)
        losses.append(best / 16 / fixed.ONE)
        world.step(after=3_000)
        world.announce()
    assert sum(shares[1:]) / 5 > 0.7  # by stake alone 1/2
    assert sum(losses[1:]) / 5 < 2.2  # by stake alone 2 1/3


def evolve_world(world: Committee) -> Committee:
    """The same world from its start under the rule that weighs."""
    fresh = Committee(genesis=world.genesis, rule=Weighing())
    fresh.announce()
    return fresh
