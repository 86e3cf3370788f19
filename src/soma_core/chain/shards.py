"""An open job and its shard, as the state keeps them until the job is over."""

from typing import Final

from attrs import frozen

from soma_core.genesis import SUPPLY_MOST
from soma_core.records import octets, text, uint

from .state import Table


@frozen(kw_only=True)
class Member:
    """A drawn encoder. `state`: ``drawn``, ``committed``, ``revealed``, ``unavailable``. `loss`: Q16 bits per byte."""

    encoder: bytes = octets(32)
    registered: int = uint()
    opaque: bool
    state: str = text(default="drawn")
    commitment: bytes = octets(most=32, default=b"")
    loss: int = uint(default=0)
    vector: bytes = octets(most=1 << 14, default=b"")


@frozen(kw_only=True)
class Job:
    """`pot` and `commission` are in escrow here. `leaders`: who has led since the job waits for the beacon."""

    requester: bytes = octets(32)
    blob: bytes = octets(32)
    size: int = uint()
    nonce: int = uint()
    pot: int = uint(most=SUPPLY_MOST)
    commission: int = uint(most=SUPPLY_MOST)
    stage: str = text()
    deadline: int = uint()
    epoch: int = uint()
    attested: tuple[int, ...] = ()
    leaders: tuple[int, ...] = ()
    shard: tuple[Member, ...] = ()


JOBS: Final = Table("open job", 0x20, Job, lambda job: job.pot + job.commission)
