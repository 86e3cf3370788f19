"""Rules Y9 to Y11: an encoder's best anchors, and the cells that are its own by them (``specs/23-routing.md``)."""

from typing import Any

import pytest
import replays
from attrs import evolve, field, frozen
from committee_world import Committee, account, address, committee_genesis
from hypothesis import given
from hypothesis import strategies as st
from ledger_world import PlainRule

from soma_core import chain
from soma_core.api import Answer, Settlement
from soma_core.chain import routing, specialities
from soma_core.chain.execution import Execution
from soma_core.errors import GenesisError
from soma_core.genesis import OPAQUE, Genesis, check, is_best

TEXT = b"Many hands make light work of what one hand would leave undone. " * 20
CODE = b"for i in range(10):\n    if (x[i] != y[i]): z += {'a': 1}[k]\n" * 20
KINDS = (TEXT, CODE)
ANCHORS = tuple(chain.sketch_of(KINDS[place % 2][place:]) for place in range(40))
"""Text at the even places, code at the odd ones."""


def best_of(*text: int, code: tuple[int, ...] = ()) -> bytes:
    """The ten best anchors: those numbers of the text, those of the code."""
    chosen = {*(2 * n for n in text), *(2 * n + 1 for n in code)}
    return chain.best_anchors([place not in chosen for place in range(40)])


TEXTS = best_of(*range(10))
CODES = best_of(code=tuple(range(10)))


def anchored(**changes: Any) -> Genesis:
    """A genesis with the sketches of forty anchors."""
    return evolve(committee_genesis((1,), **changes), sketches=ANCHORS)


@frozen
class Blaming:
    """The plain rule; the highest loss is the weakest where it should be good. Remembers who was at home."""

    plain: PlainRule = field(factory=PlainRule)
    own: list[list[bool]] = field(factory=list)

    def draw(self, *arguments: Any) -> tuple[int, ...]:
        return self.plain.draw(*arguments)

    def settle(self, pot: int, answers: list[Answer], settled: Any, /) -> Settlement:
        self.own.append([answer.own for answer in answers])
        judged = self.plain.settle(pot, answers, settled)
        last = max(judged.weights, key=lambda place: answers[place].loss)
        return evolve(judged, weakest=last if answers[last].own else None)


def job(world: Committee, data: bytes, nonce: int = 0) -> list[int]:
    """A job of these data from request to payment. Returns its shard."""
    key = chain.job_key(address(replays.USER), replays.BLOB, nonce)
    world.step(replays.request(world, nonce=nonce))
    world.step(world.transaction(account(0), "attest_data", chain.AttestData(key, chain.sketch_of(data))))
    replays.mixing(world)
    shard = replays.drawn(world, key)
    world.step(*(replays.seal(world, key, n, *replays.answer(n)) for n in shard))
    world.step(*(replays.show(world, key, n, *replays.answer(n)) for n in shard))
    replays.mixing(world)
    return shard


