"""The race for targets: hunters who look for data, and those who look for a way around it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, Literal

import numpy as np
from attrs import define, field, frozen

from soma_core import chain, fixed
from soma_core.chain import HITS, SUBMISSIONS, TARGETS, Target

from .cast import Seat
from .data import RANDOM, SHUFFLED, SIZE, Floats, Item, Source, Vector, direction_of
from .ledger import Wallet, World, wallet
from .market import SALT, Market
from .models import Output, directions, run

Way = Literal["honest", "front-runner", "garbage optimiser", "random bytes", "made-up hit", "withholder"]
HUNTED_FROM: Final = 1 << 43
"""Items that hunters find have numbers from here on."""
ROUNDING: Final = 0.01
"""By how much a cosine may at most be another once its vectors are rounded: much more than it ever is."""


@define(eq=False)
class Hunter:
    """An account in the race. `tries`: items an epoch. `way`: what it does to hit."""

    name: str
    way: Way = "honest"
    tries: int = 0
    seen: Counter[str] = field(factory=Counter)
    """Tries, submissions sealed, hits, and hits that were claimed or found false."""

    @cached_property
    def wallet(self) -> Wallet:
        """Its account."""
        return wallet("hunter", self.name)


@frozen
class Find:
    """What a hunter submits: `item`, as the encoder has it, or as the hunter says that it has."""

    hunter: Hunter
    target: int
    item: Item
    encoder: bytes
    output: Output


@define
class Race:
    """The race among `hunters`. `hits`: of each epoch, without those that failed.

    `market`: whose audits are also those of hits.
    """

    world: World
    market: Market
    source: Source
    hunters: Sequence[Hunter]
    hits: Counter[int] = field(factory=Counter)
    found: int = 0
    _owners: dict[int, tuple[Hunter, int]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.world.listeners.append(self._take)

    @cached_property
    def by_address(self) -> Mapping[bytes, Hunter]:
        """The hunters by account."""
        return {hunter.wallet.address: hunter for hunter in self.hunters}

    @cached_property
    def seats(self) -> Mapping[bytes, Seat]:
        """The encoders by account."""
        return self.market.by_address

    def round(self, part: float) -> None:
        """`part` of an epoch's tries: sealed, shown, audited; what can be claimed by now is claimed."""
        self._submit([find for hunter in self.hunters for find in self._look(hunter, part)])
        self.market.audit()
        self._claim()

    def _take(self, applied: chain.Applied) -> None:
        for event in applied.events:
            if isinstance(event, chain.TargetHit):
                hunter, epoch = self.by_address[event.submitter], applied.record.epoch
                self._owners[event.target] = hunter, epoch
                hunter.seen["hits"] += 1
                self.hits[epoch] += 1
            if isinstance(event, chain.TargetEnded) and event.target in self._owners:
                hunter, epoch = self._owners.pop(event.target)
                hunter.seen[event.how] += 1
                self.hits[epoch] -= event.how != "claimed"

    def _look(self, hunter: Hunter, part: float) -> list[Find]:
        epoch = self.world.epoch
        scanned = self.world.state.scan(TARGETS)
        targets = {
            int.from_bytes(name, "big"): target
            for name, target in scanned
            if target.epoch == epoch and not target.closed
        }
        if hunter.way == "front-runner":
            return []
        if hunter.way == "garbage optimiser":
            return [self._optimised(hunter, number, target) for number, target in _some(targets)]
        if hunter.way == "made-up hit":
            return [self._made_up(hunter, number, target) for number, target in targets.items()]
        return self._hunted(hunter, round(hunter.tries * part), targets)

    def _hunted(self, hunter: Hunter, tries: int, targets: Mapping[int, Target]) -> list[Find]:
        """Items as they come; each target gets the first that hits, each item goes to one."""
        items = [self._fresh(hunter) for _ in range(tries)]
        if not items:
            return []
        encoders = sorted({assigned.encoder for target in targets.values() for assigned in target.encoders})
        models = {name: self.seats[name].model for name in encoders}
        by_model = {model: directions(model, items) for model in dict.fromkeys(models.values())}
        seen = {name: by_model[model] for name, model in models.items()}
        finds: list[Find] = []
        spent: set[int] = set()
        for number, target in targets.items():
            found = self._first(target, items, seen, spent)
            if found is not None:
                place, encoder, output = found
                spent.add(place)
                finds.append(Find(hunter, number, items[place], encoder, output))
        return finds

    def _first(
        self, target: Target, items: Sequence[Item], seen: Mapping[bytes, Floats], spent: set[int]
    ) -> tuple[int, bytes, Output] | None:
        """Place, encoder and output of the first item that hits. Most are seen to lie too far before they are run."""
        point = fixed.vector_from_bytes(target.point, self.source.dimension)
        direction = direction_of(target.point, self.source.dimension)
        least = 1 - target.radius / fixed.ONE - ROUNDING
        near: list[tuple[int, bytes]] = []
        for assigned in target.encoders:
            places = np.nonzero(seen[assigned.encoder] @ direction >= least)[0]
            near += [(int(place), assigned.encoder) for place in places]
        for place, encoder in sorted(near):
            if place not in spent:
                output = run(self.seats[encoder].model, items[place])
                near_enough = output.loss <= target.loss and _distance(output.vector, point) <= target.radius
                if near_enough and encoder == self._best(target, items[place]):
                    return place, encoder, output
        return None

    def _best(self, target: Target, item: Item) -> bytes:
        """The assigned encoder of the lowest loss, whose vector counts."""
        losses = [(run(self.seats[each.encoder].model, item).loss, each.encoder) for each in target.encoders]
        return min(losses)[1]

    def _fresh(self, hunter: Hunter) -> Item:
        self.found += 1
        hunter.seen["tries"] += 1
        number = HUNTED_FROM + self.found
        if hunter.way != "random bytes":
            return self.source.item(number)
        direction = np.random.default_rng([30, number]).normal(size=self.source.dimension)
        return self.source.garbage(number, direction, RANDOM)

    def _optimised(self, hunter: Hunter, number: int, target: Target) -> Find:
        """Bytes made until an encoder gives them the target's own direction: what following a gradient finds."""
        self.found += 1
        hunter.seen["tries"] += 1
        direction = direction_of(target.point, self.source.dimension)
        item = self.source.garbage(HUNTED_FROM + self.found, direction, SHUFFLED)
        encoder = self._best(target, item)
        return Find(hunter, number, item, encoder, run(self.seats[encoder].model, item))

    def _made_up(self, hunter: Hunter, number: int, target: Target) -> Find:
        """Any item, with the target itself for its vector and no loss."""
        vector = fixed.vector_from_bytes(target.point, self.source.dimension)
        return Find(hunter, number, self._fresh(hunter), target.encoders[0].encoder, Output(0, vector))

    def _submit(self, finds: Sequence[Find]) -> None:
        """Seal all, show all. A front-runner seals and shows what it sees shown, before that is ordered.

        Who needs no data is always the first.
        """
        finds = sorted(finds, key=lambda find: find.hunter.way != "made-up hit")
        for find in finds:
            self.market.items[find.item.blob] = find.item
            self._seal(find)
        self.world.commit()
        for runner in self.hunters:
            if runner.way == "front-runner":
                for find in {find.target: find for find in finds if find.hunter.way == "honest"}.values():
                    stolen = Find(runner, find.target, find.item, find.encoder, find.output)
                    self._seal(stolen)
                    self._show(stolen)
        for find in finds:
            if find.hunter.way != "withholder":
                self._show(find)
        self.world.commit()
        self.market.audit()
        while left := self.world.state.count(SUBMISSIONS):
            self.world.commit()  # if a hit was found false the next one hits
            self.market.audit()
            if self.world.state.count(SUBMISSIONS) == left:  # of those who do not show
                self.world.commit(self.world.genesis.parameters.target_show_ms + 1)
                self.market.audit()

    def _seal(self, find: Find) -> None:
        hunter, output = find.hunter, find.output
        vector = fixed.vector_bytes(output.vector)
        seal = chain.submission_seal(
            find.target, hunter.wallet.address, SALT, find.item.blob, find.encoder, output.loss, vector
        )
        action = chain.SealSubmission(target=find.target, commitment=seal, size=SIZE)
        self.world.send(hunter.wallet, "seal_submission", action)
        hunter.seen["sealed"] += 1

    def _show(self, find: Find) -> None:
        action = chain.ShowSubmission(
            target=find.target,
            salt=SALT,
            blob=find.item.blob,
            encoder=find.encoder,
            loss=find.output.loss,
            vector=fixed.vector_bytes(find.output.vector),
        )
        self.world.send(find.hunter.wallet, "show_submission", action)

    def _claim(self) -> None:
        now = self.world.now
        for name, hit in list(self.world.state.scan(HITS)):
            if hit.claimable <= now:
                sender = self.by_address[hit.submitter].wallet
                self.world.send(sender, "claim_target", chain.ClaimTarget(int.from_bytes(name, "big")))
                self.market.items.pop(hit.blob, None)
        self.world.commit()


def _some(targets: Mapping[int, Target]) -> list[tuple[int, Target]]:
    """The newest of them: more would only leave nothing to the honest of a small simulation."""
    return list(targets.items())[-1:]


def _distance(vector: Vector, point: Vector) -> int:
    dot = int(fixed.dots(vector[None], point[None])[0, 0])
    return fixed.ONE - fixed.cosq(dot, fixed.squared_norm(vector), fixed.squared_norm(point))
