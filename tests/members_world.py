"""Several validators' drivers on virtual time, each with a store, a pool and checkpoints of its own, and no processes.

What members say travels 5 ms, or what a test says, and is lost where one of the two is cut off. They order by
`leader_engine`, or by the engine that a test opens: `dag`, say.
"""

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import trio
from attrs import define, field
from committee_world import Committee, account, address, committee_genesis
from driver_world import DictLedger, InlineThread
from leader_engine import Follow
from ledger_world import key

from soma_consensus_dag import Config, Params, open_engine
from soma_core import api, chain
from soma_core.crypto import signing_digest
from soma_core.errors import KeyStoreError, SomaError
from soma_core.genesis import Genesis
from soma_core.node.accusing import Accusing
from soma_core.node.applying import Applying
from soma_core.node.checkpoints import Checkpoints, Signed
from soma_core.node.driver import Driver
from soma_core.node.events import Hub
from soma_core.node.following import Following, Source
from soma_core.node.mempool import Mempool
from soma_core.node.outside import Outside
from soma_core.node.store import Store
from soma_core.node.witness import Witness
from soma_core.records import pack, unpack

DELAY = 0.005
IDLE = 100


@define
class Pen:
    """Signs as the member at `place`: in each of the last two epochs no second body of a slot, nor an earlier slot."""

    place: int
    chain_id: bytes
    last: dict[str, dict[int, tuple[int, bytes]]] = field(factory=dict)

    async def sign(self, domain: str, epoch: int, body: bytes, slot: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        assert slot is not None
        epochs = self.last.setdefault(domain, {})
        before, known = epochs.get(epoch, (slot, body))
        if epoch < max(epochs, default=0) - 1 or slot < before or (slot == before and body != known):
            raise KeyStoreError(f"another body of slot {slot}, or an earlier slot", "sign none")
        epochs[epoch] = slot, body
        return key(100 + self.place).sign(signing_digest(domain, self.chain_id, epoch, body))


@define(eq=False)
class Purse:
    """Sends as the account of the validator at `place`, through the leader."""

    town: "Town"
    place: int
    sent: list[str] = field(factory=list)
    mute: bool = False

    async def send(self, kind: str, action: Any) -> Any:
        await trio.lowlevel.checkpoint()
        wire = self.town.world.transaction(account(self.place), kind, action, sequence=len(self.sent), expiry=1000)
        self.sent.append(kind)
        leader = self.town.members[0]
        if not self.mute:
            leader.mempool.add(chain.parse_wire(wire))
        leader.driver.payload_ready()
        return SimpleNamespace(outcome="handed over")


@define(eq=False)
class Member:
    """One validator, whose keys are those of `place`: what it has on disk, and, while it lives, its driver.

    `withholds`: it gives nobody its signature under a record.
    """

    town: "Town"
    place: int
    ledger: DictLedger = field(factory=lambda: DictLedger("chain", []))
    records: DictLedger = field(factory=lambda: DictLedger("records", []))
    engines: list[Any] = field(factory=list)
    applied: list[int] = field(factory=list)
    fetched: list[int] = field(factory=list)
    mempool: Mempool = field(factory=Mempool)
    pen: Any = field(init=False)
    purse: Purse = field(init=False)
    store: Store = field(init=False)
    checkpoints: Checkpoints = field(init=False)
    driver: Driver = field(init=False)
    source: Source = field(init=False)
    scope: trio.CancelScope = field(init=False)
    alive: bool = False
    withholds: bool = False

    def __attrs_post_init__(self) -> None:
        self.pen = Pen(self.place, self.town.genesis.chain)
        self.purse = Purse(self.town, self.place)

    async def run(self) -> None:
        """One life, until `crash`."""
        thread: Any = InlineThread()
        town, place = self.town, self.place
        self.store = store = Store(town.genesis, town.world.rule, self.ledger)
        hub = Hub()
        self.source = Source(store, thread, hub)
        self.checkpoints = checkpoints = Checkpoints(store, thread, hub, key(100 + place).public)
        pen = self.pen
        accusing = Accusing(store, thread, self.purse, key(100 + place).public)  # type: ignore[arg-type]  # as a wallet does

        async def tell(signed: bytes) -> None:
            for other in () if self.withholds else town.seen_by(self):
                with suppress(SomaError):  # others have it proved by now
                    await other.checkpoints.hear(unpack(Signed, signed))

        async def fetched(what: chain.Applied) -> None:
            self.fetched.append(what.record.index)
            await witness.fetched(what)

        async def applied(what: chain.Applied) -> None:
            self.applied.append(what.record.index)
            await witness.ordered(what, seated=any(seat.node == self.node for seat in what.seats))

        async def system(epoch: int, round_: int) -> bytes:
            anchors = tuple((e, town.world.chain_of(place, e).anchor) for e in (epoch, epoch + 1))
            link = town.world.chain_of(place, epoch).link(round_)
            return pack(
                chain.System(link=link, anchors=anchors, signatures=() if self.withholds else checkpoints.unsent())
            )

        self.driver = Driver(
            Outside(
                store=store,
                store_thread=thread,
                records=self.records,
                records_thread=thread,
                verify_thread=thread,
                mempool=self.mempool,
                peers=self,
                signing=pen,
                key=key(100 + place).public,
                open=self.open,
                system=system,
                applied=applied,
                fetched=fetched,
                fetch=self.fetch,
                accused=accusing.take,
                now=lambda: 1_000_000 + int(trio.current_time() * 1000),
            )
        )
        with trio.CancelScope() as self.scope:
            self.alive = True
            town.meet(self)
            try:
                async with trio.open_nursery() as nursery:
                    witness = Witness(store, thread, checkpoints, pen, tell, nursery)
                    await witness.resume()
                    nursery.start_soon(accusing.run)
                    await self.driver.run()
            finally:
                self.alive = False
                town.part(self)

    def crash(self) -> None:
        """Only what is on disk stays."""
        self.scope.cancel()
        self.mempool = Mempool()

    def open(self, setup: api.Setup) -> api.Engine:
        self.engines.append(self.town.open(setup))
        return self.engines[-1]

    @property
    def node(self) -> bytes:
        return key(200 + self.place).public

    def send(self, node: bytes, message: bytes) -> None:
        (receiver,) = [member for member in self.town.members if member.node == node]
        self.town.carry(self, receiver.place, message)

    async def fetch(self, applying: Applying) -> None:
        """As `net.follow` does: from whoever has the next commit."""
        following = Following(applying, lambda: self.driver.seated)
        while True:
            entries: list[Any] = []
            first, vouched = following.next(), following.vouched()
            for other in self.town.seen_by(self):
                if not (entries or other.withholds) and other.source.head(vouched=vouched) >= first:
                    entries = list(await other.source.entries(first, 256, 1 << 19, vouched=vouched))
            if entries:
                await following.apply(entries)
            else:
                await trio.sleep(0.5)

    def epoch(self) -> int:
        return self.store.epoch()[0]


def following(setup: api.Setup) -> Any:
    return Follow(setup, asks=True, idle=IDLE)


def dag(setup: api.Setup) -> Any:
    return open_engine(Config(), Params(), setup)


@define(eq=False)
class Town:
    """`away`: places that nobody hears, and that hear nobody."""

    nursery: trio.Nursery
    world: Committee
    open: Callable[[api.Setup], Any] = following
    delay: Callable[[], float] = lambda: DELAY
    members: list[Member] = field(factory=list)
    away: set[int] = field(factory=set)
    lost: Callable[[int, int, bytes], bool] = lambda _sender, _receiver, _message: False

    @classmethod
    def of(cls, nursery: trio.Nursery, open_: Callable[[api.Setup], Any] = following, /, **parameters: int) -> "Town":
        return cls.under(nursery, committee_genesis(**{"epoch_ms": 5_000, **parameters}), 4, open_)

    @classmethod
    def under(
        cls, nursery: trio.Nursery, genesis: Genesis, members: int, open_: Callable[[api.Setup], Any] = following
    ) -> "Town":
        """With `members` nodes, the first of them the validators of `genesis`."""
        town = cls(nursery, Committee(genesis=genesis), open_)
        town.members = [Member(town, place) for place in range(members)]
        for member in town.members:
            nursery.start_soon(member.run)
        return town

    @property
    def genesis(self) -> Any:
        return self.world.genesis

    def seen_by(self, member: Member) -> list[Member]:
        return [
            other
            for other in self.members
            if other is not member and other.alive and not {other.place, member.place} & self.away
        ]

    def carry(self, sender: Member, place: int, message: bytes) -> None:
        if not self.lost(sender.place, place, message):
            self.nursery.start_soon(self._carry, sender, place, message)

    async def _carry(self, sender: Member, place: int, message: bytes) -> None:
        await trio.sleep(self.delay())
        receiver = self.members[place]
        if receiver in self.seen_by(sender):
            await receiver.driver.received(sender.node, message)

    def meet(self, member: Member) -> None:
        for other in self.seen_by(member):
            other.driver.connected(member.node)
            member.driver.connected(other.node)

    def part(self, member: Member) -> None:
        for other in self.members:
            if other is not member and other.alive:
                other.driver.disconnected(member.node)
                member.driver.disconnected(other.node)

    def cut_off(self, *places: int) -> None:
        for place in places:
            self.away.add(place)
            self.part(self.members[place])

    def reconnect(self, *places: int) -> None:
        self.away -= set(places)
        for place in places:
            self.meet(self.members[place])

    def transfer(self, sequence: int) -> chain.SignedTransaction:
        action = chain.Transfer(address(account(3)), 7)
        return chain.parse_wire(self.world.transaction(5, "transfer", action, sequence=sequence, expiry=1000))

    def alike(self) -> None:
        """All have one history, as far as each is."""
        for index in range(1, min(member.store.tip.index for member in self.members) + 1):
            assert len({chain.record_digest(member.store.record(index)) for member in self.members}) == 1  # type: ignore[arg-type]
