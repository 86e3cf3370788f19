"""What a node does when a program asks it: the answers to the table of `soma_core.api.control`."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, final

import trio
from attrs import frozen

from soma_core import __version__, chain
from soma_core.api import Reader, control
from soma_core.errors import RefusedError
from soma_core.genesis import Genesis
from soma_core.net import BlobStore
from soma_core.records import pack

from . import directory as places
from .acting import Acting
from .backups import About, sealed_answers, write_backup
from .control import Answerer, Replied
from .events import Hub
from .racing import Compare, OwnEncoder, Racing
from .searching import Searching
from .space import Space
from .store import Store
from .submitting import Submitting
from .threads import Thread
from .wallet import Wallet

WAIT_LEAST: Final = 0.05
"""Seconds: a waiter looks again at most so often."""


@frozen(kw_only=True)
class Facts:
    """What a status says of the node rather than of the chain. All are asked for anew."""

    data_dir: Path
    roles: tuple[str, ...]
    node: bytes
    addresses: Callable[[], tuple[str, ...]]
    peers: Callable[[], int]
    waiting: Callable[[], int]
    encoders: Callable[[], tuple[control.EncoderStatus, ...]]
    racing: Callable[[], tuple[OwnEncoder, ...]]
    borrow: Callable[[], Awaitable[tuple[OwnEncoder, ...]]]
    compare: Compare


@final
class Operations:
    """The answers of one node."""

    def __init__(
        self,
        *,
        store: Store,
        thread: Thread,
        hub: Hub,
        wallet: Wallet,
        blobs: BlobStore,
        space: Space,
        facts: Facts,
        acting: Acting,
        searching: Searching,
        stop: Callable[[], None],
    ) -> None:
        self._store = store
        self._thread = thread
        self._hub = hub
        self._wallet = wallet
        self._blobs = blobs
        self._space = space
        self._facts = facts
        self._acting = acting
        self._searching = searching
        self._stop = stop
        submissions = places.make(facts.data_dir, places.SUBMISSIONS)
        self._submitting = Submitting(wallet, store, thread, hub, blobs, submissions, space.require)
        self._racing = Racing(
            store, thread, wallet.address, facts.racing, facts.borrow, facts.compare, self._submitting
        )

    async def run(self) -> None:
        """What goes on between what is asked: the index, and submissions that were under way when the node stopped."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._searching.run)
            nursery.start_soon(self._submitting.run)

    def connect(self) -> Mapping[str, Answerer]:
        """The answerers of one connection, which uploads at most one file at a time."""
        upload = _Upload(self._blobs, self._genesis.parameters.max_blob)
        return {
            control.STATUS.name: self._status,
            control.GENESIS.name: self._genesis_file,
            control.BALANCE.name: self._balance,
            control.SEND.name: self._if_room(self._send),
            control.PUT_BLOB.name: self._if_room(upload.put),
            control.PRICE.name: self._price,
            control.EMBED.name: self._if_room(self._embed),
            control.WAIT_JOB.name: self._wait_job,
            control.SUPPLY.name: self._supply,
            control.ENCODERS.name: self._encoders,
            control.BACKUP.name: self._backup,
            control.STOP.name: self._end,
            **self._acting.answerers(),
            **self._racing.answerers(),
            **self._searching.answerers(),
        }

    def _if_room(self, answerer: Answerer) -> Answerer:
        """`answerer` of an operation that begins new work."""

        async def answer(request: object, payload: bytes) -> Replied:
            self._space.require()
            return await answerer(request, payload)

        return answer

    @property
    def _genesis(self) -> Genesis:
        return self._store.genesis

    async def _status(self, _request: control.Empty, _payload: bytes) -> Replied:
        def look(state: chain.State) -> tuple[int, int, int, int, int]:
            balance = chain.account_of(state, self._wallet.address).balance
            jobs, validators = state.count(chain.JOBS), len(chain.committee(state))
            return balance, jobs, validators, chain.protocol_of(state), chain.parked(state)

        balance, jobs, validators, rules, parked = await self._thread.run(self._store.read, look)
        tip = self._store.tip
        record = await self._thread.run(self._store.record, tip.index)
        assert record is not None
        return Replied(
            control.Status(
                version=__version__,
                network=self._genesis.name,
                chain=self._genesis.chain,
                data_dir=str(self._facts.data_dir),
                roles=self._facts.roles,
                index=tip.index,
                time=tip.time,
                epoch=tip.epoch,
                rules=rules,
                known_rules=chain.PROTOCOL_MOST,
                parked=parked,
                state=record.state,
                account=self._wallet.address,
                balance=balance,
                node=self._facts.node,
                addresses=self._facts.addresses(),
                peers=self._facts.peers(),
                validators=validators,
                encoders=self._facts.encoders(),
                open_jobs=jobs,
                mempool=self._facts.waiting(),
                free=self._space.free,
                takes_work=not self._space.is_low,
                vectors=self._searching.status,
            )
        )

    async def _genesis_file(self, _request: control.Empty, _payload: bytes) -> Replied:
        return Replied(control.Empty(), pack(self._genesis))

    async def _balance(self, request: control.AskBalance, _payload: bytes) -> Replied:
        address = request.address or self._wallet.address

        def look(state: chain.State) -> control.BalanceReply:
            account = chain.account_of(state, address)
            return control.BalanceReply(
                address=address,
                balance=account.balance,
                stake=chain.stake_of(state, address),
                sequence=account.sequence,
            )

        return Replied(await self._thread.run(self._store.read, look))

    async def _send(self, request: control.Send, _payload: bytes) -> Replied:
        fee = await self._thread.run(self._store.read, chain.least_fee)
        done = await self._wallet.send("transfer", chain.Transfer(request.to, request.amount))
        return Replied(control.Done(transaction=done.id, code=done.code, text=done.text, fee=fee))

    async def _price(self, request: control.AskPrice, _payload: bytes) -> Replied:
        p = self._genesis.parameters
        if request.size > p.max_blob:
            raise RefusedError(f"{request.size} bytes exceed the network's {p.max_blob}", "send a smaller file")
        pot, commission = chain.price(p, request.size)
        fee = await self._thread.run(self._store.read, chain.least_fee)
        return Replied(control.Price(pot=pot, commission=commission, fee=fee))

    async def _embed(self, request: control.Embed, _payload: bytes) -> Replied:
        job = chain.job_key(self._wallet.address, request.blob, request.nonce)
        if await self._stage(job) != "unknown":
            return Replied(control.EmbedReply(job, paid=False))
        action = chain.RequestEmbedding(blob=request.blob, size=request.size, nonce=request.nonce)
        done = await self._wallet.send("request_embedding", action)
        if done.code and done.code != "exists":
            raise RefusedError(f"the chain refused the job: {done.text}", "see `soma balance` and `soma status`")
        return Replied(control.EmbedReply(job, paid=not done.code))

    async def _wait_job(self, request: control.WaitJob, _payload: bytes) -> Replied:
        with trio.move_on_after(request.wait_ms / 1000):
            while True:
                changed = self._hub.changed
                stage, reply = await self._job(request.job)
                if stage != request.seen:
                    return reply
                await changed.wait()
                await trio.sleep(WAIT_LEAST)
        return (await self._job(request.job))[1]

    async def _job(self, job: bytes) -> tuple[str, Replied]:
        """Its stage, and what is said of it: once it is proved, the receipt."""
        file = await self._thread.run(self._store.receipt_file, job)
        if file is not None:
            stage = await self._stage(job)
            return stage, Replied(control.JobReply(stage=stage, answered=0, drawn=0), pack(file))

        def look(state: chain.State) -> control.JobReply:
            found = state.get(chain.JOBS, job)
            if found is None:
                known = state.get(chain.DONE, job) is not None  # ended, and not yet under a quorum's signatures
                return control.JobReply(stage="proving" if known else "unknown", answered=0, drawn=0)
            answered = sum(member.state != "drawn" for member in found.shard)
            return control.JobReply(stage=found.stage, answered=answered, drawn=len(found.shard))

        found = await self._thread.run(self._store.read, look)
        return found.stage, Replied(found)

    async def _stage(self, job: bytes) -> str:
        def look(state: chain.State) -> str:
            if (done := state.get(chain.DONE, job)) is not None:
                return done.outcome
            found = state.get(chain.JOBS, job)
            return "unknown" if found is None else found.stage

        return await self._thread.run(self._store.read, look)

    async def _supply(self, _request: control.Empty, _payload: bytes) -> Replied:
        return Replied(await self._thread.run(self._store.supply))

    async def _encoders(self, _request: control.Empty, _payload: bytes) -> Replied:
        def look(state: chain.State) -> control.Encoders:
            return control.Encoders(
                tuple(
                    control.RegisteredEncoder(
                        name=e.name,
                        address=address,
                        stake=chain.stake_of(state, address),
                        architecture=e.architecture,
                        gate=e.gate,
                    )
                    for address, e in state.scan(chain.ENCODERS)
                )
            )

        return Replied(await self._thread.run(self._store.read, look))

    async def _backup(self, request: control.Backup, _payload: bytes) -> Replied:
        data_dir = self._facts.data_dir
        with ExitStack() as held:

            def begin() -> tuple[Reader, dict[str, bytes]]:
                return held.enter_context(self._store.moment()), sealed_answers(data_dir)

            reader, answers = await self._thread.run(begin)

            def write() -> About:
                return write_backup(Path(request.path), data_dir, self._genesis, reader, answers, keys=request.keys)

            run = trio.to_thread.run_sync if self._store.has_snapshots else self._thread.run
            about = await run(write)
        return Replied(control.BackupReply(chain=about.chain, index=about.index, record=about.record))

    async def _end(self, _request: control.Empty, _payload: bytes) -> Replied:
        self._stop()
        return Replied(control.Empty())


