"""Transactions that wait to be ordered: bounded, fair between senders, forgetting nothing it took until it is decided.

Where it is full it refuses and says so. A transaction stays until it was applied or skipped by the chain, or expires.
"""

from collections import Counter, OrderedDict
from typing import Final, final

from attrs import define

from soma_core.chain import SignedTransaction
from soma_core.errors import RefusedError

MOST: Final = 4_096
"""Transactions."""
MOST_BYTES: Final = 8 << 20
MOST_OF_ONE: Final = 128
"""Transactions of one sender: twice the sequence window."""
AGAIN_AFTER: Final = 10_000
"""Milliseconds after which an item that was pulled and never ordered is pulled again."""


@define(eq=False)
class _Waiting:
    signed: SignedTransaction
    wire: bytes
    pulled: int | None = None


@final
class Mempool:
    """In order of arrival. `now` is ms throughout."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[bytes, _Waiting] = OrderedDict()
        self._senders: Counter[bytes] = Counter()
        self._bytes = 0
        self._wires: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, identity: bytes) -> bool:
        return identity in self._waiting

    def holds(self, wire: bytes) -> bool:
        """Whether a transaction of exactly these bytes waits: its signature was checked."""
        return wire in self._wires

    def add(self, signed: SignedTransaction) -> bool:
        """Take a transaction whose signature was checked. False if it waits already. Raises `RefusedError` if full."""
        identity = signed.id
        if identity in self._waiting:
            return False
        wire = signed.wire
        sender = signed.transaction.sender
        if len(self._waiting) >= MOST or self._bytes + len(wire) > MOST_BYTES:
            raise RefusedError(f"{len(self._waiting)} transactions wait to be ordered", "send it again in a while")
        if self._senders[sender] >= MOST_OF_ONE:
            raise RefusedError(f"{MOST_OF_ONE} transactions of this sender wait", "wait until some are ordered")
        self._waiting[identity] = _Waiting(signed, wire)
        self._senders[sender] += 1
        self._bytes += len(wire)
        self._wires.add(wire)
        return True

    def pull(self, limit: int, now: int) -> tuple[bytes, ...]:
        """Up to `limit` bytes of items that are not on their way yet, oldest first. They stay until `forget`."""
        items = []
        for waiting in self._waiting.values():
            if waiting.pulled is not None and now - waiting.pulled < AGAIN_AFTER:
                continue
            if len(waiting.wire) > limit:
                break
            limit -= len(waiting.wire)
            waiting.pulled = now
            items.append(waiting.wire)
        return tuple(items)

    def has_ready(self, now: int) -> bool:
        """Whether `pull` would give anything."""
        return any(w.pulled is None or now - w.pulled >= AGAIN_AFTER for w in self._waiting.values())

    def give_back(self) -> None:
        """What was pulled may be pulled again: its engine has ended."""
        for waiting in self._waiting.values():
            waiting.pulled = None

    def forget(self, identity: bytes) -> None:
        """The chain has decided on this transaction."""
        waiting = self._waiting.pop(identity, None)
        if waiting is not None:
            self._drop(waiting)

    def expire(self, epoch: int) -> None:
        """Forget what can no longer be applied."""
        for identity in [i for i, w in self._waiting.items() if w.signed.transaction.expiry < epoch]:
            self.forget(identity)

    def _drop(self, waiting: _Waiting) -> None:
        sender = waiting.signed.transaction.sender
        self._bytes -= len(waiting.wire)
        self._wires.discard(waiting.wire)
        self._senders[sender] -= 1
        if not self._senders[sender]:
            del self._senders[sender]
