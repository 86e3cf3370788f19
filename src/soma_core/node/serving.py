"""The encoders this node runs, from their opening to their answers: what each needs is put together here.

An encoder may run before it is registered: when the chain names it, its weights are offered and it is in the race.
"""

from pathlib import Path
from typing import final

import trio
from attrs import evolve

from soma_core import chain
from soma_core.api import EncoderInfo, EncoderSpec
from soma_core.api.control import EncoderStatus
from soma_core.config import Prepared
from soma_core.errors import RefusedError
from soma_core.genesis import OPAQUE
from soma_core.model import Speciality
from soma_core.net import BlobStore
from soma_core.plugins import Plugin

from . import directory as places
from ._children import beside
from .answering import Answering
from .canaries import Canaries
from .events import Hub
from .hosting import HostedEncoder, answers_directory, caller_of, check_registration, frame_of, role_of
from .kept import Kept, KeptModels
from .models import Models, registered_pair
from .publishing import keep, offer, registered_files
from .racing import OwnEncoder
from .renewing import Renewing
from .running import Running
from .signing import Signer
from .store import Store
from .threads import Thread
from .validating import Fetch
from .wallet import Wallet, Wallets


@final
class Serving:
    """`statuses`: what `soma status` says of each encoder. `racing`: those that targets can be assigned to."""

    def __init__(
        self,
        prepared: Prepared,
        data_dir: Path,
        signer: Signer,
        wallets: Wallets,
        store: Store,
        thread: Thread,
        hub: Hub,
        blobs: BlobStore,
        fetch: Fetch,
    ) -> None:
        self._prepared = prepared
        self._data_dir = data_dir
        self._signer = signer
        self._wallets = wallets
        self._store = store
        self._thread = thread
        self._hub = hub
        self._blobs = blobs
        self._fetch = fetch
        self._statuses: dict[str, EncoderStatus] = {}
        self._served: dict[str, tuple[EncoderInfo, object]] = {}
        self._renewing: dict[str, Renewing] = {}
        self._canaries: dict[str, Canaries] = {}
        self._racing: list[OwnEncoder] = []

    @property
    def statuses(self) -> tuple[EncoderStatus, ...]:
        """In the order in which they were opened."""
        return tuple(self._with_weights(status) for status in self._statuses.values())

    @property
    def racing(self) -> tuple[OwnEncoder, ...]:
        """Registered encoders whose weights are offered."""
        return tuple(self._racing)

    def _with_weights(self, status: EncoderStatus) -> EncoderStatus:
        renewing = self._renewing.get(status.plugin)
        if renewing is None:
            return status
        coming, since = renewing.coming or (b"", 0)
        return evolve(status, weights=renewing.present, next_weights=coming, next_epoch=since)

    def registration(self, plugin: str, name: str, stake: int) -> chain.RegisterEncoder:
        """What registers the encoder that runs by `plugin`. Raises `SomaError` if none does, or it is not aligned."""
        if plugin not in self._served:
            raise self._unknown(plugin)
        info, weights = self._served[plugin]
        frame = frame_of(info)
        if frame is None or info.architecture not in self._store.genesis.architectures:
            return chain.RegisterEncoder(name=name, stake=stake, weights=b"", frame=b"", architecture=OPAQUE)
        found = Speciality.beside(weights, info.weights) if isinstance(weights, str) else None
        if found is None:
            raise RefusedError(
                f"nobody has found yet what the weights of {plugin} are good at",
                "soma encoder align FILE --overwrite, with the file of its setting `weights`",
            )
        return chain.RegisterEncoder(
            name=name,
            stake=stake,
            weights=info.weights,
            frame=frame.digest(),
            architecture=info.architecture,
            position=found.position,
            best=found.best if self._store.genesis.sketches else b"",
        )

    async def renew(self, plugin: str, weights: str) -> chain.TransactionDone:
        """Bring out new weights of the encoder that runs by `plugin`. Raises `SomaError`."""
        if plugin not in self._renewing:
            raise self._unknown(plugin)
        return await self._renewing[plugin].begin(weights)

    async def plant(self, plugin: str) -> chain.TransactionDone:
        """Plant a canary of the encoder that runs by `plugin`. Raises `SomaError`."""
        if plugin not in self._canaries:
            raise self._unknown(plugin)
        return await self._canaries[plugin].plant()

    def _unknown(self, plugin: str) -> RefusedError:
        running = ", ".join(self._served) or "none"
        return RefusedError(f"{plugin:.60} is no encoder of this node; it runs {running}", "see `soma status`")

    async def run(self, plugin: Plugin, task_status: "trio.TaskStatus[None]") -> None:
        """Open the encoder of `plugin` and serve with it, for ever. It has started once it is open."""
        spec = self._prepared.specs[plugin.name]
        assert isinstance(spec, EncoderSpec)
        wallet = self._wallets.of(role_of(plugin))
        caller = caller_of(self._signer.role(role_of(plugin)), self._store.genesis.chain)
        kept = KeptModels(places.make(self._data_dir, places.WEIGHTS, plugin.name))
        models = Models(self._store, self._thread, wallet.address)
        pair = await self._thread.run(self._store.read, lambda state: registered_pair(state, wallet.address))
        brought_out = await trio.to_thread.run_sync(kept.get, pair)
        async with beside() as nursery:
            running = Running(self._prepared, plugin, self._data_dir, self._store, models, nursery, caller)
            hosted = await running.open(brought_out)
            registered = await check_registration(self._store, self._thread, hosted, wallet.address)
            self._statuses[plugin.name] = hosted.status(registered, wallet.address)
            canaries = Canaries(
                models,
                wallet,
                self._store,
                self._thread,
                self._hub,
                places.make(self._data_dir, places.CANARIES) / plugin.name,
            )
            answering = Answering(
                canaries, wallet, self._store, self._thread, self._fetch, answers_directory(self._data_dir, plugin)
            )
            self._hub.listen(answering.note)
            config = self._prepared.resolved.of(plugin.name, spec.config)
            weights = getattr(config, "weights", None)
            self._served[plugin.name] = hosted.worker.info, weights
            if registered is not None and brought_out is None:  # what is wrong is said before the node is up
                await trio.to_thread.run_sync(registered_files, weights, registered)
            renewing = Renewing(wallet, self._store, self._thread, self._hub, self._blobs, models, running, kept)
            self._renewing[plugin.name] = renewing
            self._canaries[plugin.name] = canaries
            task_status.started()
            nursery.start_soon(self._offer, hosted, registered, brought_out, weights, wallet, models, renewing)
            nursery.start_soon(renewing.run)
            nursery.start_soon(canaries.run)
            await answering.run()

    async def _offer(
        self,
        hosted: HostedEncoder,
        registered: chain.Encoder | None,
        brought_out: Kept | None,
        weights: object,
        wallet: Wallet,
        models: Models,
        renewing: Renewing,
    ) -> None:
        """Offer the encoder's weights as soon as it is registered, and keep them on offer."""
        while registered is None:
            changed = self._hub.changed
            registered = await self._thread.run(self._store.read, lambda s: s.get(chain.ENCODERS, wallet.address))
            if registered is None:
                await changed.wait()
            else:
                await check_registration(self._store, self._thread, hosted, wallet.address)
                name = hosted.plugin.name
                self._statuses[name] = hosted.status(registered, wallet.address)
        files = None if brought_out is None else brought_out.files
        if files is None:
            files = await trio.to_thread.run_sync(registered_files, weights, registered)
        if files is None:
            return
        pair = registered.weights, registered.frame
        renewing.files[pair] = files
        self._racing.append(OwnEncoder(wallet.address, models))
        await offer(files, pair, wallet, self._store, self._thread, self._blobs)
        await keep(renewing.files, self._blobs)
