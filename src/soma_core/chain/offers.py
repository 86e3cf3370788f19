"""Where the bytes lie that encoders named by digest: a blob each, which auditors fetch (rules L14 to L16)."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from soma_core.records import octets, uint

from .encoders import ENCODERS
from .execution import Execution, Handler, Refusal
from .state import State, Table
from .weights import NEXT_WEIGHTS

OFFERS_MOST: Final = 4
"""Offers that are kept of an encoder: jobs with its earlier weights may still be audited."""


@frozen(kw_only=True)
class Offer:
    """The blob of `size` bytes that holds the model of these `weights` and `frame`."""

    weights: bytes = octets(32)
    frame: bytes = octets(32)
    blob: bytes = octets(32)
    size: int = uint(least=1)


@frozen
class Offers:
    """An encoder's offers, the last one last."""

    offers: tuple[Offer, ...] = ()


OFFERS: Final = Table("weights offer", 0x36, Offers)


@frozen
class OfferWeights:
    """Name the blob in which the weights of the sender's encoder are, present ones or those it has shown."""

    offer: Offer


def offer_of(state: State, encoder: bytes, weights: bytes, frame: bytes) -> Offer | None:
    """Where the encoder says that these weights and this frame are."""
    for offer in (state.get(OFFERS, encoder) or Offers()).offers:
        if (offer.weights, offer.frame) == (weights, frame):
            return offer
    return None


def _offer(run: Execution, sender: bytes, action: OfferWeights) -> None:
    offer = action.offer
    encoder = run.state.get(ENCODERS, sender)
    if encoder is None:
        raise Refusal("encoder", "this account has no encoder")
    known = run.state.get(NEXT_WEIGHTS, sender)
    named = {(encoder.weights, encoder.frame)}
    if known is not None and known.shown is not None:
        named.add((known.shown.weights, known.shown.frame))
    if (offer.weights, offer.frame) not in named:
        raise Refusal("weights", "these are neither the encoder's weights nor those that come into force next")
    if offer.size > run.parameters.max_blob:
        raise Refusal("size", f"{offer.size} bytes; a blob has at most {run.parameters.max_blob}")
    others = [
        each
        for each in (run.state.get(OFFERS, sender) or Offers()).offers
        if (each.weights, each.frame) != (offer.weights, offer.frame)
    ]
    run.state.put(OFFERS, sender, Offers((*others, offer)[-OFFERS_MOST:]))


ACTIONS: Final[Mapping[str, Handler]] = {"offer_weights": Handler(OfferWeights, _offer)}
