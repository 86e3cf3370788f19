"""Other people's encoders at work on this node's data: a hunter without an encoder of its own borrows those it needs.

Their weights are fetched as auditors fetch them, and computed with by the engine of reference, a worker for each, for
as long as targets are assigned to them.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import trio
from attrs import define, field

from soma_core import chain
from soma_core.config import NodeConfig
from soma_core.errors import EncoderError, RefusedError, SomaError
from soma_core.plugins import Plugins

from . import directory as places
from .answering import Judged
from .encoding import Limits, open_worker
from .hosting import HostedEncoder
from .racing import OwnEncoder
from .refereeing import REFEREE, SECONDS, Files, write_files
from .store import Store
from .threads import Thread

if TYPE_CHECKING:
    from soma_core.api import EncoderSpec

MOST: Final = 2
"""Encoders that are borrowed at a time: each is a process, and computes every file."""
COMPARED: Final = 8
"""Encoders that are at hand beside these, to be compared with: as many as an audit of a hit looks at."""
IDLE: Final = 60.0
"""Seconds after which one of them that nobody has asked is given back."""
LOOKS: Final = 60
LOOK_EVERY: Final = 0.25
"""Seconds between so many looks for a target that opens."""
AGAIN_AFTER: Final = 30.0
"""Seconds after which an encoder that could not be had is tried again."""

_log = logging.getLogger("soma.borrowing")


@define(eq=False)
class _Loan:
    """An encoder with the weights and frame map that targets name. `ready`: it is open, or `fault` says why not.

    `asked`: of late.
    """

    assigned: chain.Assigned
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    ready: trio.Event = field(factory=trio.Event)
    encoder: HostedEncoder | None = None
    fault: SomaError | None = None
    asked: bool = True

    async def answer(self, data: bytes, seed: bytes, /) -> Judged:
        """Vector and loss of one datum. Raises `EncoderError`, also where the encoder was given back meanwhile."""
        if self.encoder is not None:
            with trio.move_on_after(SECONDS):
                return await self.encoder.answer(data, seed)
        raise EncoderError("the borrowed encoder is not at hand any more", "ask again")


@final
class Borrowing:
    """Borrowed encoders of one node. `files`: how a model is got. `run` goes on beside what asks for them."""

    def __init__(
        self, plugins: Plugins, files: Files, store: Store, thread: Thread, data_dir: Path, node: NodeConfig
    ) -> None:
        self._plugins = plugins
        self._files = files
        self._store = store
        self._thread = thread
        self._data_dir = data_dir
        self._limits = Limits(
            seconds=SECONDS,
            open_seconds=node.open_timeout,
            memory=node.encoder_memory << 20 if node.encoder_memory else None,
        )
        self._loans: dict[chain.Assigned, _Loan] = {}
        self._compared: dict[chain.Assigned, _Loan] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Keep what is borrowed, for ever."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            while True:
                for loan in self._compared.values():
                    loan.asked = False
                await trio.sleep(IDLE)
                for loan in [loan for loan in self._compared.values() if not loan.asked]:
                    loan.scope.cancel()
                    del self._compared[loan.assigned]

    async def encoders(self) -> tuple[OwnEncoder, ...]:
        """Those that most of the open targets are assigned to. Raises `RefusedError` if none can be had."""
        wanted = await self._wanted()
        for loan in [loan for assigned, loan in self._loans.items() if assigned not in wanted]:
            loan.scope.cancel()
            del self._loans[loan.assigned]
        for assigned in wanted:
            if assigned not in self._loans:
                self._loans[assigned] = self._taken(assigned)
        loans = list(self._loans.values())
        for loan in loans:
            await loan.ready.wait()
        found = tuple(OwnEncoder(loan.assigned.encoder, loan) for loan in loans if loan.encoder is not None)
        if not found:
            fault = next((loan.fault for loan in loans if loan.fault is not None), None)
            why = fault.what if fault is not None else "no target is open"
            raise RefusedError(f"no assigned encoder can be borrowed: {why}", "ask again, or ask an encoder's node")
        return found

    async def compare(self, assigned: chain.Assigned, data: bytes, seed: bytes) -> Judged:
        """What an encoder gives, of a few data only. Raises `SomaError` if it is not to be had.

        `COMPARED` of these are kept at hand; whichever was asked longest ago is given back for another.
        """
        loan = self._loans.get(assigned)
        if loan is None:
            self._compared[assigned] = loan = self._taken(assigned)
            loan.asked = True
            while len(self._compared) > COMPARED:
                self._compared.pop(next(iter(self._compared))).scope.cancel()
        await loan.ready.wait()
        if loan.fault is not None:
            raise loan.fault
        return await loan.answer(data, seed)

    def _taken(self, assigned: chain.Assigned) -> _Loan:
        """The loan that is kept to be compared with, taken from there, or else a new one."""
        if (loan := self._compared.get(assigned)) is not None:
            del self._compared[assigned]
            return loan
        assert self._nursery is not None
        self._nursery.start_soon(self._lend, made := _Loan(assigned))
        return made

    async def _wanted(self) -> tuple[chain.Assigned, ...]:
        """What `_most_wanted` says; in the moments of an epoch in which no target is open yet, what is borrowed now."""
        for _ in range(LOOKS):
            found = await self._thread.run(self._store.read, _most_wanted) or tuple(self._loans)
            if found:
                return found
            await trio.sleep(LOOK_EVERY)
        return ()

    async def _lend(self, loan: _Loan) -> None:
        """Have the encoder at hand until its scope is cancelled. After a fault it is tried anew some time later."""
        with loan.scope:
            try:
                await self._hold(loan)
            except SomaError as error:
                _log.warning("encoder %s is not to be had: %s", loan.assigned.encoder.hex()[:12], error)
                loan.encoder, loan.fault = None, error
                loan.ready.set()
                await trio.sleep(AGAIN_AFTER)
        loan.encoder = None
        loan.ready.set()
        for kept in (self._loans, self._compared):
            if kept.get(loan.assigned) is loan:
                del kept[loan.assigned]

    async def _hold(self, loan: _Loan) -> None:
        assigned = loan.assigned
        files = await self._files(assigned.encoder, assigned.weights, assigned.frame)
        own = places.make(self._data_dir, places.COMPONENTS, "borrowed", assigned.encoder.hex()[:16])
        path = await trio.to_thread.run_sync(write_files, own, files)
        settings = {"weights": str(path)}
        plugin = self._plugins.find(REFEREE)
        spec: EncoderSpec[Any] = self._plugins.spec("encoder", REFEREE)
        async with open_worker(plugin, settings, own, limits=self._limits, hidden=(self._data_dir,)) as worker:
            loan.encoder = HostedEncoder(plugin, spec, worker, self._store.genesis)
            loan.ready.set()
            await trio.sleep_forever()


def _most_wanted(state: chain.State) -> tuple[chain.Assigned, ...]:
    """The encoders of this epoch's open targets, those of most of them first, at most `MOST`."""
    epoch = state.need(chain.EPOCH).number
    counts = Counter(
        assigned
        for _, target in state.scan(chain.TARGETS)
        if target.epoch == epoch and not target.closed
        for assigned in target.encoders
    )
    return tuple(sorted(counts, key=lambda assigned: (-counts[assigned], assigned.encoder))[:MOST])
