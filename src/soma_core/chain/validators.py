"""Validators: the committee, its randomness, its signatures under commit records.

Each validator commits per epoch to a hash chain indexed by round (``specs/04-beacon.md``); only the leader's link is
mixed into the beacon. A missing or wrong link mixes nothing and is a miss. Rules V1 to V9 of
``specs/14-validators.md``.
"""

from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from soma_core import beacon
from soma_core.api import Commit
from soma_core.crypto import SIGNATURE_SIZE, signing_digest, verify
from soma_core.records import octets, text, uint

from .events import RecordSigned
from .execution import Execution
from .state import State, Table

SYSTEM_SIGNATURES: Final = 64
"""Record signatures of one system item that are looked at."""
SYSTEM_ANCHORS: Final = 4
"""Anchors of one system item that are looked at: this epoch's and the next one's are all that can count."""


@frozen(kw_only=True)
class Validator:
    """`link`, `link_round`: the last known link of this epoch's hash chain and its round (0: the anchor).

    `absent`: of the records of this epoch whose tallies are closed, how many it has not signed.
    """

    name: str = text()
    key: bytes = octets(32)
    account: bytes = octets(32)
    power: int = uint(least=1, most=1 << 40)
    link: bytes | None = None
    link_round: int = uint(default=0)
    next_anchor: bytes | None = None
    misses: int = uint(default=0)
    absent: int = uint(default=0)


@frozen
class Beacon:
    """The network's randomness after the last commit, and how many links are in it."""

    value: bytes = octets(32)
    links: int = uint()


@frozen
class Tally:
    """Signatures gathered under the record of one commit: (place, signature)."""

    epoch: int = uint()
    record: bytes = octets(32)
    signatures: tuple[tuple[int, bytes], ...] = ()


@frozen
class RecordSignature:
    """A validator's signature under the record of commit `index`."""

    index: int = uint()
    signature: bytes = octets(SIGNATURE_SIZE)


@frozen(kw_only=True)
class System:
    """What rides along in a validator's block: its link for the block's round, its anchors, its record signatures.

    `anchors`: (epoch, anchor) pairs.
    """

    link: bytes | None
    anchors: tuple[tuple[int, bytes], ...]
    signatures: tuple[RecordSignature, ...]


@frozen
class Former:
    """The last committee that had other keys, or other places: its last epoch, and its keys by place."""

    epoch: int = uint()
    keys: tuple[bytes, ...] = ()


FORMER: Final = Table("former committee", 0x13, Former)
VALIDATORS: Final = Table("validator", 0x14, Validator)
BEACON: Final = Table("beacon", 0x15, Beacon)
TALLIES: Final = Table("tally", 0x16, Tally)
TALLIES_KEPT: Final = 64
"""Commits whose signatures are still gathered; older ones are final through a later checkpoint."""


def place_key(place: int) -> bytes:
    """The state name of the validator at `place` in the committee."""
    return place.to_bytes(2, "big")


def committee(state: State) -> tuple[Validator, ...]:
    """The validators by place."""
    return tuple(validator for _, validator in state.scan(VALIDATORS))


def quorum(powers: tuple[int, ...]) -> int:
    """The least power that exceeds two thirds of all."""
    return 2 * sum(powers) // 3 + 1


def validity(powers: tuple[int, ...]) -> int:
    """The least power that somebody honest has part in, where a quorum can be had without all that lie."""
    return sum(powers) - quorum(powers) + 1


def mix_link(run: Execution, commit: Commit, link: bytes | None) -> bool:
    """Mix the leader's link into the beacon. False, and a miss, if it is missing or wrong."""
    key = place_key(commit.leader)
    leader = run.state.need(VALIDATORS, key)
    holds = (
        link is not None
        and leader.link is not None
        and beacon.verify_link(link, commit.round, leader.link, leader.link_round, run.parameters.beacon_rounds)
    )
    if not holds or link is None:
        run.state.put(VALIDATORS, key, evolve(leader, misses=leader.misses + 1))
        return False
    run.state.put(VALIDATORS, key, evolve(leader, link=link, link_round=commit.round))
    old = run.state.need(BEACON)
    run.state.put(BEACON, b"", Beacon(beacon.mix(old.value, link), old.links + 1))
    return True


