"""The workers of one encoder on a node: one for each of its models that the chain may ask for."""

import shutil
from pathlib import Path
from typing import final

import trio

from soma_core.api import EncoderSpec
from soma_core.config import Prepared
from soma_core.plugins import Plugin

from . import directory as places
from .encoding import Caller
from .hosting import HostedEncoder, open_encoder
from .kept import Kept
from .models import Models, Pair, pair_of
from .refereeing import write_files
from .store import Store


@final
class Running:
    """The workers of one encoder, each with other weights. They live as long as `nursery`, or until they are closed."""

    def __init__(
        self,
        prepared: Prepared,
        plugin: Plugin,
        data_dir: Path,
        store: Store,
        models: Models,
        nursery: trio.Nursery,
        caller: Caller,
    ) -> None:
        self._prepared = prepared
        self._data_dir = data_dir
        self._plugin = plugin
        self._store = store
        self._models = models
        self._nursery = nursery
        self._caller = caller
        self._scopes: dict[Pair, trio.CancelScope] = {}

    async def open(self, kept: Kept | None) -> HostedEncoder:
        """A worker with the weights of `kept`, or those of the plugin's settings. Raises `SomaError`."""
        hosted: HostedEncoder = await self._nursery.start(self._host, kept)
        return hosted

    def close(self, pair: Pair) -> None:
        """End the worker with these weights."""
        self._models.remove(pair)
        self._scopes.pop(pair).cancel()

    async def _host(
        self, kept: Kept | None, task_status: "trio.TaskStatus[HostedEncoder]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        genesis = self._store.genesis
        seconds = genesis.parameters.commit_ms / 1000
        spec = self._prepared.specs[self._plugin.name]
        assert isinstance(spec, EncoderSpec)
        path = None
        if kept is not None:
            words = self._plugin.name, kept.weights.hex()[:16], kept.frame.hex()[:16]
            own = places.make(self._data_dir, places.COMPONENTS, "-".join(words))
            path = await trio.to_thread.run_sync(write_files, own, kept.files)
        try:
            with trio.CancelScope() as scope:
                async with open_encoder(
                    self._prepared, self._plugin, self._data_dir, self._caller, seconds, path
                ) as worker:
                    hosted = HostedEncoder(self._plugin, spec, worker, genesis)
                    self._models.add(hosted)
                    self._scopes[pair_of(hosted)] = scope
                    task_status.started(hosted)
                    await trio.sleep_forever()
        finally:
            if path is not None:
                shutil.rmtree(path.parent, ignore_errors=True)