@given(st.lists(st.integers(0, 1 << 20), min_size=16, max_size=100))
def test_the_best_are_the_quarter_of_the_lowest_losses(losses: list[int]) -> None:
    best = chain.best_anchors(losses)
    assert is_best(evolve(anchored(), sketches=ANCHORS[:1] * len(losses)), best)
    bits = "".join(f"{byte:08b}" for byte in best)
    inside = [loss for loss, bit in zip(losses, bits, strict=False) if bit == "1"]
    outside = [loss for loss, bit in zip(losses, bits, strict=False) if bit == "0"]
    assert sorted(losses)[: len(losses) // 4] == sorted(inside)
    assert max(inside) <= min(outside)


@pytest.mark.parametrize(
    "best", [b"", TEXTS[:-1], TEXTS + b"\0", bytes(5), b"\xff" * 5, b"\xff\xc0\0\0", b"\xff\x80\0\0\0"], ids=repr
)
def test_what_is_no_quarter_of_the_anchors_is_refused(best: bytes) -> None:
    assert not is_best(anchored(), best)
    world = Committee(genesis=anchored())
    action = {
        "name": "fresh",
        "stake": 10**9,
        "weights": bytes(32),
        "frame": bytes(32),
        "architecture": "byte-transformer-1",
        "position": b"",
        "salt": b"",
    }
    wrong = world.step(world.transaction(5, "register_encoder", {**action, "best": best}))
    assert world.outcomes(wrong) == [("failed", "best")]
    assert world.state.get(chain.ENCODERS, address(5)) is None
    opaque = {**action, "architecture": OPAQUE}
    refused = world.step(world.transaction(5, "register_encoder", {**opaque, "best": TEXTS}))
    assert world.outcomes(refused) == [("failed", "best")]
    right = world.step(
        world.transaction(5, "register_encoder", {**action, "best": TEXTS}),
        world.transaction(6, "register_encoder", {**opaque, "name": "other", "best": b""}),
    )
    assert world.outcomes(right) == [("applied", "")] * 2
    assert world.state.need(chain.ENCODERS, address(5)).best == TEXTS


def test_bits_beyond_the_anchors_are_none() -> None:
    eighteen = evolve(anchored(), sketches=ANCHORS[:18])
    assert is_best(eighteen, b"\xf0\0\0")
    assert is_best(eighteen, b"\xe0\0\x40")
    assert not is_best(eighteen, b"\xe0\0\x20")


def test_a_network_without_anchors_takes_no_best() -> None:
    world = replays.begun()
    action = chain.RegisterEncoder(
        name="fresh", stake=10**9, weights=bytes(32), frame=bytes(32), architecture="byte-transformer-1", best=TEXTS
    )
    assert world.outcomes(world.step(world.transaction(5, "register_encoder", action))) == [("failed", "best")]


@pytest.mark.parametrize("sketches", [ANCHORS[:15], (*ANCHORS, b"short"), ANCHORS * 103], ids=["few", "short", "many"])
def test_a_genesis_with_other_sketches_is_refused(sketches: tuple[bytes, ...]) -> None:
    with pytest.raises(GenesisError, match="sketches are none or of 16 to 4096 anchors"):
        check(evolve(anchored(), sketches=sketches))


def test_a_genesis_says_what_its_encoders_are_good_at() -> None:
    genesis = anchored()
    first, *others = genesis.encoders
    good = check(evolve(genesis, encoders=(evolve(first, best=TEXTS), *others)))
    assert Committee(genesis=good).state.need(chain.ENCODERS, address(1)).best == TEXTS
    with pytest.raises(GenesisError, match="best anchors are not a quarter"):
        check(evolve(genesis, encoders=(evolve(first, best=TEXTS[1:]), *others)))


def test_a_cell_with_a_quarter_of_the_best_anchors_is_its_own() -> None:
    world = Committee(genesis=anchored())
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 0)
    assert specialities.are_own(run, None, [TEXTS, b""]) == (False, False)
    text, code = (routing.cell_of(run, chain.sketch_of(data)) for data in KINDS)
    assert (text, code) == (0, 1)
    two, three = best_of(0, 1, code=tuple(range(8))), best_of(0, 1, 2, code=tuple(range(7)))
    bests = [TEXTS, CODES, two, three, b""]
    assert specialities.are_own(run, text, bests) == (True, False, False, True, False)
    assert specialities.are_own(run, code, bests) == (False, True, True, True, False)
    assert specialities.are_own(run, text, [b"", b""]) == (False, False)


def test_of_equally_near_cells_an_anchor_lies_in_the_first() -> None:
    world = Committee(genesis=anchored())
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 0)
    middle = b"".join((value << 8).to_bytes(2, "big") for value in chain.sketch_of(TEXT))
    for number in range(2):
        run.state.put(routing.CELLS, bytes([number]), routing.Cell(middle=middle, jobs=1))
    assert specialities.are_own(run, 0, [TEXTS]) == (True,)
    assert specialities.are_own(run, 1, [TEXTS]) == (False,)


def test_only_where_it_should_be_good_the_weakest_pays_and_is_ejected_in_the_end() -> None:
    """All four encoders are drawn; the fourth, which has the highest loss, is at home in text."""
    genesis = anchored(shard_size=4, epoch_ms=10**9)
    *others, last = genesis.encoders
    rule = Blaming()
    world = Committee(genesis=evolve(genesis, encoders=(*others, evolve(last, best=TEXTS))), rule=rule)
    world.announce()
    for nonce in range(8):
        shard = job(world, TEXT, nonce)
        job(world, CODE, 100 + nonce)
        assert rule.own[2 * nonce] == [number == 4 for number in shard]
        assert rule.own[2 * nonce + 1] == [False] * 4
        assert world.state.need(chain.ENCODERS, address(4)).last_places == nonce + 1
    assert world.state.need(chain.ENCODERS, address(4)).until == 1
