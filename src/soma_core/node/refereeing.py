"""The engine of reference at work on other people's weights: NumPy, in a worker that has nothing but them.

A worker is opened for each answer that is checked and ended after it: what one encoder's weights make of it, another's
audit does not see.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, final

import numpy as np
import trio

from soma_core import chain
from soma_core.api import Evaluation
from soma_core.config import NodeConfig
from soma_core.errors import EncoderError, PluginError
from soma_core.genesis import Parameters
from soma_core.model import ModelFiles, load_model, read_frame
from soma_core.plugins import Plugin

from . import directory as places
from .answering import Judged, judge
from .encoding import Limits, NoWorkerError, open_worker

REFEREE: Final = "encoder-numpy"
"""The plugin that audits are computed with (``specs/20-model.md``)."""
WEIGHTS: Final = "audited.safetensors"
SECONDS: Final = 60.0
"""What an answer may take, at most."""

Files = Callable[[bytes, bytes, bytes], Awaitable[ModelFiles]]
"""The checked model of an encoder by the digests of weights and frame. Raises `SomaError` if it is not to be had."""


def referee_of(
    plugin: Plugin, files: Files, data_dir: Path, node: NodeConfig, parameters: Parameters, name: str = "referee"
) -> "Referee":
    """A referee that computes within the time an auditor has. `name`: of its worker's directory."""
    limits = Limits(
        seconds=min(parameters.audit_seal_ms / 1000, SECONDS),
        open_seconds=node.open_timeout,
        memory=node.encoder_memory << 20 if node.encoder_memory else None,
    )
    own = places.make(data_dir, places.COMPONENTS, name)
    return Referee(plugin, files, own, data_dir, parameters.dimension, limits)


def referees_of(
    plugin: Plugin, files: Files, data_dir: Path, node: NodeConfig, parameters: Parameters
) -> "tuple[Referee, Referee]":
    """Those of a validator's node: for answers, and for encoders' claims, which take longer and hold nobody up."""
    one, other = (referee_of(plugin, files, data_dir, node, parameters, name) for name in ("referee", "checker"))
    return one, other


@final
class Referee:
    """Computes what committed weights give. `directory`: its worker's own. `hidden`: what the worker shall not see."""

    def __init__(
        self, plugin: Plugin, files: Files, directory: Path, hidden: Path, dimension: int, limits: Limits
    ) -> None:
        self._plugin = plugin
        self._files = files
        self._directory = directory
        self._hidden = hidden
        self._dimension = dimension
        self._limits = limits
        self._turn = trio.Lock()

    async def answer(self, item: chain.Item | chain.Assigned, data: bytes, seed: bytes, /) -> Judged:
        """Vector and loss that the named weights and frame give of `data`. Raises `SomaError` if they give none.

        It is a `NoWorkerError` if that says nothing of them.
        """
        (judged,) = await self.answers(item, [data], seed)
        return judged

    async def answers(self, item: chain.Item | chain.Assigned, data: Sequence[bytes], seed: bytes, /) -> list[Judged]:
        """The same of several data, by one worker, each alone in its batch."""
        files = await self._files(item.encoder, item.weights, item.frame)
        frame = read_frame(files.frame)
        if frame.dim != self._dimension:
            raise EncoderError(
                f"the frame map gives vectors of {frame.dim} numbers, the network has {self._dimension}",
                "the encoder's operator is at fault",
            )
        async with self._turn:
            path = await trio.to_thread.run_sync(write_files, self._directory, files)
            evaluations = await self._evaluate(path, data, seed)
        return [judge(each, np.asarray(frame.apply(each.vectors[0]))) for each in evaluations]

    async def _evaluate(self, path: Path, data: Sequence[bytes], seed: bytes) -> list[Evaluation]:
        try:
            async with open_worker(
                self._plugin,
                {"weights": str(path)},
                self._directory,
                limits=self._limits,
                hidden=(self._hidden,),
            ) as worker:
                return [await worker.evaluate([each], seed, job=seed) for each in data]
        except PluginError as error:  # the weights can be read: it is not they that keep the worker from opening
            raise NoWorkerError(error.what, error.remedy) from error


def write_files(directory: Path, files: ModelFiles) -> Path:
    """The files in a worker's `directory`, looked through before. They need not outlive it."""
    path = directory.resolve() / WEIGHTS
    path.write_bytes(files.weights)
    path.with_suffix(".json").write_text(files.config, "utf-8")
    path.with_suffix(".frame").write_bytes(files.frame)
    load_model(path)
    return path
