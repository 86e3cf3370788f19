"""Random valid DAGs under random rules: what liars and bad luck make of a committee. Equal seeds, equal DAGs."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import slow_committer as slow
from attrs import frozen

from soma_core.testing.dag import Block, Dag, genesis


@frozen
class Drawn:
    """A rule and a graph that no member more than the committee bears has lied in. `leaders`: by round, by rank."""

    seed: int
    dag: Dag
    leaders: dict[int, tuple[int, ...]]
    rule: slow.Rule
    liars: frozenset[int]

    def __str__(self) -> str:
        rule = self.rule
        said = f"wave {rule.wave_length}, pipelined {rule.pipelined}, blame {rule.blame}, gc_depth {rule.gc_depth}"
        ranks = ", ".join(f"{r}: {' '.join('ABCDEFGHIJ'[a] for a in row)}" for r, row in self.leaders.items())
        return f"# seed {self.seed}: {said}\n# leaders {ranks}\n{self.dag}"


def draw(seed: int, *, longest: int = 14) -> Drawn:
    """4 to 10 members, up to a third of the stake with up to three blocks a slot, 1 to n leaders, 6 rounds and more."""
    random = Random(seed)
    size = random.randint(4, 10)
    stakes = (1,) * size if random.random() < 0.6 else tuple(random.randint(1, 9) for _ in range(size))
    rounds = random.randint(6, longest)
    leaders = _schedule(random, size, rounds)
    rule = slow.Rule(
        stakes,
        lambda round_: leaders.get(round_, ()),
        wave_length=random.choices((3, 4, 5), (8, 1, 1))[0],
        pipelined=random.random() < 0.8,
        blame=random.choices(("block", "slot", "author"), (8, 1, 1))[0],
        gc_depth=random.choice((1, 2, 3, 5, 60)),
    )
    liars = _liars(random, stakes)
    return Drawn(seed, Dag(stakes, _Growth(random, rule, liars).blocks(rounds)), leaders, rule, liars)


def _schedule(random: Random, size: int, rounds: int) -> dict[int, tuple[int, ...]]:
    count = random.choice((1, 1, 2, 3, size))
    if random.random() < 0.5:
        return {
            round_: tuple((round_ + rank) % size for rank in range(min(count, size))) for round_ in range(rounds + 1)
        }
    return {round_: tuple(random.sample(range(size), min(count, size))) for round_ in range(rounds + 1)}


def _liars(random: Random, stakes: Sequence[int]) -> frozenset[int]:
    """Members whose stake together may lie."""
    left = slow.thresholds(sum(stakes))["fault"] if random.random() < 0.7 else 0
    found = set()
    for author in random.sample(range(len(stakes)), len(stakes)):
        if stakes[author] <= left:
            left -= stakes[author]
            found.add(author)
    return frozenset(found)


class _Growth:
    """Grows a graph round by round. Leaders are left out more often than others, so that much stays open for long."""

    def __init__(self, random: Random, rule: slow.Rule, liars: Iterable[int]) -> None:
        self.random = random
        self.rule = rule
        self.liars = frozenset(liars)
        self.size = len(rule.stakes)
        self.made: list[Block] = genesis(self.size)
        self.by_slot: dict[tuple[int, int], list[Block]] = {(0, b.author): [b] for b in self.made}
        self.own: dict[int, list[Block]] = {b.author: [b] for b in self.made}
        self.silence = random.choice((0.0, 0.05, 0.2))
        self.laziness = random.choice((0.0, 0.1, 0.4))
        self.weakness = random.choice((0.0, 0.1, 0.5))

    def blocks(self, rounds: int) -> list[Block]:
        for round_ in range(1, rounds + 1):
            dislike = self.random.choice((0.0, 0.0, 0.3, 0.6))
            new = [block for author in range(self.size) for block in self._blocks_of(author, round_, dislike)]
            if not new:
                break
            for block in new:
                self.made.append(block)
                self.by_slot.setdefault((round_, block.author), []).append(block)
                self.own[block.author].append(block)
        return self.made

    def _blocks_of(self, author: int, round_: int, dislike: float) -> Iterable[Block]:
        if self.random.random() < self.silence:
            return
        twins = self.random.randint(1, 3) if author in self.liars else 1
        for twin in range(twins):
            own = self.random.choice(self.own[author][-3:]) if author in self.liars else self.own[author][-1]
            parents = self._parents(own, round_, dislike)
            if parents is None:
                return
            yield Block(author=author, round=round_, twin=twin, parents=tuple(parents))

    def _parents(self, own: Block, round_: int, dislike: float) -> list[str] | None:
        """The own block and a quorum of the round before, then perhaps more, and perhaps older blocks of the others."""
        random, stakes = self.random, self.rule.stakes
        found, weight = [own.id], stakes[own.author] if own.round == round_ - 1 else 0
        others = random.sample(range(self.size), self.size)
        shunned = self.rule.leaders(round_ - 1)
        others.sort(key=lambda author: author in shunned and random.random() < dislike)
        for author in others:
            if author == own.author:
                continue
            enough = weight >= self.rule.quorum
            reluctant = random.random() < (max(dislike, self.laziness) if author in shunned else self.laziness)
            if (before := self.by_slot.get((round_ - 1, author))) and not (enough and reluctant):
                found.append(random.choice(before).id)
                weight += stakes[author]
            elif random.random() < self.weakness and (
                older := [b for b in self.own[author][1:] if b.round < round_ - 1]
            ):
                found.append(random.choice(older[-3:]).id)
        return found if weight >= self.rule.quorum else None


def shuffled(blocks: Sequence[Block], random: Random) -> list[Block]:
    """A random order in which parents come before children."""
    ready: list[Block] = []
    waiting: dict[str, int] = {}
    children: dict[str, list[Block]] = {}
    for block in blocks:
        waiting[block.id] = len(block.parents)
        for parent in block.parents:
            children.setdefault(parent, []).append(block)
        if not block.parents:
            ready.append(block)
    # With luck of its own each time: by mere chance of all that are ready, or with some authors far behind.
    slow_ones = {author for author in range(26) if random.random() < 0.2}
    order: list[Block] = []
    while ready:
        prompt = [place for place, block in enumerate(ready) if block.author not in slow_ones]
        choice: Any = random.choice(prompt) if prompt and random.random() < 0.9 else random.randrange(len(ready))
        ready[choice], ready[-1] = ready[-1], ready[choice]
        block = ready.pop()
        order.append(block)
        for child in children.get(block.id, ()):
            waiting[child.id] -= 1
            if not waiting[child.id]:
                ready.append(child)
    return order