def note_anchors(run: Execution, author: int, system: System) -> None:
    """Keep the author's anchor of the next epoch; in epoch 0, which nobody could prepare, that of this one as well."""
    key = place_key(author)
    for epoch, anchor in system.anchors[:SYSTEM_ANCHORS]:
        validator = run.state.need(VALIDATORS, key)
        if len(anchor) != 32:
            continue
        if epoch == run.epoch + 1 and validator.next_anchor is None:
            run.state.put(VALIDATORS, key, evolve(validator, next_anchor=anchor))
        elif epoch == run.epoch == 0 and validator.link is None:
            run.state.put(VALIDATORS, key, evolve(validator, link=anchor, link_round=0))


def tally(run: Execution, author: int, system: System) -> None:
    """Count the author's valid signatures under recent records."""
    key = run.state.need(VALIDATORS, place_key(author)).key
    former = run.state.get(FORMER)
    for item in system.signatures[:SYSTEM_SIGNATURES]:
        name = item.index.to_bytes(8, "big")
        known = run.state.get(TALLIES, name)
        at = None if known is None else _place_then(known.epoch, author, key, former)
        if known is None or at is None or any(place == at for place, _ in known.signatures):
            continue
        if verify(key, signing_digest("soma/checkpoint", run.genesis.chain, known.epoch, known.record), item.signature):
            signatures = tuple(sorted((*known.signatures, (at, item.signature))))
            run.state.put(TALLIES, name, evolve(known, signatures=signatures))
            run.events.append(RecordSigned(item.index, at, item.signature))


def _place_then(epoch: int, author: int, key: bytes, former: Former | None) -> int | None:
    """The place in the committee of `epoch` of who has `key` and the place `author` today."""
    if former is None or epoch > former.epoch:
        return author
    return former.keys.index(key) if epoch == former.epoch and key in former.keys else None


def open_tally(run: Execution, index: int, epoch: int, record: bytes) -> None:
    """Begin to gather signatures under the record of the commit before this one; forget the oldest."""
    run.state.put(TALLIES, index.to_bytes(8, "big"), Tally(epoch, record))
    if index >= TALLIES_KEPT:
        _close_tally(run, index - TALLIES_KEPT)


def _close_tally(run: Execution, index: int) -> None:
    """Note who has not signed; a record of the epoch before had another committee, and that of genesis has none."""
    name = index.to_bytes(8, "big")
    closed = run.state.get(TALLIES, name)
    if index and closed is not None and closed.epoch == run.epoch:
        signed = {place for place, _ in closed.signatures}
        for place, validator in enumerate(committee(run.state)):
            if place not in signed:
                run.state.put(VALIDATORS, place_key(place), evolve(validator, absent=validator.absent + 1))
    run.state.delete(TALLIES, name)


def on_epoch(run: Execution) -> None:
    """Take up the anchors announced for the epoch that begins. Who announced none, misses all of it."""
    for place, validator in enumerate(committee(run.state)):
        fresh = evolve(validator, link=validator.next_anchor, link_round=0, next_anchor=None, absent=0)
        run.state.put(VALIDATORS, place_key(place), fresh)


def seat(run: Execution, rows: Sequence[Validator]) -> dict[int, int]:
    """Make `rows` the committee of the epoch that begins. Returns place before → place now, of those who stay."""
    before = committee(run.state)
    for place, row in enumerate(rows):
        run.state.put(VALIDATORS, place_key(place), row)
    for place in range(len(rows), len(before)):
        run.state.delete(VALIDATORS, place_key(place))
    if [row.key for row in rows] != [row.key for row in before]:
        run.state.put(FORMER, b"", Former(run.epoch, tuple(row.key for row in before)))
    places = {row.account: place for place, row in enumerate(rows)}
    return {place: places[row.account] for place, row in enumerate(before) if row.account in places}
