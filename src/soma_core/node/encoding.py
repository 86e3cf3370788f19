"""The node's side of an encoder's worker: batches out, checked vectors back, and a new worker when one ends.

``async with open_worker(plugin, config, directory) as worker:`` then ``await worker.encode(batch)``. A worker is not
trusted: see `soma_core.node.worker` for what confines it and `soma_core.node._answers` for what is checked.
"""

import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import numpy as np
import trio
from attrs import frozen
from numpy.typing import NDArray

from soma_core.api.encoder import EncoderInfo, Evaluation
from soma_core.api.spec import Need
from soma_core.config import plain
from soma_core.errors import DecodeError, EncoderError, PluginError, SomaError
from soma_core.plugins import Plugin, open_hangs, worker_ended
from soma_core.records import to_value

from ._answers import Arrays, bulk_size, checked_evaluation, checked_info, checked_vectors, joined
from ._children import Child, ChildEndedError, beside, environment, start
from ._confinement import default_memory, within_reach
from ._frames import FrameReader, frame
from .worker import BULK_MAX, CONFIG_MAX, ITEMS_MAX, NO_MEMORY, SIGN_MAX, Open, Run

if TYPE_CHECKING:
    from soma_core.codec import Value

BATCHES_MAX: Final = 2
"""Batches with a worker: one it computes, one that waits. Further callers wait on this side."""
SIGNING_MAX: Final = 4
"""Signatures an encoder may wait for at a time; it asks for one after the other, and gives up some."""
BACKOFF_MAX: Final = 30.0
"""Seconds between two starts of a worker, at most."""

