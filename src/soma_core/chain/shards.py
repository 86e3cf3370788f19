"""An open job and its shard, as the state keeps them until the job is over."""

from typing import Final

from attrs import frozen

from soma_core.genesis import SUPPLY_MOST
from soma_core.records import octets, text, uint

from .state import Table


@frozen(kw_only=True)
class Member:
    """A drawn encoder. `state`: ``drawn``, ``committed``, ``revealed``, ``unavailable``. `loss`: Q16 bits per byte.

    `registered`, `weights`, `frame`: of the weights with which it was drawn.
    """

    encoder: bytes = octets(32)
    registered: int = uint()
    weights: bytes = octets(most=32)
    frame: bytes = octets(most=32)
    opaque: bool
    state: str = text(default="drawn")
    commitment: bytes = octets(most=32, default=b"")
    loss: int = uint(default=0)
    vector: bytes = octets(most=1 << 14, default=b"")


@frozen(kw_only=True)
class Job:
    """`pot` and `commission` are in escrow here. `leaders`: who has led since the job waits for the beacon.

    `sketches`: of the data, by those who `attested`; `cell` is where a quorum's puts it.
    `certain`: its requester wants the audit of the winner. `sampled`: one in ten winners is audited, else each one.
    """

    requester: bytes = octets(32)
    blob: bytes = octets(32)
    size: int = uint()
    nonce: int = uint()
    pot: int = uint(most=SUPPLY_MOST)
    commission: int = uint(most=SUPPLY_MOST)
    stage: str = text()
    deadline: int = uint()
    epoch: int = uint()
    certain: bool = False
    sampled: bool = False
    attested: tuple[int, ...] = ()
    sketches: tuple[bytes, ...] = ()
    cell: int | None = None
    leaders: tuple[int, ...] = ()
    shard: tuple[Member, ...] = ()


@frozen(kw_only=True)
class Opinion:
    """What an auditor of a drawn panel said of the member at `place`."""

    place: int = uint()
    auditor: bytes = octets(32)
    word: str = text()


@frozen(kw_only=True)
class Dispute:
    """An open appeal about the member at `place`. `bond` is in escrow here."""

    sender: bytes = octets(32)
    place: int = uint()
    bond: int = uint(most=SUPPLY_MOST)


@frozen(kw_only=True)
class Delivery:
    """A job whose vector is out and whose money waits for the end of its audits; the escrow of the job goes on.

    By place: `stakes`, `gates`, and whether the datum lies in a cell of the member's `own`, as they were when the
    answers were judged first; `verdicts` (``none``, ``honest``, ``false``, ``missing``, ``open``, ``canary``).
    `against`: the vectors of the gate. `seed` decides who is audited, `extra` is who may be beside the winner.
    `number` of its settled vector. `opinions` are those of drawn panels; `appealed` are the places that a dispute
    decided, `winners` those disputes that proved an answer false.
    """

    job: Job
    stakes: tuple[int, ...]
    gates: tuple[int, ...]
    own: tuple[bool, ...]
    verdicts: tuple[str, ...]
    against: tuple[bytes, ...]
    seed: bytes = octets(32)
    extra: int | None
    number: int | None
    deadline: int = uint()
    opinions: tuple[Opinion, ...] = ()
    appealed: tuple[int, ...] = ()
    winners: tuple[Dispute, ...] = ()
    dispute: Dispute | None = None


@frozen(kw_only=True)
class Ending:
    """The window of the job `job` is over when its time, the first part of this record's name, has passed."""

    job: bytes = octets(32)


def _held(delivery: Delivery) -> int:
    return delivery.job.pot + delivery.job.commission + (delivery.dispute.bond if delivery.dispute else 0)


JOBS: Final = Table("open job", 0x20, Job, lambda job: job.pot + job.commission)
DELIVERIES: Final = Table("delivered job", 0x24, Delivery, _held)
ENDINGS: Final = Table("audit window", 0x25, Ending)
