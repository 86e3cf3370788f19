"""What engines accuse validators of, brought before the chain: by one node after the other, until one has done it.

Rule O29 of ``specs/40-node.md``.
"""

import logging
from typing import Final, final

import trio

from soma_core import chain
from soma_core.api import Accuse
from soma_core.crypto import SIGNATURE_SIZE
from soma_core.errors import SomaError

from .store import Store
from .threads import Thread
from .wallet import Wallet, insist

WAITING: Final = 64
"""Accusations that wait to be brought: one for each key and epoch."""
STAGGER: Final = 3.0
"""Seconds for which each place of the committee leaves it to the places before."""
LENGTH_SIZE: Final = 4
"""Bytes of a header's length before it."""

_log = logging.getLogger("soma.accusing")


@final
class Accusing:
    """Sends evidence as the account of `wallet`. `key`: the own consensus key."""

    def __init__(self, store: Store, thread: Thread, wallet: Wallet, key: bytes) -> None:
        self._store = store
        self._thread = thread
        self._wallet = wallet
        self._key = key
        self._known: set[tuple[int, bytes]] = set()
        self._heard_in, self._heard = trio.open_memory_channel[chain.AccuseValidator](WAITING)

    def take(self, epoch: int, accused: bytes, accusation: Accuse) -> None:
        """Bring it before the chain, if it can be proved there and nothing of this key in this epoch is on its way."""
        first, second = signed_header(accusation.first), signed_header(accusation.second)
        if first is None or second is None or (epoch, accused) in self._known or len(self._known) >= WAITING:
            return
        self._known.add((epoch, accused))
        action = chain.AccuseValidator(
            key=accused,
            epoch=epoch,
            first=first[0],
            first_signature=first[1],
            second=second[0],
            second_signature=second[1],
        )
        self._heard_in.send_nowait(action)

    async def run(self) -> None:
        """Bring what is taken, for ever."""
        async with trio.open_nursery() as nursery:
            async for action in self._heard:
                nursery.start_soon(self._bring, action)

    async def _bring(self, action: chain.AccuseValidator) -> None:
        try:
            await trio.sleep(STAGGER * await self._thread.run(self._turn))
            if await self._thread.run(
                self._store.read, lambda state: chain.can_accuse(state, action.epoch, action.key)
            ):
                done = await insist(self._wallet, "accuse_validator", action)
                _log.warning("the validator with key %s was accused: %s", action.key.hex()[:12], done.outcome)
        except SomaError as error:
            _log.warning("the validator with key %s is not accused: %s", action.key.hex()[:12], error)
        finally:
            self._known.discard((action.epoch, action.key))

    def _turn(self) -> int:
        """How many places come before the own one."""
        seats = self._store.seats(self._store.epoch()[0])
        return next((place for place, seat in enumerate(seats) if seat.key == self._key), len(seats))


def signed_header(body: bytes) -> tuple[bytes, bytes] | None:
    """(header, signature) of a body an engine accuses with: the header's length, 4 bytes big endian, and the two."""
    end = LENGTH_SIZE + int.from_bytes(body[:LENGTH_SIZE], "big")
    if len(body) != end + SIGNATURE_SIZE or end > chain.MAX_TRANSACTION:
        return None
    return body[LENGTH_SIZE:end], body[end:]
