"""Encoders that a node borrows, without a network and without workers: what is opened, and what is given back."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from driver_world import InlineThread
from ledger_world import DictReader

from soma_core import chain, fixed
from soma_core.chain.epochs import Epoch
from soma_core.config import NodeConfig
from soma_core.errors import EncoderError
from soma_core.node import borrowing
from soma_core.node.answering import Judged
from soma_core.node.borrowing import Borrowing


def assigned(number: int) -> chain.Assigned:
    return chain.Assigned(bytes([number]) * 32, bytes([number]) * 32, bytes(32))


@define
class Workers:
    """Which encoders are open, and what was opened ever. `missing`: those whose weights are not to be had."""

    open: list[bytes] = field(factory=list)
    opened: list[bytes] = field(factory=list)
    missing: set[bytes] = field(factory=set)

    async def files(self, encoder: bytes, _weights: bytes, _frame: bytes) -> Any:
        await trio.lowlevel.checkpoint()
        if encoder in self.missing:
            raise EncoderError("its weights are offered nowhere", "wait")
        return object()

    @asynccontextmanager
    async def worker(self, _plugin: object, _settings: object, own: Path, **_options: object) -> AsyncIterator[bytes]:
        encoder = bytes.fromhex(own.name[:2]) * 32
        self.open.append(encoder)
        self.opened.append(encoder)
        try:
            yield encoder
        finally:
            self.open.remove(encoder)

    def stand_in(self, patch: pytest.MonkeyPatch) -> "Workers":
        """Be what `borrowing` opens, from now on."""
        patch.setattr(borrowing, "open_worker", self.worker)
        patch.setattr(borrowing, "HostedEncoder", Hosted)
        patch.setattr(borrowing, "write_files", lambda directory, _files: directory / "weights")
        return self


class Hosted:
    """Says whose it is."""

    def __init__(self, _plugin: object, _spec: object, worker: bytes, _genesis: object) -> None:
        self.worker = worker

    async def answer(self, _data: bytes, _seed: bytes, /) -> Judged:
        await trio.lowlevel.checkpoint()
        return Judged(fixed.quant([1, 2, 3]), self.worker[0])


class Plugins:
    def find(self, name: str) -> str:
        return name

    def spec(self, _kind: str, name: str) -> str:
        return name


class Store:
    """As much of a store as is asked: a state of the targets that are open in epoch 3."""

    genesis = None

    def __init__(self) -> None:
        self.state = chain.State(DictReader())
        self.state.put(chain.EPOCH, b"", Epoch(number=3, start=0, first_index=1))

    def read(self, look: Callable[[chain.State], Any]) -> Any:
        return look(self.state)

    def target(self, number: int, *encoders: int, epoch: int = 3, closed: bool = False) -> None:
        """Open a target that these encoders are assigned to."""
        target = chain.Target(
            epoch=epoch,
            point=b"",
            radius=0,
            loss=0,
            reward=0,
            encoders=tuple(assigned(encoder) for encoder in encoders),
            closed=closed,
        )
        self.state.put(chain.TARGETS, number.to_bytes(8, "big"), target)


def lender(workers: Workers, root: Path, store: Store | None = None) -> Borrowing:
    given: Any = (Plugins(), workers.files, store or Store(), InlineThread(), root, NodeConfig())
    return Borrowing(*given)
