"""A node put together: every component opened in one nursery, in order, and closed in the reverse.

    lock → signer → plugins → ledger → transport → network → roles → control socket

The signer is a process of its own and stands before any plugin is imported. A node's roles follow from its plugins:
with a consensus plugin whose key is in the committee it validates, otherwise it follows; with encoder plugins it
encodes.
"""

import gc
import logging
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import final

import trio
from attrs import frozen

from soma_core import __version__, chain
from soma_core.api import Budget, Ledger, Transport
from soma_core.api.control import EncoderStatus
from soma_core.config import Options, Prepared, gather, prepare
from soma_core.errors import SomaError
from soma_core.genesis import Genesis, read
from soma_core.net import (
    KEEP_FOR,
    Address,
    BlobStore,
    Hello,
    Network,
    follow,
    serve_blobs,
    serve_entries,
)

from . import directory as places
from .accusing import Accusing
from .acting import Acting
from .applying import Applying
from .auditing import Auditing
from .borrowing import Borrowing
from .checkpoints import Checkpoints
from .committee import Committee
from .components import engine_opener, one_of, open_ledger, open_transport, scoring_of
from .control import serve_control
from .data import Data
from .driver import Driver
from .events import Hub
from .following import Following, Source
from .hosting import role_of
from .mempool import Mempool
from .operations import Facts, Operations
from .outside import Outside
from .publishing import Offered
from .refereeing import REFEREE, referees_of
from .restoring import remember
from .returning import Returning
from .searching import searching_of
from .serving import Serving
from .signing import Signer, open_signer
from .space import Space
from .storage import disk_failures
from .store import Store
from .submission import Submission
from .threads import Thread, open_thread
from .validating import Validating
from .wallet import Wallet, Wallets, accounts_of
from .witness import Witness, serve_signatures, to_members

_log = logging.getLogger("soma.node")


@frozen(kw_only=True)
class Running:
    """What a node that is up tells whoever started it."""

    genesis: Genesis
    data_dir: Path
    roles: tuple[str, ...]
    addresses: tuple[str, ...]
    encoders: tuple[EncoderStatus, ...]


def data_dir_of(options: Options) -> Path:
    """The data directory that `options` mean. Imports no plugin."""
    return gather(options).resolve().node.data_dir.expanduser().absolute()


def genesis_path(options: Options) -> Path:
    """Where the genesis of that node lies, or would."""
    node = gather(options).resolve().node
    return node.genesis.expanduser() if node.genesis else data_dir_of(options) / places.GENESIS


async def run_node(options: Options, up: Callable[[Running], None]) -> None:
    """Run a node until it is cancelled or asked to stop. `up` is called once everything answers."""
    data_dir = data_dir_of(options)
    genesis = read(genesis_path(options))
    with places.locked(data_dir), disk_failures(data_dir):
        async with open_signer(data_dir, genesis.chain) as signer:
            os.environ.pop("SOMA_PASSPHRASE", None)  # the signer has it; what plugins start need not inherit it
            prepared = prepare(options)
            signer.need("node", "account", *map(role_of, prepared.selection.of("encoder")))
            async with _open(prepared, data_dir, genesis, signer) as node:
                await node.run(up)


@asynccontextmanager
async def _open(prepared: Prepared, data_dir: Path, genesis: Genesis, signer: Signer) -> "AsyncIterator[_Node]":
    """Storage and network, opened; the node between them."""
    settings = prepared.resolved.node
    space = Space(data_dir, low=settings.space_low << 20, least=settings.space_least << 20)
    rule = scoring_of(prepared.plugins, genesis.scoring)
    async with AsyncExitStack() as stack:
        thread = await stack.enter_async_context(open_thread("chain"))
        ledger = await open_ledger(prepared, data_dir, "chain", thread)
        stack.push_async_callback(thread.run, ledger.close)
        store = await thread.run(Store, genesis, rule, ledger)
        seats = await thread.run(store.seated)
        budget = Budget()
        transport = await stack.enter_async_context(open_transport(prepared, data_dir, signer.identity(), budget))
        yield _Node(prepared, data_dir, genesis, signer, store, thread, seats, transport, budget, space)


