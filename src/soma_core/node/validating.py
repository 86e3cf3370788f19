"""What a validator does beside ordering: says which data it holds, and what rides along in its blocks."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from soma_core import chain
from soma_core.errors import SomaError
from soma_core.records import pack

from .checkpoints import Checkpoints
from .signing import Signing
from .store import Store
from .threads import Thread
from .wallet import Wallet, insist

WAITING: Final = 1_024
"""Jobs whose data is still to be got; the chain opens no more than its `open_jobs`."""
FETCHING: Final = 4
"""Blobs fetched at a time."""
MOVED_BY_COMMITS: Final = frozenset({"drawing", "closing"})
"""Stages of a job that wait for randomness, and so for further commits, whatever is in them."""

Fetch = Callable[[bytes, int], Awaitable[bytes]]
"""The blob of this digest and size, from the own store or from peers, pinned. Raises `SomaError` if nobody has it."""

_log = logging.getLogger("soma.validating")


@final
class Validating:
    """The validator's part in embed jobs, and its system bytes."""

    def __init__(
        self, store: Store, thread: Thread, signing: Signing, wallet: Wallet, checkpoints: Checkpoints, fetch: Fetch
    ) -> None:
        self._store = store
        self._thread = thread
        self._signing = signing
        self._wallet = wallet
        self._checkpoints = checkpoints
        self._fetch = fetch
        self._wanted_in, self._wanted = trio.open_memory_channel[chain.DataWanted](WAITING)
        self._anchors: dict[int, bytes] = {}
        self._drawing: set[bytes] = set()
        self._awaited = 0
        self._began = trio.Event()

    @property
    def hurries(self) -> bool:
        """Whether somebody waits for further commits, though nothing waits to be ordered.

        A job may wait for randomness. And encoders, who follow, see a job's next stage when a quorum has signed it.
        """
        return bool(self._drawing) or self._awaited > self._store.proved

    def note(self, applied: chain.Applied) -> None:
        """Take up the jobs that wait for data, and those that wait for commits."""
        for event in applied.events:
            if isinstance(event, chain.DataWanted):
                self._want(event)
            elif isinstance(event, (chain.JobChanged, chain.Settled)):
                self._wait(event.job, event.stage if isinstance(event, chain.JobChanged) else "over")
                self._awaited = applied.record.index
            elif isinstance(event, chain.EpochBegan):
                self._began.set()

    def _wait(self, job: bytes, stage: str) -> None:
        if stage in MOVED_BY_COMMITS:
            self._drawing.add(job)
        else:
            self._drawing.discard(job)

    async def run(self) -> None:
        """Attest what this node holds, for ever; first what was open when it started."""
        for wanted in await self._thread.run(self._store.read, self._open_wants):
            self._want(wanted)
        for job, stage in await self._thread.run(self._store.read, _stages):
            self._wait(job, stage)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._say_versions)
            for _ in range(FETCHING):
                nursery.start_soon(self._attest_each)

    async def system(self, epoch: int, round_: int) -> bytes:
        """The system bytes of this validator's block in a round: link, anchors, record signatures."""
        rounds = self._store.genesis.parameters.beacon_rounds
        for number in (epoch, epoch + 1):
            if number not in self._anchors:
                self._anchors[number] = await self._signing.beacon_anchor(number, rounds)
        for number in [n for n in self._anchors if n < epoch]:
            del self._anchors[number]
        link = await self._signing.beacon_link(epoch, round_) if 1 <= round_ <= rounds else None
        anchors = tuple(sorted(self._anchors.items()))
        return pack(chain.System(link=link, anchors=anchors, signatures=self._checkpoints.unsent()))

    def _want(self, wanted: chain.DataWanted) -> None:
        try:
            self._wanted_in.send_nowait(wanted)
        except trio.WouldBlock:
            _log.warning("job %s: too many jobs wait for data; it is left to other validators", wanted.job.hex()[:12])

    def _open_wants(self, state: chain.State) -> list[chain.DataWanted]:
        return [
            chain.DataWanted(key, job.blob, job.size, job.requester)
            for key, job in state.scan(chain.JOBS)
            if job.stage == "attesting"
        ]

    def _has_seat(self) -> bool:
        return any(seat.key == self._signing.key for seat in self._store.seats(self._store.epoch()[0]))

    async def _say_versions(self) -> None:
        """Say that this software knows later rules than those in force, as soon as it has a seat (rule U15)."""
        while True:
            if await self._thread.run(self._store.read, self._knows_more) and await self._thread.run(self._has_seat):
                done = await insist(self._wallet, "support_protocol", chain.SupportProtocol(chain.PROTOCOL_MOST))
                _log.info("version %d of the rules: %s", chain.PROTOCOL_MOST, done.text or "this validator can run it")
            await self._began.wait()
            self._began = trio.Event()

    def _knows_more(self, state: chain.State) -> bool:
        said = state.get(chain.SUPPORT, self._wallet.address)
        return max(chain.protocol_of(state), said.version if said else 0) < chain.PROTOCOL_MOST

    async def _attest_each(self) -> None:
        async for wanted in self._wanted.clone():
            if not await self._thread.run(self._has_seat):
                continue
            try:
                with trio.move_on_after(self._store.genesis.parameters.attest_ms / 1000):
                    data = await self._fetch(wanted.blob, wanted.size)
                    sketch = await trio.to_thread.run_sync(chain.sketch_of, data)
                    await insist(self._wallet, "attest_data", chain.AttestData(wanted.job, sketch))
            except SomaError as error:
                _log.warning("job %s: not attested: %s", wanted.job.hex()[:12], error)


def _stages(state: chain.State) -> list[tuple[bytes, str]]:
    return [(key, job.stage) for key, job in state.scan(chain.JOBS)]
