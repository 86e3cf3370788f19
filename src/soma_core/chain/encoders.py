"""Encoders: the registry of who may be drawn, with stakes (rules L1 to L7, ``specs/15-encoders.md``)."""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core import fixed
from soma_core.crypto import digest
from soma_core.genesis import ANCHORS_MOST, NAME_MOST, OPAQUE, SUPPLY_MOST, is_best, is_name
from soma_core.records import octets, text, uint

from .accounts import take
from .execution import BASIS, Execution, Handler, Refusal
from .stakes import STAKES, open_pool, stake_of
from .state import State, Table

GATE_LEAST: Final = -(1 << 16)
GATE_GENESIS: Final = 2 << 16
"""Q16 bits: genesis weights start open, later ones on probation at 0."""


@frozen(kw_only=True)
class Encoder:
    """`registered`: order of these weights' registration. `gate`: running mean, Q16. `since`: first epoch of draws.

    `until`: the first epoch without draws again, if there is one. `position`: where its best data lie, int16, or empty.
    `best`: a bit for each of the network's anchors, set for the quarter it embeds best; or empty.
    `last_places`: how often it was the weakest, since it last won or has these weights.
    """

    name: str = text()
    weights: bytes = octets(most=32)
    frame: bytes = octets(most=32)
    architecture: str = text()
    registered: int = uint()
    gate: int = uint(least=GATE_LEAST, most=3 << 16, default=0)
    since: int = uint()
    until: int | None = None
    position: bytes = octets(most=1 << 14, default=b"")
    best: bytes = octets(most=ANCHORS_MOST // 8, default=b"")
    last_places: int = uint(default=0)


@frozen
class Wins:
    """Jobs that an encoder has won in this epoch and that count for its part of what the epoch makes."""

    jobs: int = uint()


@frozen
class Registry:
    """How many weights were ever registered."""

    count: int = uint(default=0)


@frozen
class Name:
    """Who holds an encoder name."""

    address: bytes = octets(32)


@frozen(kw_only=True)
class RegistrationSeal:
    """What an account without an encoder has sealed in `epoch`, as the `registered`-th of all weights."""

    seal: bytes = octets(32)
    epoch: int = uint()
    registered: int = uint()


ENCODERS: Final = Table("encoder", 0x18, Encoder)
WINS: Final = Table("wins", 0x48, Wins)
REGISTRY: Final = Table("encoder registry", 0x19, Registry)
NAMES: Final = Table("encoder name", 0x1A, Name)
SEALS: Final = Table("registration seal", 0x47, RegistrationSeal)


def count_win(state: State, address: bytes) -> None:
    """One more job that counts. The record is small and of its own: all of them go when the epoch ends."""
    known = state.get(WINS, address)
    state.put(WINS, address, Wins(1 if known is None else known.jobs + 1))


def _next_number(state: State) -> int:
    """The number of weights that are registered, or sealed, now."""
    count = state.need(REGISTRY).count
    state.put(REGISTRY, b"", Registry(count + 1))
    return count


def enrol(state: State, address: bytes, encoder: Encoder, stake: int, sealed: RegistrationSeal | None = None) -> None:
    """Add an encoder with a pool of its own, whose `stake` was taken elsewhere.

    It has the registration number of its seal, or the next one. What it earns is its owner's alone until the owner asks
    for less commission.
    """
    open_pool(state, address, stake, BASIS)
    number = _next_number(state) if sealed is None else sealed.registered
    state.put(ENCODERS, address, evolve(encoder, registered=number))
    state.put(NAMES, encoder.name.encode(), Name(address))


def candidates(run: Execution) -> list[tuple[bytes, Encoder]]:
    """Who may be drawn in this epoch, by address.

    Of those with equal weights only the earliest: who divides a stake, or copies weights, has no place beside it.
    """
    able = [
        (address, encoder)
        for address, encoder in run.state.scan(ENCODERS)
        if encoder.since <= run.epoch
        and (encoder.until is None or run.epoch < encoder.until)
        and stake_of(run.state, address) >= run.parameters.encoder_stake
    ]
    judged = [encoder for _, encoder in able if encoder.architecture != OPAQUE]
    earliest: dict[bytes, int] = {}
    for encoder in sorted(judged, key=lambda encoder: encoder.registered):
        earliest.setdefault(encoder.weights, encoder.registered)
    return [
        (address, encoder)
        for address, encoder in able
        if encoder.architecture == OPAQUE or encoder.registered == earliest[encoder.weights]
    ]


@frozen(kw_only=True)
class RegisterEncoder:
    """Register the sender's encoder with `stake` shannons of its balance. Digests are 32 bytes, or empty if opaque.

    `salt`: of the seal that it opens, or empty.
    """

    name: str = text(most=NAME_MOST)
    stake: int = uint(most=SUPPLY_MOST)
    weights: bytes = octets(most=32)
    frame: bytes = octets(most=32)
    architecture: str = text(most=32)
    position: bytes = octets(most=1 << 14, default=b"")
    best: bytes = octets(most=ANCHORS_MOST // 8, default=b"")
    salt: bytes = octets(most=32, default=b"")


@frozen
class SealRegistration:
    """Seal the weights that the sender will register in this epoch or the next, so that nobody is before it with them.

    It replaces an earlier seal.
    """

    seal: bytes = octets(32)


def weights_seal(
    encoder: bytes, salt: bytes, weights: bytes, frame: bytes, position: bytes, best: bytes = b""
) -> bytes:
    """What an encoder publishes before its weights."""
    inner = digest("soma/weightseal", weights, frame), digest("soma/weightseal", best)
    return digest("soma/weightseal", encoder, salt, *inner, position)


def check_weights(
    run: Execution, architecture: str, weights: bytes, frame: bytes, position: bytes, best: bytes
) -> None:
    """Raises `Refusal` unless an encoder of this architecture may have these digests, this position, these best."""
    if architecture != OPAQUE and (len(weights) != 32 or len(frame) != 32):
        raise Refusal("weights", "an encoder that can be audited names its weights and its frame map by digest")
    dimension = run.parameters.dimension
    if position and not (
        len(position) == 2 * dimension and fixed.is_vector(fixed.vector_from_bytes(position, dimension), dimension)
    ):
        raise Refusal("position", f"a position is a vector of {dimension} coordinates, or empty")
    anchors = len(run.genesis.sketches)
    if architecture == OPAQUE or not anchors:
        if best:
            raise Refusal("best", "without a loss, or in a network without anchors, no anchors are the best")
    elif not is_best(run.genesis, best):
        raise Refusal("best", f"of {anchors} anchors {anchors // 4} are the best, a bit each")


def _seal(run: Execution, sender: bytes, action: SealRegistration) -> None:
    if run.state.get(STAKES, sender) is not None:
        raise Refusal("exists", "this account has an encoder or a validator already")
    number = _next_number(run.state)
    run.state.put(SEALS, sender, RegistrationSeal(seal=action.seal, epoch=run.epoch, registered=number))


def _opened(run: Execution, sender: bytes, action: RegisterEncoder) -> RegistrationSeal | None:
    """The seal that a registration opens. Raises `Refusal` if it has a salt and opens none."""
    if not action.salt:
        return None
    known = run.state.get(SEALS, sender)
    seal = weights_seal(sender, action.salt, action.weights, action.frame, action.position, action.best)
    if known is None or known.seal != seal:
        raise Refusal("seal", "these are not weights that the sender has sealed; seal them, or register without a salt")
    return known


def on_epoch(run: Execution) -> None:
    """Forget seals of the epoch before this one."""
    for sender, sealed in list(run.state.scan(SEALS)):
        if sealed.epoch < run.epoch:
            run.state.delete(SEALS, sender)


def _register(run: Execution, sender: bytes, action: RegisterEncoder) -> None:
    least = run.parameters.encoder_stake
    if run.state.get(STAKES, sender) is not None:
        raise Refusal("exists", "this account has an encoder or a validator already")
    if not is_name(action.name):
        raise Refusal("name", f"{action.name!r} is no name: ASCII letters, digits and _, and none that receipts use")
    if run.state.get(NAMES, action.name.encode()) is not None:
        raise Refusal("name", f"the name {action.name} is taken")
    if action.architecture not in (*run.genesis.architectures, OPAQUE):
        raise Refusal("architecture", f"{action.architecture!r} is not one of {', '.join(run.genesis.architectures)}")
    check_weights(run, action.architecture, action.weights, action.frame, action.position, action.best)
    if action.stake < least:
        raise Refusal("stake", f"a stake of {action.stake} shannons is below the least, {least}")
    sealed = _opened(run, sender, action)
    take(run.state, sender, action.stake, "the stake")
    enrol(
        run.state,
        sender,
        Encoder(
            name=action.name,
            weights=action.weights,
            frame=action.frame,
            architecture=action.architecture,
            registered=0,
            since=run.epoch + 1,
            position=action.position,
            best=action.best,
        ),
        action.stake,
        sealed,
    )
    run.state.delete(SEALS, sender)


ACTIONS: Final[Mapping[str, Handler]] = {
    "seal_registration": Handler(SealRegistration, _seal),
    "register_encoder": Handler(RegisterEncoder, _register),
}
