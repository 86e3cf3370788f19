"""New weights, and the end of an encoder: sealed, shown an epoch later, in force with the one after that.

Nobody can copy weights that are not shown yet, and whoever sealed first is the earlier. Rules L8 to L13 of
``specs/15-encoders.md``.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core.genesis import ANCHORS_MOST
from soma_core.records import octets, uint

from .encoders import ENCODERS, REGISTRY, Encoder, Registry, check_weights, weights_seal
from .execution import Execution, Handler, Refusal
from .state import Table


@frozen(kw_only=True)
class Shown:
    """What a seal held."""

    weights: bytes = octets(most=32)
    frame: bytes = octets(most=32)
    position: bytes = octets(most=1 << 14)
    best: bytes = octets(most=ANCHORS_MOST // 8, default=b"")


@frozen(kw_only=True)
class NextWeights:
    """Weights that an encoder sealed in `epoch`, as the `registered`-th of all. `shown`: what is in the seal."""

    seal: bytes = octets(32)
    epoch: int = uint()
    registered: int = uint()
    shown: Shown | None = None


NEXT_WEIGHTS: Final = Table("next weights", 0x33, NextWeights)


@frozen
class CommitWeights:
    """Seal new weights of the sender's encoder. It replaces a seal that is not shown."""

    seal: bytes = octets(32)


@frozen(kw_only=True)
class RevealWeights:
    """Show what was sealed in the epoch before: digests of weights and frame map, position (int16), best anchors."""

    salt: bytes = octets(32)
    weights: bytes = octets(most=32)
    frame: bytes = octets(most=32)
    position: bytes = octets(most=1 << 14)
    best: bytes = octets(most=ANCHORS_MOST // 8, default=b"")


@frozen
class DeactivateEncoder:
    """Have the sender's encoder drawn no more from the next epoch on, until it has new weights."""


def _commit(run: Execution, sender: bytes, action: CommitWeights) -> None:
    _encoder(run, sender)
    known = run.state.get(NEXT_WEIGHTS, sender)
    if known is not None and known.shown is not None:
        raise Refusal("exists", "weights that were shown come into force first")
    count = run.state.need(REGISTRY).count
    run.state.put(REGISTRY, b"", Registry(count + 1))
    run.state.put(NEXT_WEIGHTS, sender, NextWeights(seal=action.seal, epoch=run.epoch, registered=count))


def _reveal(run: Execution, sender: bytes, action: RevealWeights) -> None:
    encoder = _encoder(run, sender)
    known = run.state.get(NEXT_WEIGHTS, sender)
    if known is None or known.shown is not None:
        raise Refusal("weights", "no weights are sealed that could be shown")
    if run.epoch != known.epoch + 1:
        raise Refusal("epoch", f"weights that were sealed in epoch {known.epoch} are shown in epoch {known.epoch + 1}")
    if known.seal != weights_seal(sender, action.salt, action.weights, action.frame, action.position, action.best):
        raise Refusal("seal", "these are not the weights that were sealed")
    check_weights(run, encoder.architecture, action.weights, action.frame, action.position, action.best)
    shown = Shown(weights=action.weights, frame=action.frame, position=action.position, best=action.best)
    run.state.put(NEXT_WEIGHTS, sender, evolve(known, shown=shown))


def _deactivate(run: Execution, sender: bytes, _action: DeactivateEncoder) -> None:
    if _encoder(run, sender).until is not None:
        raise Refusal("exists", "this encoder is drawn no more already")
    retire(run, sender)


ACTIONS: Final[Mapping[str, Handler]] = {
    "commit_weights": Handler(CommitWeights, _commit),
    "reveal_weights": Handler(RevealWeights, _reveal),
    "deactivate_encoder": Handler(DeactivateEncoder, _deactivate),
}


def retire(run: Execution, address: bytes) -> None:
    """Draw an encoder no more from the next epoch on, by its owner's wish or because it was ejected."""
    encoder = run.state.need(ENCODERS, address)
    if encoder.until is None:
        run.state.put(ENCODERS, address, evolve(encoder, until=run.epoch + 1))


def on_epoch(run: Execution) -> None:
    """Put weights into force that were shown in the epoch that ends; forget those that were not shown in time."""
    for address, known in list(run.state.scan(NEXT_WEIGHTS)):
        if known.shown is not None:
            encoder = run.state.need(ENCODERS, address)
            run.state.put(ENCODERS, address, _renewed(run, encoder, known.registered, known.shown))
        if known.epoch < run.epoch:
            run.state.delete(NEXT_WEIGHTS, address)


def _renewed(run: Execution, encoder: Encoder, registered: int, shown: Shown) -> Encoder:
    """New weights begin on probation, and as if their encoder had never been last."""
    return evolve(
        encoder,
        weights=shown.weights,
        frame=shown.frame,
        position=shown.position,
        best=shown.best,
        registered=registered,
        gate=0,
        since=encoder.since if encoder.until is None else run.epoch + 1,
        until=None,
        last_places=0,
    )


def _encoder(run: Execution, sender: bytes) -> Encoder:
    encoder = run.state.get(ENCODERS, sender)
    if encoder is None:
        raise Refusal("encoder", "this account has no encoder")
    return encoder