@final
class _Upload:
    """A file that comes up in pieces, in order. Whatever is out of order starts nothing and keeps nothing."""

    def __init__(self, blobs: BlobStore, most: int) -> None:
        self._blobs = blobs
        self._most = most
        self._size = 0
        self._data = bytearray()

    async def put(self, request: control.PutBlob, payload: bytes) -> Replied:
        """Take the next piece; with the last one, store the blob and keep it."""
        if request.size > self._most:
            raise RefusedError(f"{request.size} bytes exceed the network's {self._most}", "send a smaller file")
        if request.offset == 0:
            self._size, self._data = request.size, bytearray()
        if (request.size, request.offset) != (self._size, len(self._data)) or not payload:
            raise RefusedError(f"a piece at {request.offset} where {len(self._data)} comes next", "begin again at 0")
        if len(self._data) + len(payload) > self._size:
            raise RefusedError(f"more than the {self._size} bytes announced", "announce the file's whole size")
        self._data += payload
        if len(self._data) < self._size:
            return Replied(control.BlobReply(None))
        whole = bytes(self._data)
        self._size, self._data = 0, bytearray()
        return Replied(control.BlobReply(await self._store(whole)))

    async def _store(self, whole: bytes) -> bytes:
        return await trio.to_thread.run_sync(self._blobs.put, whole)
