"""The encoders this node runs, from their opening to their answers: what each needs is put together here.

An encoder may run before it is registered: when the chain names it, its weights are offered and it is in the race.
"""

from pathlib import Path
from typing import final

import trio

from soma_core import chain
from soma_core.api import EncoderInfo, EncoderSpec
from soma_core.api.control import EncoderStatus
from soma_core.config import Prepared
from soma_core.errors import RefusedError
from soma_core.genesis import OPAQUE
from soma_core.model import Speciality
from soma_core.net import BlobStore
from soma_core.plugins import Plugin

from .answering import Answering
from .events import Hub
from .hosting import HostedEncoder, answers_directory, caller_of, check_registration, frame_of, open_encoder, role_of
from .publishing import keep, offer, registered_files
from .racing import OwnEncoder
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
        self._racing: list[OwnEncoder] = []

    @property
    def statuses(self) -> tuple[EncoderStatus, ...]:
        """In the order in which they were opened."""
        return tuple(self._statuses.values())

    @property
    def racing(self) -> tuple[OwnEncoder, ...]:
        """Registered encoders whose weights are offered."""
        return tuple(self._racing)

    def registration(self, plugin: str, name: str, stake: int) -> chain.RegisterEncoder:
        """What registers the encoder that runs by `plugin`. Raises `SomaError` if none does, or it is not aligned."""
        if plugin not in self._served:
            running = ", ".join(self._served) or "none"
            raise RefusedError(f"{plugin:.60} is no encoder of this node; it runs {running}", "see `soma status`")
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

    async def run(self, plugin: Plugin, task_status: "trio.TaskStatus[None]") -> None:
        """Open the encoder of `plugin` and serve with it, for ever. It has started once it is open."""
        spec = self._prepared.specs[plugin.name]
        assert isinstance(spec, EncoderSpec)
        genesis = self._store.genesis
        wallet = self._wallets.of(role_of(plugin))
        caller = caller_of(self._signer.role(role_of(plugin)), genesis.chain)
        seconds = genesis.parameters.commit_ms / 1000
        async with open_encoder(self._prepared, plugin, self._data_dir, caller, seconds) as worker:
            hosted = HostedEncoder(plugin, spec, worker, genesis)
            registered = await check_registration(self._store, self._thread, hosted, wallet.address)
            self._statuses[plugin.name] = hosted.status(registered, wallet.address)
            answering = Answering(
                hosted, wallet, self._store, self._thread, self._fetch, answers_directory(self._data_dir, plugin)
            )
            self._hub.listen(answering.note)
            config = self._prepared.resolved.of(plugin.name, spec.config)
            weights = getattr(config, "weights", None)
            self._served[plugin.name] = worker.info, weights
            if registered is not None:  # what is wrong with its files is said before the node is up
                await trio.to_thread.run_sync(registered_files, weights, registered)
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._offer, hosted, registered, weights, wallet)
                await answering.run()

    async def _offer(
        self, hosted: HostedEncoder, registered: chain.Encoder | None, weights: object, wallet: Wallet
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
        files = await trio.to_thread.run_sync(registered_files, weights, registered)
        if files is None:
            return
        self._racing.append(OwnEncoder(wallet.address, hosted))
        await offer(files, registered, wallet, self._store, self._thread, self._blobs)
        await keep(files, self._blobs)