_ALSO: Final = ("NPROC", "TF_CPP_MIN_LOG_LEVEL", "KMP_AFFINITY", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_PREFIXES: Final = ("OMP_", "OPENBLAS_", "MKL_", "XLA_", "JAX_", "CUDA_", "NVIDIA_")

_Answer = Arrays | SomaError | tuple[dict[str, object], tuple[str, ...], bytes] | None


class NoWorkerError(EncoderError):
    """The worker did not open, ended, or took too long: it says nothing of the item, another machine may do better."""


@frozen
class Caller:
    """As whom an encoder that needs an identity calls others.

    `key`: public, 32 bytes. `chain`: the network's id, 32 bytes. `sign`: signs a body under ``soma/webhook`` for both.
    """

    key: bytes
    chain: bytes
    sign: Callable[[bytes], Awaitable[bytes]]


@frozen(kw_only=True)
class Limits:
    """What a worker may take: seconds for a batch and for opening, bytes of memory (None: ¾ of the machine's).

    `backoff`: seconds before it is started again, doubled for each worker in a row that answered nothing.
    """

    seconds: float = 60.0
    open_seconds: float = 30.0
    memory: int | None = None
    backoff: float = 0.2


@final
class Worker:
    """One encoder in a process of its own. Any number of tasks may call it; batches are computed one by one."""

    def __init__(self, plugin: Plugin, order: Open, limits: Limits, caller: Caller | None) -> None:
        self.plugin = plugin
        self.isolation: tuple[str, ...] = ()
        """What confines the process, in words, for ``soma doctor``."""
        self._order, self._limits, self._caller = order, limits, caller
        self._log = logging.getLogger(f"soma.{plugin.name}")
        self._info: EncoderInfo | None = None
        self._child: Child[_Answer] | None = None
        self._fault: PluginError | None = None
        self._changed = trio.Event()
        self._to_sign = 0

    @property
    def info(self) -> EncoderInfo:
        """What the encoder is; the same for every worker that is started for it."""
        assert self._info is not None
        return self._info

    async def encode(self, batch: Sequence[bytes], *, job: bytes = b"") -> NDArray[np.float32]:
        """Raw vectors [B, dim] of any number of items: finite, no zero row. Raises `EncoderError`.

        `job`: for which they are wanted, 32 bytes; empty for none.
        """
        parts = []
        for first, items in _split(batch, self.info.max_batch):
            arrays = await self._run(items, None, job)
            parts.append(checked_vectors(self.plugin.name, arrays, first, len(items), len(batch), self.info.dim))
        return joined(parts, self.info.dim)

    async def evaluate(self, batch: Sequence[bytes], seed: bytes, *, job: bytes = b"") -> Evaluation:
        """Vectors as `encode` gives them, and bits per byte, float64 [B], within 0..16. Raises `EncoderError`."""
        parts = []
        for first, items in _split(batch, self.info.max_batch):
            arrays = await self._run(items, seed, job)
            parts.append(checked_evaluation(self.plugin.name, arrays, first, len(items), len(batch), self.info.dim))
        bits = np.concatenate([np.zeros(0), *(part.bits_per_byte for part in parts)])
        return Evaluation(joined([part.vectors for part in parts], self.info.dim), bits)

    async def ready(self) -> None:
        """Wait until a worker is open. Raises `PluginError` if the last one that was started did not open."""
        await self._opened_child()

    async def _opened_child(self) -> Child[_Answer]:
        while self._child is None or self._child.ended.is_set():
            if self._fault is not None:
                raise self._fault
            await self._changed.wait()
        return self._child

    async def _run(self, items: Sequence[bytes], seed: bytes | None, job: bytes) -> Arrays:
        fields = to_value(Run(sizes=tuple(map(len, items)), seed=seed, job=job))
        for last in (False, True):  # a batch is not lost with a worker that ends: it may not be what ended it
            try:
                child = await self._opened_child()
                answer = await child.ask(
                    lambda number: b"".join([frame([number, "run", fields]), *items]),
                    lambda number: frame([number, "cancel"]),
                )
            except PluginError as error:
                raise NoWorkerError(error.what, error.remedy) from error
            except ChildEndedError:
                if last or child.overstayed:
                    fault = self._ending(child)
                    raise NoWorkerError(fault.what, fault.remedy) from None
            else:
                break
        if isinstance(answer, SomaError):
            raise EncoderError(f"{self.plugin.name}: {answer.what}", answer.remedy)
        if not isinstance(answer, Arrays):
            raise EncoderError(f"{self.plugin.name}: skipped what nobody cancelled", "report it to its author")
        return answer

    async def supervise(self) -> None:
        """Keep a worker open. Returns if the first does not open."""
        deaths = 0
        while True:
            answered, fault = await self._live()
            if self._info is None:
                self._fault = fault
                self._tell()
                return
            deaths = 1 if answered else deaths + 1
            delay = min(self._limits.backoff * 2 ** min(deaths - 1, 16), BACKOFF_MAX)
            self._log.warning("%s; it is started again in %g s", fault, delay)
            await trio.sleep(delay)

    async def _live(self) -> tuple[bool, PluginError]:
        """One worker from start to end: whether it answered any batch, and why it ended."""
        self._to_sign = 0
        own = Path(self._order.directory)
        given = {"HOME": str(own), "TMPDIR": str(own)}
        process = await start("soma_core.node.worker", environment(_ALSO, _PREFIXES, **given), own)
        async with beside() as nursery:
            child = Child(
                process,
                lambda reader: self._receive(child, nursery, reader),
                most=BATCHES_MAX,
                log=self._log,
                patience=self._limits.open_seconds,
            )
            nursery.start_soon(child.run)
            try:
                answer = await child.ask(lambda number: frame([number, "open", to_value(self._order)]))
                fault = self._opened(answer)
                if fault is None:
                    child.patience = self._limits.seconds
                    self._child, self._fault = child, None
                    self._tell()
                    await child.ended.wait()
            except ChildEndedError:
                fault = None
            finally:
                opened, self._child = self._child is not None, None
                await child.end()
            await child.ended.wait()
        fault = fault or self._ending(child)
        if not opened and self._info is not None:  # whoever asks meanwhile need not wait for the next try
            self._fault = fault
            self._tell()
        return child.answered > 1, fault

    def _opened(self, answer: _Answer) -> PluginError | None:
        if isinstance(answer, SomaError):
            own = answer.what.startswith(self.plugin.name)
            return PluginError(answer.what if own else f"{self.plugin.title}: {answer.what}", answer.remedy)
        assert isinstance(answer, tuple)
        fields, isolation, frame_map = answer
        try:
            info = checked_info(self.plugin, fields, frame_map)
        except PluginError as error:
            return error
        if self._info is not None and info != self._info:
            return PluginError(f"{self.plugin.title}: after its restart it is another encoder", "restart the node")
        if self._info is None:
            self._say_what_is_within_reach(isolation)
        self._info, self.isolation = info, isolation
        return None

    def _say_what_is_within_reach(self, isolation: tuple[str, ...]) -> None:
        lost = within_reach(isolation, network="network" in self._order.needs)
        if lost:
            self._log.warning("this system does not keep from it: %s; see `soma doctor`", ", ".join(lost))

    def _ending(self, child: Child[_Answer]) -> PluginError:
        if child.overstayed and not child.answered:
            return open_hangs(self.plugin, child.patience)
        if child.overstayed:
            return PluginError(
                f"{self.plugin.title}: no answer within {child.patience:g} s, the worker was stopped",
                "give it smaller items, or raise its time limit",
            )
        if child.status == NO_MEMORY:
            return PluginError(
                f"{self.plugin.title}: the worker ran out of its {self._order.memory >> 20} MiB of memory",
                "give it smaller items, or raise [node] encoder_memory",
            )
        return worker_ended(self.plugin, child.status)

    async def _receive(
        self, child: Child[_Answer], nursery: trio.Nursery, reader: FrameReader
    ) -> tuple[int, _Answer] | None:
        match await reader.value():
            case [int(number), "run", header] if child.answered:
                arrays, size = bulk_size(header)
                return number, Arrays(arrays, await reader.raw(size))
            case [int(number), "failed", str(what), str(remedy)]:
                return number, EncoderError(what, remedy)
            case [int(number), "skipped"] if child.answered:
                return number, None
            case [int(number), "sign", bytes(body)] if len(body) <= SIGN_MAX and self._to_sign < SIGNING_MAX:
                self._to_sign += 1
                nursery.start_soon(self._sign, child, number, body)
                return None
            case [int(number), "open", dict(info), list(isolation)] if not child.answered:
                fields: dict[str, object] = {str(key): value for key, value in info.items()}
                length = fields.get("frame")
                if type(length) is not int or not 0 <= length <= BULK_MAX:
                    raise DecodeError("a frame map without a length", "see soma_core.api.EncoderInfo")
                return number, (fields, tuple(map(str, isolation)), await reader.raw(length))
        raise DecodeError("what the worker said is no answer", "nothing of the plugin's writes to its pipe")

    async def _sign(self, child: Child[_Answer], number: int, body: bytes) -> None:
        signature: Value = None
        try:
            if self._caller is not None:
                signature = await self._caller.sign(body)
        except SomaError as error:
            self._log.warning("not signed: %s", error)
        self._to_sign -= 1
        with suppress(ChildEndedError):  # then nobody waits for it any more
            child.tell(frame([number, "signed", signature]))

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def open_worker(
    plugin: Plugin,
    config: Mapping[str, object],
    directory: Path,
    *,
    needs: Iterable[Need] = (),
    limits: Limits = Limits(),
    hidden: Iterable[Path] = (),
    caller: Caller | None = None,
) -> AsyncIterator[Worker]:
    """The encoder of `plugin`, open in a process of its own that lives as long as the block.

    `config`: its settings by name. `directory`: its own, made if it is missing, its HOME and working directory.
    `needs`: what its spec asks for and the operator grants. `hidden`: directories it shall find empty, but for its own
    and the files its settings name; the node's data directory belongs here. `caller`: for one that needs an identity.
    Raises `PluginError` if it does not open.
    """
    order = _order(plugin, config, directory, needs, limits, hidden, caller)
    worker = Worker(plugin, order, limits, caller)
    async with beside() as nursery:
        nursery.start_soon(worker.supervise)
        await worker.ready()
        yield worker


def _order(
    plugin: Plugin,
    config: Mapping[str, object],
    directory: Path,
    needs: Iterable[Need],
    limits: Limits,
    hidden: Iterable[Path],
    caller: Caller | None = None,
) -> Open:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = directory.resolve()
    covers = [path.resolve() for path in hidden if path.is_dir()]
    text = json.dumps({key: plain(value) for key, value in config.items()})
    if len(text) > CONFIG_MAX:
        raise PluginError(f"{plugin.title}: settings of {len(text)} characters", f"keep them below {CONFIG_MAX}")
    return Open(
        plugin=(plugin.name, plugin.module, plugin.distribution, plugin.version, plugin.requires),
        config=text,
        directory=str(own),
        hidden=tuple(map(str, covers)),
        shown=tuple(map(str, _named(config.values(), covers, own))),
        needs=tuple(sorted(needs)),
        memory=default_memory() if limits.memory is None else limits.memory,
        key=b"" if caller is None else caller.key,
        chain=b"" if caller is None else caller.chain,
    )


def _split(batch: Sequence[bytes], most: int) -> Iterator[tuple[int, Sequence[bytes]]]:
    """`batch` in parts of at most `most` items and `BULK_MAX` bytes, each with the place of its first item."""
    first, size = 0, 0
    most = min(most, ITEMS_MAX)
    for place, item in enumerate(batch):
        if len(item) > BULK_MAX:
            raise EncoderError(f"item {place} of {len(batch)} has {len(item)} bytes", f"an item has at most {BULK_MAX}")
        if place - first == most or size + len(item) > BULK_MAX:
            yield first, batch[first:place]
            first, size = place, 0
        size += len(item)
    if first < len(batch):
        yield first, batch[first:]


def _named(values: Iterable[object], hidden: Sequence[Path], own: Path) -> Iterator[Path]:
    """Files and directories among settings that lie in a hidden directory: an operator who names them shows them."""
    for value in values:
        if isinstance(value, (str, Path)) and value and "\0" not in str(value):
            path = Path(os.path.realpath(value))
            if any(cover in path.parents for cover in hidden) and path.exists() and own not in (path, *path.parents):
                yield path
