"""Rules L14 and L15: encoders say where the bytes of their weights are (``specs/15-encoders.md``)."""

from typing import Any

import pytest
import replays
from attrs import evolve
from committee_world import Committee, address

from soma_core import chain
from soma_core.chain import offers

ONE, STRANGER = 1, 20
OFFER = chain.Offer(weights=b"\x01" * 32, frame=b"\x01" * 32, blob=b"\x05" * 32, size=1_000)


def send(world: Committee, number: int = ONE, offer: chain.Offer = OFFER) -> str:
    applied = world.step(world.transaction(number, "offer_weights", chain.OfferWeights(offer)))
    ((_, code),) = world.outcomes(applied)
    return code


def found(world: Committee, offer: chain.Offer = OFFER) -> chain.Offer | None:
    return chain.offer_of(world.state, address(ONE), offer.weights, offer.frame)


def renew(world: Committee, number: int) -> chain.Offer:
    """Show new weights. They come into force with the epoch."""
    named = {"weights": bytes([number]) * 32, "frame": bytes([number]) * 32}
    salt, position = bytes(32), b""
    seal = chain.weights_seal(address(ONE), salt, named["weights"], named["frame"], position)
    world.step(world.transaction(ONE, "commit_weights", chain.CommitWeights(seal)))
    epoch(world)
    shown = chain.RevealWeights(salt=salt, position=position, **named)
    applied = world.step(world.transaction(ONE, "reveal_weights", shown))
    assert [code for _, code in world.outcomes(applied)] == [""]
    return evolve(OFFER, **named)


def epoch(world: Committee) -> None:
    world.step(after=world.genesis.parameters.epoch_ms)
    world.announce()


def test_an_offer_is_found_by_what_it_holds_and_a_later_one_takes_its_place() -> None:
    world = replays.begun()
    assert found(world) is None
    assert send(world) == ""
    assert found(world) == OFFER
    moved = evolve(OFFER, blob=b"\x06" * 32)
    assert send(world, offer=moved) == ""
    assert found(world) == moved
    assert len(world.state.need(chain.OFFERS, address(ONE)).offers) == 1
    assert found(world, evolve(OFFER, frame=bytes(32))) is None


@pytest.mark.parametrize(
    ("code", "number", "changes"),
    [
        ("encoder", STRANGER, {}),
        ("weights", ONE, {"weights": b"\x02" * 32}),
        ("weights", ONE, {"frame": b"\x02" * 32}),
        ("size", ONE, {"size": (16 << 20) + 1}),
    ],
)
def test_what_is_refused_changes_nothing(code: str, number: int, changes: dict[str, Any]) -> None:
    world = replays.begun()
    assert send(world, number, evolve(OFFER, **changes)) == code
    assert [*world.state.scan(chain.OFFERS)] == []


def test_weights_that_are_sealed_are_offered_when_they_are_shown_and_the_last_few_are_kept() -> None:
    world = replays.begun()
    made = [OFFER]
    assert send(world) == ""
    for number in range(30, 30 + offers.OFFERS_MOST):
        later = evolve(OFFER, weights=bytes([number]) * 32, frame=bytes([number]) * 32)
        assert send(world, offer=later) == "weights"
        made.append(renew(world, number))
        assert send(world, offer=made[-1]) == ""
        epoch(world)
    assert world.state.need(chain.OFFERS, address(ONE)).offers == tuple(made[1:])
    assert found(world) is None
