"""Consensus: bytes in, the same bytes in one order out, everywhere. A pure engine; the node drives it.

The engine does no I/O, reads no clock and draws no randomness: `step` gets an event and the time, and returns actions.
An engine answers an event it does not know with no action, so events may be added.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen


@frozen
class Member:
    """A committee member: 32-byte key and voting power."""

    key: bytes
    power: int


@frozen
class Setup:
    """One engine serves one epoch, whose rounds count from 1.

    `me`: our place in `committee`, or None. `first`: index of the epoch's first commit.
    """

    chain: bytes
    epoch: int
    committee: tuple[Member, ...]
    me: int | None
    first: int


@frozen
class Commit:
    """One step of the common order.

    `digest`: of the ordered content. `time`: ms of UTC, never goes back. `round`: from 1 in each epoch. `leader`: place
    in the committee. `items`: (author, payload) pairs. `leader_system`: the system bytes of the leader's block.
    """

    index: int
    digest: bytes
    time: int
    round: int
    leader: int
    items: tuple[tuple[int, bytes], ...]
    leader_system: bytes


# Events: what the driver tells an engine. -----------------------------------------------------------------------------


@frozen
class Start:
    """Once, first: everything persisted under keys below 0x80, and the index the chain has applied."""

    records: Mapping[bytes, bytes]
    applied: int


@frozen
class PeerUp:
    """A committee member is connected."""

    peer: int


@frozen
class PeerDown:
    """A committee member is not connected any more."""

    peer: int


@frozen
class Received:
    """A message; only its length was checked."""

    peer: int
    message: bytes


@frozen
class Verified:
    """Answers `Verify`."""

    id: int
    ok: bool


@frozen
class Signed:
    """Answers `Sign`."""

    slot: bytes
    signature: bytes


@frozen
class PayloadReady:
    """There is payload to `Pull`; once, not for every item."""


@frozen
class Payload:
    """Answers `Pull`; perhaps empty."""

    items: tuple[bytes, ...]
    system: bytes


@frozen
class Durable:
    """All of `Persist` up to this barrier is on disk."""

    barrier: int


@frozen
class Loaded:
    """Answers `Load`."""

    id: int
    records: tuple[tuple[bytes, bytes], ...]


@frozen
class Timer:
    """A timer set by `SetTimer` is due."""

    name: str


@frozen
class Applied:
    """The chain has applied this commit: back-pressure."""

    index: int


@frozen
class EndEpoch:
    """The chain has ended the epoch with commit `last`; nothing later is applied.

    Keep serving peers, and keep making blocks, which will get no payload: peers may not have what decided that commit.
    """

    last: int


Event = (
    Start
    | PeerUp
    | PeerDown
    | Received
    | Verified
    | Signed
    | PayloadReady
    | Payload
    | Durable
    | Loaded
    | Timer
    | Applied
    | EndEpoch
)

# Actions: what an engine asks of the driver. --------------------------------------------------------------------------


@frozen
class Send:
    """Lossy; held back until barrier `after` is durable."""

    peers: tuple[int, ...]
    message: bytes
    after: int = 0


@frozen
class Pull:
    """Ask for at most `limit` bytes of payload for `round`."""

    limit: int
    round: int


@frozen
class Verify:
    """Check signatures ((key, digest, signature), …) and payload items off the engine, batched."""

    id: int
    signatures: tuple[tuple[bytes, bytes, bytes], ...]
    payload: tuple[bytes, ...]


@frozen
class Sign:
    """Sign `body`; the signer signs one body a slot, ever."""

    slot: bytes
    body: bytes


@frozen
class Persist:
    """Write `batch` (None deletes) atomically. Barriers count up from 1."""

    barrier: int
    batch: Mapping[bytes, bytes | None] = field(hash=False)


@frozen
class Load:
    """Read up to `limit` records with ``start <= key < stop``."""

    id: int
    start: bytes
    stop: bytes
    limit: int


@frozen
class SetTimer:
    """Wake at `at`, ms of UTC; a timer of the same name is replaced."""

    name: str
    at: int


@frozen
class CancelTimer:
    """Forget a timer."""

    name: str


@frozen
class Deliver:
    """The next commit, by consecutive index, at least once; held back until barrier `after` is durable."""

    commit: Commit
    after: int = 0


@frozen
class Accuse:
    """Two signed bodies of one slot, each the length of its header (4 bytes, big endian), that, and its signature.

    A header is what was signed. The chain can be shown those whose first four items say the slot (`accuse_validator`).
    """

    member: int
    first: bytes
    second: bytes


@frozen
class Note:
    """A metric, nothing else."""

    name: str
    value: int


Action = Send | Pull | Verify | Sign | Persist | Load | SetTimer | CancelTimer | Deliver | Accuse | Note


class Engine(Protocol):
    """Equal events at equal times give equal actions, on every machine."""

    def step(self, event: Event, now: int, /) -> Sequence[Action]:
        """React. `now` is ms of UTC and never goes back. Never raises on bytes of a peer."""
        ...

    def snapshot(self) -> bytes:
        """Canonical: equal engines give equal bytes."""
        ...

    def restore(self, snapshot: bytes, /) -> None:
        """Become the engine that gave `snapshot`."""
        ...
