"""A validator that was away comes back: the chain gave its seat up when it was absent, and waits until it says so.

Rule O30 of ``specs/40-node.md``. What it says are its keys, each with a proof, and the anchor of its next hash chain.
"""

import logging
from typing import final

from soma_core import chain
from soma_core.errors import SomaError

from .events import Hub
from .signing import Signer
from .store import Store
from .threads import Thread
from .wallet import Wallet

_log = logging.getLogger("soma.validator")


async def present_keys(signer: Signer, store: Store, account: bytes) -> chain.UpdateValidator:
    """The two keys of this node, their signatures of its account, and the anchor of the next epoch's hash chain."""
    validator, node = signer.role("validator"), signer.role("node")
    return chain.UpdateValidator(
        key=validator.key,
        node=node.key,
        possession=await validator.sign("soma/possession", 0, account),
        node_possession=await node.sign("soma/possession", 0, account),
        anchor=await validator.beacon_anchor(store.tip.epoch + 1, store.genesis.parameters.beacon_rounds),
    )


@final
class Returning:
    """One validator's way back."""

    def __init__(self, store: Store, thread: Thread, hub: Hub, signer: Signer, wallet: Wallet) -> None:
        self._store = store
        self._thread = thread
        self._hub = hub
        self._signer = signer
        self._wallet = wallet

    async def run(self) -> None:
        """Say that it is back, for ever: once an epoch, while the chain takes it to be down and it could sit again."""
        said = None
        while True:
            changed, epoch = self._hub.changed, self._store.tip.epoch
            if said != epoch and await self._thread.run(self._store.read, self._is_down):
                said = epoch
                await self._say()
            await changed.wait()

    def _is_down(self, state: chain.State) -> bool:
        member = state.get(chain.MEMBERS, self._wallet.address)
        return member is not None and member.down and not (member.barred or member.goes)

    async def _say(self) -> None:
        try:
            action = await present_keys(self._signer, self._store, self._wallet.address)
            done = await self._wallet.send("update_validator", action)
        except SomaError as error:  # a node that has just started may see an old epoch
            _log.warning("this validator was absent and cannot say yet that it is back: %s", error.what)
        else:
            _log.warning(
                "this validator was absent; it says that it is back: %s", done.text or "from the next epoch on"
            )