@final
class _Node:
    """The parts of a node between its storage and its network, and who hears of what."""

    def __init__(
        self,
        prepared: Prepared,
        data_dir: Path,
        genesis: Genesis,
        signer: Signer,
        store: Store,
        thread: Thread,
        seats: tuple[chain.Seat, ...],
        transport: Transport,
        budget: Budget,
        space: Space,
    ) -> None:
        self._prepared = prepared
        self._space = space
        self._data_dir = data_dir
        self._genesis = genesis
        self._signer = signer
        self._store = store
        self._thread = thread
        self._transport = transport
        self._hub = Hub()
        self._mempool = Mempool()
        self._key = self._consensus_key()
        self._budget = budget
        self._sit(seats)
        self._checkpoints = Checkpoints(store, thread, self._hub, self._key)
        p = genesis.parameters
        self._blobs = BlobStore(
            places.make(data_dir, places.BLOBS),
            max_blob=p.max_blob,
            keep_for=max(KEEP_FOR, chain.longest_life(p) / 1000),
        )
        self._driver: Driver | None = None
        self._network = Network(
            transport,
            signer.identity().peer,
            Hello(
                chain=genesis.chain,
                protocol=genesis.protocol,
                version=__version__,
                roles=self._roles(),
                addresses=transport.addresses,
            ),
            tuple(Address.parse(text) for text in prepared.resolved.node.peers),
            random=random.Random(),  # noqa: S311  # jitter of reconnecting, nothing secret
            hears_consensus=self._may_validate,
            budget=budget,
        )
        self._data = Data(self._blobs, self._network)
        self._submission = Submission(
            self._network, store, thread, self._mempool, space, lambda: self._orders, self._ready
        )
        self._wallets = Wallets(
            signer, store, thread, self._hub, self._submission.submit, accounts_of(prepared.resolved.node.acts_for)
        )
        self._serving = Serving(
            prepared, data_dir, signer, self._wallets, store, thread, self._hub, self._blobs, self._new_data
        )

    async def run(self, up: Callable[[Running], None]) -> None:
        """Everything at once, until cancelled or asked to stop."""
        wallet = self._wallets.of("account")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._space.watch)
            serve_blobs(self._network, self._blobs)
            serve_entries(self._network, Source(self._store, self._thread, self._hub))
            await nursery.start(self._network.run)
            if self._may_validate:
                await self._start_validating(nursery, wallet)
            else:
                nursery.start_soon(self._follow)
            for plugin in self._prepared.selection.of("encoder"):
                await nursery.start(self._serving.run, plugin)
            borrowing = self._borrowing(nursery)
            operations = Operations(
                store=self._store,
                thread=self._thread,
                hub=self._hub,
                wallet=wallet,
                blobs=self._blobs,
                space=self._space,
                facts=Facts(
                    data_dir=self._data_dir,
                    roles=self._roles(),
                    node=self._signer.role("node").key,
                    addresses=lambda: self._transport.addresses,
                    peers=lambda: len(self._network.peers),
                    waiting=lambda: len(self._mempool),
                    encoders=lambda: self._serving.statuses,
                    racing=lambda: self._serving.racing,
                    borrow=borrowing.encoders,
                    compare=borrowing.compare,
                ),
                acting=Acting(self._store, self._thread, self._signer, self._wallets.of, self._serving),
                searching=searching_of(
                    self._prepared, self._data_dir, self._store, self._thread, self._hub, self._blobs
                ),
                stop=nursery.cancel_scope.cancel,
            )
            nursery.start_soon(operations.run)
            async with serve_control(self._data_dir, operations.connect):
                up(
                    Running(
                        genesis=self._genesis,
                        data_dir=self._data_dir,
                        roles=self._roles(),
                        addresses=self._transport.addresses,
                        encoders=self._serving.statuses,
                    )
                )
                # What a node consists of by now stays as long as it does. Left to the collector, a flood of small
                # messages makes it look at all of that again and again, 90 ms each time.
                gc.collect()
                gc.freeze()
                await trio.sleep_forever()

    def _consensus_key(self) -> bytes | None:
        """The own consensus key, if there is a consensus plugin for it."""
        if not self._prepared.selection.of("consensus") or "validator" not in self._signer.roles:
            return None
        return self._signer.role("validator").key

    def _sit(self, seats: tuple[chain.Seat, ...]) -> None:
        """Know the committee that begins."""
        self._seated = any(seat.key == self._key for seat in seats)
        self._budget.belong(frozenset(seat.node for seat in seats))

    def _tell(self, applied: chain.Applied) -> None:
        if applied.seats:
            self._sit(applied.seats)
        self._hub.publish(applied)

    @property
    def _may_validate(self) -> bool:
        """Whether this node has a seat, or may get one: where validators have stake, committees change."""
        changes = any(founder.stake for founder in self._genesis.validators)
        return self._key is not None and (self._seated or changes)

    def _roles(self) -> tuple[str, ...]:
        validates = ("validator",) if self._seated else ()
        return (*validates, *(("encoder",) if self._prepared.selection.of("encoder") else ()))

    async def _start_validating(self, nursery: trio.Nursery, wallet: Wallet) -> None:
        """The validator's tasks. The signature a crash may have left out is made up for first."""
        key = self._signer.role("validator")
        thread, checks = Thread("consensus"), Thread("signatures")
        records = await open_ledger(self._prepared, self._data_dir, "consensus", thread)
        validating = Validating(self._store, self._thread, key, wallet, self._checkpoints, self._data.get)
        self._hub.listen(validating.note)

        async def fetched(what: chain.Applied) -> None:
            self._tell(what)
            await witness.fetched(what)

        async def applied(what: chain.Applied) -> None:
            self._tell(what)
            await witness.ordered(what, seated=self._seated)
            if validating.hurries:
                driver.payload_ready()

        serve_signatures(self._network, self._checkpoints)
        tell = to_members(self._network, self._store, self._thread)
        witness = Witness(self._store, self._thread, self._checkpoints, key, tell, nursery)
        accusing = Accusing(self._store, self._thread, wallet, key.key)
        returning = Returning(self._store, self._thread, self._hub, self._signer, wallet)
        committee = Committee(self._network)
        self._driver = driver = Driver(
            Outside(
                store=self._store,
                store_thread=self._thread,
                records=records,
                records_thread=thread,
                verify_thread=checks,
                mempool=self._mempool,
                peers=committee,
                signing=key,
                key=key.key,
                open=engine_opener(self._prepared, self._genesis.consensus),
                system=validating.system,
                applied=applied,
                fetched=fetched,
                fetch=self._fetch,
                accused=accusing.take,
            )
        )
        nursery.start_soon(committee.hear, driver)  # at once: what nobody reads would look like a flood of the peer's
        nursery.start_soon(committee.watch, driver)
        await self._remember(driver.applying)
        await witness.resume()
        nursery.start_soon(self._drive, driver, records, thread, checks)
        nursery.start_soon(validating.run)
        nursery.start_soon(accusing.run)
        nursery.start_soon(returning.run)
        self._start_auditing(nursery, wallet)

    def _borrowing(self, nursery: trio.Nursery) -> Borrowing:
        """Others' encoders, for a node that hunts, if the engine of reference is installed."""
        borrowing = Borrowing(
            self._prepared.plugins,
            Offered(self._store, self._thread, self._data.get).files,
            self._store,
            self._thread,
            self._data_dir,
            self._prepared.resolved.node,
        )
        nursery.start_soon(borrowing.run)
        return borrowing

    def _start_auditing(self, nursery: trio.Nursery, wallet: Wallet) -> None:
        """The validator's part in audits, if the engine of reference is installed."""
        try:
            plugin = self._prepared.plugins.find(REFEREE)
        except SomaError as error:
            _log.warning("no audits, and so no reward in an epoch in which this validator should audit: %s", error)
            return
        files = Offered(self._store, self._thread, self._data.get).files
        node, p = self._prepared.resolved.node, self._genesis.parameters
        referee, checker = referees_of(plugin, files, self._data_dir, node, p)
        verdicts = places.make(self._data_dir, places.VERDICTS)
        auditing = Auditing(referee, wallet, self._store, self._thread, self._data.get, verdicts, checker)
        self._hub.listen(auditing.note)
        nursery.start_soon(auditing.run)

    async def _remember(self, applying: Applying) -> None:
        """What a restored validator does first."""
        spec = self._prepared.specs[one_of(self._prepared, "consensus").name]
        asks = "byzantine" in spec.features
        members = len(await self._thread.run(self._store.seated))
        await remember(self._data_dir, applying, self._fetch, members=members, engine_remembers=asks)

    async def _drive(self, driver: Driver, records: Ledger, *threads: Thread) -> None:
        try:
            await driver.run()
        finally:
            with trio.CancelScope(shield=True):
                await threads[0].run(records.close)
            for thread in threads:
                thread.end()

    async def _fetch(self, applying: Applying) -> None:
        """Take commits from peers, for ever."""
        await follow(self._network, Following(applying, lambda: self._seated), random.Random())  # noqa: S311  # jitter

    async def _follow(self) -> None:
        async def told(applied: chain.Applied, _fetched: bool) -> None:  # noqa: FBT001  # as `Applying` says it
            self._tell(applied)

        await self._fetch(Applying(self._store, self._thread, told))

    async def _new_data(self, digest: bytes, size: int) -> bytes:
        """The data of a job that an encoder takes up: none while room is low, so that it says *unavailable*."""
        self._space.require()
        return await self._data.get(digest, size)

    @property
    def _orders(self) -> bool:
        return self._driver is not None and self._seated

    def _ready(self) -> None:
        """A transaction waits to be ordered."""
        assert self._driver is not None
        self._driver.payload_ready()
