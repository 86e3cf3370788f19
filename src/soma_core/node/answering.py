"""What a drawn encoder does: get the data, embed it, seal the answer, and show it when all have sealed.

An answer is on disk before its seal leaves, so that a node that stops in between can still show it.
"""

import logging
import secrets
from pathlib import Path
from typing import Final, Protocol, final

import numpy as np
import trio
from attrs import frozen
from numpy.typing import NDArray

from soma_core import chain, fixed
from soma_core.api import Evaluation
from soma_core.errors import DecodeError, SomaError
from soma_core.records import octets, pack, uint, unpack

from .durable import read_if_there, write_durably
from .store import Store
from .threads import Thread
from .validating import Fetch
from .wallet import Wallet, insist

AT_ONCE: Final = 4
"""Jobs an encoder works on at a time: while one computes, others fetch, seal or show."""
LOSS_MOST: Final = 16 << 16

_Work = chain.ShardDrawn | chain.RevealsOpen
_log = logging.getLogger("soma.answering")


class Answerer(Protocol):
    """An encoder in the network's frame."""

    async def answer(self, data: bytes, seed: bytes, /) -> "Judged":
        """Vector and loss of one datum. Raises `EncoderError`."""
        ...


@frozen(eq=False)
class Judged:
    """`vector`: int16 [D] in the network's frame. `loss`: bits per byte, Q16."""

    vector: NDArray[np.int16]
    loss: int


@frozen(kw_only=True)
class SealedAnswer:
    """What is shown later. `vector`: int16 little endian."""

    salt: bytes = octets(32)
    loss: int = uint()
    vector: bytes = octets(most=1 << 14)


def judge(evaluation: Evaluation, framed: NDArray[np.float64]) -> Judged:
    """An encoder's floats as the integers that go on the chain. Raises `EncoderError` for what has no such form."""
    loss = round(float(evaluation.bits_per_byte[0]) * fixed.ONE)
    return Judged(fixed.quantise(framed), min(max(loss, 0), LOSS_MOST))


@final
class Answering:
    """One encoder's part in the jobs it is drawn for. `directory` keeps its sealed answers."""

    def __init__(
        self, encoder: Answerer, wallet: Wallet, store: Store, thread: Thread, fetch: Fetch, directory: Path
    ) -> None:
        self._encoder = encoder
        self._wallet = wallet
        self._store = store
        self._thread = thread
        self._fetch = fetch
        self._directory = directory
        # Of open jobs alone, of which the chain has a bounded number.
        self._todo: dict[tuple[bytes, type[_Work]], _Work] = {}
        self._doing: dict[bytes, trio.CancelScope] = {}
        self._more = trio.Event()

    def note(self, applied: chain.Applied) -> None:
        """Take up what concerns this encoder, and drop what was settled without it."""
        for event in applied.events:
            if (isinstance(event, chain.ShardDrawn) and self._wallet.address in event.encoders) or (
                isinstance(event, chain.RevealsOpen) and self._path(event.job).exists()
            ):
                self._take_up(event)
            elif isinstance(event, chain.Settled):
                self._drop(event.job)

    async def run(self) -> None:
        """Answer, for ever; first what was open when the node started."""
        for event in await self._thread.run(self._store.read, self._open_work):
            self._take_up(event)
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(self._work)

    def _take_up(self, event: _Work) -> None:
        self._todo[event.job, type(event)] = event
        self._more.set()

    def _drop(self, job: bytes) -> None:
        for stage in (chain.ShardDrawn, chain.RevealsOpen):
            self._todo.pop((job, stage), None)
        if job in self._doing:
            self._doing[job].cancel()
        self._path(job).unlink(missing_ok=True)

    async def _next(self) -> _Work:
        """The oldest that waits, of a job on which nobody works."""
        while True:
            for place, event in self._todo.items():
                if event.job not in self._doing:
                    return self._todo.pop(place)
            if self._more.is_set():
                self._more = trio.Event()
            await self._more.wait()

    async def _work(self) -> None:
        while True:
            event = await self._next()
            with trio.CancelScope() as scope:
                self._doing[event.job] = scope
                try:
                    await (self._seal(event) if isinstance(event, chain.ShardDrawn) else self._show(event))
                except SomaError as error:
                    _log.warning("job %s: no answer: %s", event.job.hex()[:12], error)
            del self._doing[event.job]
            self._more.set()
            if scope.cancelled_caught:  # its file may have been written meanwhile
                _log.warning("job %s: settled before it was answered", event.job.hex()[:12])
                self._path(event.job).unlink(missing_ok=True)

    async def _seal(self, drawn: chain.ShardDrawn) -> None:
        path = self._path(drawn.job)
        known = await trio.to_thread.run_sync(read_if_there, path)
        if known is None:
            try:
                data = await self._fetch(drawn.blob, drawn.size)
            except SomaError as error:
                _log.warning("job %s: %s", drawn.job.hex()[:12], error)
                await self._send(drawn.job, "report_unavailable", chain.ReportUnavailable(drawn.job))
                return
            judged = await self._encoder.answer(data, drawn.job)
            answer = SealedAnswer(
                salt=secrets.token_bytes(32), loss=judged.loss, vector=fixed.vector_bytes(judged.vector)
            )
            await trio.to_thread.run_sync(write_durably, path, pack(answer))
        else:
            answer = unpack(SealedAnswer, known)
        seal = chain.commitment(drawn.job, self._wallet.address, answer.salt, answer.loss, answer.vector)
        await self._send(drawn.job, "commit_embedding", chain.CommitEmbedding(job=drawn.job, commitment=seal))

    async def _show(self, opened: chain.RevealsOpen) -> None:
        known = await trio.to_thread.run_sync(read_if_there, self._path(opened.job))
        if known is None:
            raise DecodeError("the sealed answer is not on disk any more", "the job counts this encoder as silent")
        answer = unpack(SealedAnswer, known)
        await self._send(
            opened.job,
            "reveal_embedding",
            chain.RevealEmbedding(job=opened.job, salt=answer.salt, loss=answer.loss, vector=answer.vector),
        )

    async def _send(self, job: bytes, kind: str, action: object) -> None:
        """Have it ordered, while the job waits for it; say in the log if the chain says no."""
        done = await insist(self._wallet, kind, action)  # silence would cost the encoder what a restart did
        if done.code:
            _log.warning("job %s: the chain refused %s: %s", job.hex()[:12], kind, done.text)

    def _open_work(self, state: chain.State) -> list[_Work]:
        """What the chain still waits for from this encoder."""
        work: list[_Work] = []
        for key, job in state.scan(chain.JOBS):
            for member in job.shard:
                if member.encoder != self._wallet.address:
                    continue
                if job.stage == "committing" and member.state == "drawn":
                    encoders = tuple(m.encoder for m in job.shard)
                    work.append(chain.ShardDrawn(key, job.blob, job.size, encoders, job.deadline))
                elif job.stage == "revealing" and member.state == "committed":
                    work.append(chain.RevealsOpen(key, job.deadline))
        return work

    def _path(self, job: bytes) -> Path:
        return self._directory / job.hex()
