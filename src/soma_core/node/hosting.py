"""An encoder this node runs: its worker, its place in the network's frame, its account."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, final

import attrs
import numpy as np
import trio
from numpy.typing import NDArray

from soma_core import chain
from soma_core.api import EncoderInfo, EncoderSpec, Evaluation
from soma_core.api.control import EncoderStatus
from soma_core.config import Prepared
from soma_core.errors import GenesisError, UsageError
from soma_core.genesis import Genesis
from soma_core.model import FrameMap, read_frame
from soma_core.plugins import Plugin

from . import directory as places
from .answering import Judged, judge
from .encoding import Caller, Limits, Worker, open_worker
from .signing import Signing
from .store import Store
from .threads import Thread

SECONDS: Final = 60.0
"""What an encoder may take for a batch, at most."""


def role_of(plugin: Plugin) -> str:
    """The key role of the encoder that `plugin` makes on this node."""
    return plugin.name


def frame_of(info: EncoderInfo) -> FrameMap | None:
    """The encoder's map into the network's frame; None where raw vectors are used as they are."""
    return read_frame(info.frame, info.weights) if info.frame else None


def dimension_of(info: EncoderInfo) -> int:
    """The length of the encoder's vectors in the network's frame."""
    frame = frame_of(info)
    return info.dim if frame is None else frame.dim


def caller_of(signing: Signing, chain_id: bytes) -> Caller:
    """As whom the encoder whose key is behind `signing` calls others, if it needs an identity."""
    return Caller(signing.key, chain_id, lambda body: signing.sign("soma/webhook", 0, body))


@asynccontextmanager
async def open_encoder(
    prepared: Prepared,
    plugin: Plugin,
    data_dir: Path,
    caller: Caller | None = None,
    seconds: float = SECONDS,
    weights: Path | None = None,
) -> AsyncIterator[Worker]:
    """The encoder of `plugin` in a process of its own, which finds the node's data directory empty but for its own.

    `caller`: as whom it calls, if it needs an identity. `seconds`: after which an answer is of no use to anybody.
    `weights`: those that it runs instead of its setting's, in a directory of its own. Raises `PluginError` if it does
    not open.
    """
    spec = prepared.specs[plugin.name]
    settings = attrs.asdict(prepared.resolved.of(plugin.name, spec.config))
    node = prepared.resolved.node
    async with open_worker(
        plugin,
        settings if weights is None else {**settings, "weights": str(weights)},
        places.make(data_dir, places.COMPONENTS, plugin.name) if weights is None else weights.parent,
        needs=spec.needs,
        limits=Limits(
            seconds=min(seconds, SECONDS),
            open_seconds=node.open_timeout,
            memory=node.encoder_memory << 20 if node.encoder_memory else None,
        ),
        hidden=(data_dir,),
        caller=caller if "identity" in spec.needs else None,
    ) as worker:
        yield worker


@final
class HostedEncoder:
    """A worker whose answers are put into the network's frame. One computation at a time."""

    def __init__(self, plugin: Plugin, spec: EncoderSpec[Any], worker: Worker, genesis: Genesis) -> None:
        self.plugin = plugin
        self.worker = worker
        self._has_loss = "loss" in spec.features
        self._frame = frame_of(worker.info)
        self._turn = trio.Lock()
        dimension = dimension_of(worker.info)
        if dimension != genesis.parameters.dimension:
            raise GenesisError(
                f"{plugin.name} gives vectors of {dimension} numbers, the network has {genesis.parameters.dimension}",
                "give it a frame map into the network's frame, or run it in a network of its own (another --data-dir)",
            )

    @property
    def frame_digest(self) -> bytes:
        """Of its map into the network's frame; empty where raw vectors are used as they are."""
        return b"" if self._frame is None else self._frame.digest()

    async def answer(self, data: bytes, seed: bytes, /) -> Judged:
        """Vector and loss of one datum, alone in its batch as the referee computes it. Raises `EncoderError`.

        `seed`: the key of the job it is for.
        """
        async with self._turn:
            if self._has_loss:
                evaluation = await self.worker.evaluate([data], seed, job=seed)
            else:
                evaluation = Evaluation(await self.worker.encode([data], job=seed), np.zeros(1))
        return judge(evaluation, self._framed(evaluation.vectors))

    def status(self, registered: chain.Encoder | None, address: bytes) -> EncoderStatus:
        """What ``soma status`` says of it."""
        name = registered.name if registered else self.plugin.name
        state = "ready" if registered else "not registered in this network"
        return EncoderStatus(name=name, plugin=self.plugin.name, address=address, state=state)

    def _framed(self, raw: NDArray[np.float32]) -> NDArray[np.float64]:
        return raw[0].astype(np.float64) if self._frame is None else np.asarray(self._frame.apply(raw[0]))


async def check_registration(
    store: Store, thread: Thread, hosted: HostedEncoder, address: bytes
) -> chain.Encoder | None:
    """The encoder's registration, or None. Raises `UsageError` if other weights were registered."""

    def look(state: chain.State) -> chain.Encoder | None:
        return state.get(chain.ENCODERS, address)

    registered: chain.Encoder | None = await thread.run(store.read, look)
    if registered is None:
        logging.getLogger(hosted.plugin.name).warning("not registered in this network: it will not be drawn")
    elif registered.weights != hosted.worker.info.weights:
        raise UsageError(
            f"{hosted.plugin.name} runs weights {hosted.worker.info.weights.hex()[:12]},"
            f" its account registered {registered.weights.hex()[:12]}",
            "give it the registered weights: a wrong answer would cost its stake",
        )
    return registered


def answers_directory(data_dir: Path, plugin: Plugin) -> Path:
    """Where the encoder keeps its sealed answers."""
    return places.make(data_dir, places.ANSWERS, plugin.name)
