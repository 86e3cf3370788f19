"""Canaries of an encoder: answers that are false on purpose, in jobs that a sealed secret allows, and confessions.

The vector is the true one and the loss too low: who pays gets no worse one, and an auditor who does not compute is
found out. The node lies in one job for each secret, sees to it that the answer is looked at, and confesses. Rule O34 of
``specs/40-node.md``; what the chain makes of it, AU17 to AU19 of ``specs/25-audits.md``.
"""

import logging
import secrets
from pathlib import Path
from typing import Final, Literal, final

import trio
from attrs import evolve, frozen

from soma_core import chain
from soma_core.errors import RefusedError
from soma_core.genesis import OPAQUE
from soma_core.records import octets, pack, unpack

from .answering import Answerer, Judged
from .durable import read_if_there, write_durably
from .events import Hub
from .store import Store
from .threads import Thread
from .wallet import Wallet, insist

_Next = Literal["wait", "confess", "dispute", "over"]
_ENDS: Final = ("canary", "missing", "open")

_log = logging.getLogger("soma.canaries")


@frozen(kw_only=True)
class Planted:
    """A secret whose seal the chain has, and the job in which it was used; empty while it was not."""

    secret: bytes = octets(32)
    job: bytes = octets(most=32, default=b"")


@final
class Canaries:
    """Answers as `encoder` does, but for canaries. `path`: where the secret is kept."""

    def __init__(self, encoder: Answerer, wallet: Wallet, store: Store, thread: Thread, hub: Hub, path: Path) -> None:
        self._encoder = encoder
        self._wallet = wallet
        self._store = store
        self._thread = thread
        self._hub = hub
        self._path = path
        self._turn = trio.Lock()
        self._given_up: set[tuple[str, bytes]] = set()

    async def plant(self) -> chain.TransactionDone:
        """Seal a new secret, for jobs from the next epoch on. Raises `RefusedError` while a canary is out."""
        async with self._turn:
            known = await self._planted()
            if known is not None and known.job:
                raise RefusedError(
                    "a canary is out, and not confessed yet", "`soma audit` shows its job; ask again then"
                )
            encoder = await self._thread.run(self._store.read, lambda s: s.get(chain.ENCODERS, self._wallet.address))
            if encoder is None or encoder.architecture == OPAQUE:
                raise RefusedError(
                    "nobody computes the answers of this encoder again", "register one that can be audited"
                )
            bond = self._store.genesis.parameters.dispute_bond
            balance = await self._thread.run(
                self._store.read, lambda state: chain.account_of(state, self._wallet.address).balance
            )
            if balance < bond:
                raise RefusedError(
                    f"the encoder's account has {balance} shannons, not the {bond} that a look at a canary may take",
                    "send it some: `soma send`",
                )
            fresh = Planted(secret=secrets.token_bytes(32))
            await self._keep(fresh)
            seal = chain.canary_seal(self._wallet.address, fresh.secret)
            return await self._wallet.send("plant_canaries", chain.PlantCanaries(seal))

    async def answer(self, data: bytes, seed: bytes, /) -> Judged:
        """Vector and loss of one datum for the job `seed`: too low a loss where that is a canary."""
        judged = await self._encoder.answer(data, seed)
        lower = judged.loss // 2
        if judged.loss - lower <= self._store.genesis.parameters.audit_loss_band:
            return judged
        async with self._turn:
            planted = await self._planted()
            if planted is None or planted.job not in (b"", seed) or not await self._may_lie(planted, seed):
                return judged
            if not planted.job:
                await self._keep(evolve(planted, job=seed))
        _log.info("job %s: a canary, its loss is said to be %d instead of %d", seed.hex()[:12], lower, judged.loss)
        return Judged(judged.vector, lower)

    async def run(self) -> None:
        """See to it, for ever, that a canary that is out is looked at, and confess it."""
        while True:
            changed = self._hub.changed
            planted = await self._planted()
            if planted is not None and planted.job:
                await self._attend(planted)
            await changed.wait()

    async def _may_lie(self, planted: Planted, key: bytes) -> bool:
        address = self._wallet.address

        def look(state: chain.State) -> bool:
            canary, job = state.get(chain.CANARIES, address), state.get(chain.JOBS, key)
            if canary is None or job is None or canary.seal != chain.canary_seal(address, planted.secret):
                return False
            return job.epoch > canary.epoch and chain.may_lie(address, planted.secret, key)

        return await self._thread.run(self._store.read, look)

    async def _attend(self, planted: Planted) -> None:
        key, address = planted.job, self._wallet.address

        def look(state: chain.State) -> _Next:
            delivery = state.get(chain.DELIVERIES, key)
            if delivery is None:
                return "wait" if state.get(chain.JOBS, key) is not None else "over"
            place = next(n for n, member in enumerate(delivery.job.shard) if member.encoder == address)
            verdict = delivery.verdicts[place]
            if verdict == "false" and (delivery.dispute is None or delivery.dispute.place != place):
                return "confess"
            if state.get(chain.AUDITS, chain.subject("embed", key)) is not None:
                return "wait"
            looked = verdict in _ENDS or place in delivery.appealed or delivery.job.shard[place].state != "revealed"
            return "wait" if looked else "dispute"

        match await self._thread.run(self._store.read, look):
            case "confess":
                await self._send(key, "confess_canary", chain.ConfessCanary(job=key, secret=planted.secret))
            case "dispute":  # nobody looked, or who looked did not compute
                await self._send(key, "dispute_answer", chain.DisputeAnswer(job=key, encoder=address))
            case "over":
                self._given_up = {each for each in self._given_up if each[1] != key}
                await self._keep(evolve(planted, job=b""))

    async def _send(self, key: bytes, kind: str, action: object) -> None:
        if (kind, key) in self._given_up:
            return
        done = await insist(self._wallet, kind, action)
        if done.code and done.code != "busy":
            self._given_up.add((kind, key))
            _log.error("job %s: the chain refused %s, a false answer stands: %s", key.hex()[:12], kind, done.text)

    async def _planted(self) -> Planted | None:
        known = await trio.to_thread.run_sync(read_if_there, self._path)
        return None if known is None else unpack(Planted, known)

    async def _keep(self, planted: Planted) -> None:
        await trio.to_thread.run_sync(write_durably, self._path, pack(planted))
