"""What stands around the driver of a consensus engine: disks, clocks, keys and peers, as the assembly joins them."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio
from attrs import field, frozen

from soma_core import chain
from soma_core.api import Accuse, Engine, Ledger, Setup

from .applying import Applying
from .mempool import Mempool
from .signing import Signing
from .store import Store
from .threads import Thread


class Peers(Protocol):
    """How the driver speaks to members of the committee: by node."""

    def send(self, node: bytes, message: bytes) -> None:
        """Lossy."""
        ...


async def _from_nobody(_applying: Applying) -> None:
    await trio.sleep_forever()


def _by_nobody(_epoch: int, _key: bytes, _accusation: Accuse) -> None:
    """It stays in memory."""


@frozen(kw_only=True)
class Outside:
    """What stands around an engine.

    `key`: the own consensus key. `open`: an engine for a `Setup`. `system`: the system bytes for (epoch, round).
    `applied`: told of every commit that is on disk, before the next is applied; `fetched` instead, of those that a
    quorum had signed already. `fetch`: takes commits from peers until cancelled, as `Following` does. `accused`:
    told of every new accusation, with the epoch and the key. `now`: ms of UTC.
    """

    store: Store
    store_thread: Thread
    records: Ledger
    records_thread: Thread
    verify_thread: Thread
    mempool: Mempool
    peers: Peers
    signing: Signing
    key: bytes
    open: Callable[[Setup], Engine]
    system: Callable[[int, int], Awaitable[bytes]]
    applied: Callable[[chain.Applied], Awaitable[None]]
    fetched: Callable[[chain.Applied], Awaitable[None]] = field()
    fetch: Callable[[Applying], Awaitable[None]] = _from_nobody
    accused: Callable[[int, bytes, Accuse], None] = _by_nobody
    now: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000)

    @fetched.default
    def _as_applied(self) -> Callable[[chain.Applied], Awaitable[None]]:
        return self.applied
