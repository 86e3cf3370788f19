"""A drawing language for DAGs of blocks: text for people, blocks for tests, and text again when a test fails.

A drawing names its committee and then, round by round, who references whom::

    committee 4                     # or: stakes 4 3 2 1
    1     everybody                 # each references every genesis block, its own first
    2     A B C: everybody except D
          D: everybody
          D': D B C                 # a twin: a second block of D in round 2
    3     everybody: everybody except D, D'     # all, but of D the twin
    4..6  A B C                     # D is silent
    7     A: everybody, D3          # a weak link to an older round
          B C

An author is a letter, the first of the committee is A. ``D`` is D's block of the round before, ``D'`` its twin there,
``D''`` a third, ``D3`` and ``D3'`` those of round 3. Before the colon stand the authors of new blocks, after it what
each of them references, in order: groups between commas, each a list of names or ``everybody``, perhaps ``except`` some
authors. ``everybody`` before the colon is every author. After it, it is the author's own newest block first, then the
unprimed block that each other author has in the round before. No colon says ``: everybody``. Round 0 is there already.

Nothing is checked but that references exist: graphs that break the rules of a consensus must be drawable too.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Final, NoReturn

from attrs import Factory, evolve, field, frozen

from soma_core.errors import DecodeError

_NAME: Final = re.compile(r"([A-Z])(\d{0,9})('*)")
_ROUNDS: Final = re.compile(r"(\d{1,9})(?:\.\.(\d{1,9}))?(?:\s+|$)")
_MAX_BLOCKS: Final = 100_000
EVERYBODY: Final = "everybody"
EXCEPT: Final = "except"


@frozen
class Block:
    """A block as a drawing has it. `twin` counts the blocks of a slot from 0; `parents` are ids, in order.

    `id`: letter, round, primes; ``D3'`` is the second block of the fourth author in round 3.
    """

    author: int
    round: int
    twin: int = 0
    parents: tuple[str, ...] = ()
    id: str = field(init=False, eq=False, default=Factory(lambda self: self._id(), takes_self=True))

    def _id(self) -> str:
        return ascii_uppercase[self.author] + str(self.round) + "'" * self.twin

    @property
    def place(self) -> tuple[int, int, int]:
        """What blocks are sorted by: round, author, twin."""
        return self.round, self.author, self.twin


def _in_order(blocks: Iterable[Block]) -> tuple[Block, ...]:
    return tuple(sorted(blocks, key=lambda block: block.place))


@frozen
class Dag:
    """A committee's stakes, by author, and blocks by round, author and twin, those of round 0 included."""

    stakes: tuple[int, ...]
    blocks: tuple[Block, ...] = field(converter=_in_order)

    def __str__(self) -> str:
        return draw(self)

    def without(self, *ids: str) -> "Dag":
        """The same without some blocks. Raises ValueError if another block references one of them."""
        kept = [block for block in self.blocks if block.id not in ids]
        for block in kept:
            if missing := set(ids) & set(block.parents):
                raise ValueError(f"{block.id} references {', '.join(sorted(missing))}; leave it out as well")
        return evolve(self, blocks=kept)


def genesis(size: int) -> list[Block]:
    """Round 0: a block of each author, without parents."""
    return [Block(author=author, round=0) for author in range(size)]


def parse(text: str) -> Dag:
    """The blocks of a drawing. Raises `DecodeError`, which names the line."""
    lines = [(number, line) for number, whole in enumerate(text.splitlines(), 1) if (line := _said(whole))]
    if not lines:
        _refuse(1, "nothing is drawn; begin with `committee 4` or `stakes 4 3 2 1`")
    stakes = _committee(*lines[0])
    sheet = _Sheet(stakes)
    for rounds, group in _groups(lines[1:]):
        for round_ in rounds:
            for number, line in group:
                sheet.add(number, round_, line)
    return Dag(stakes, sheet.blocks.values())


def _said(line: str) -> str:
    return line.partition("#")[0].strip()


def _groups(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[range, list[tuple[int, str]]]]:
    """Rounds, and the lines that are about them, all of them at once."""
    rounds, group = range(0), list[tuple[int, str]]()
    for number, line in lines:
        if found := _ROUNDS.match(line):
            yield rounds, group
            rounds, group = _rounds(number, found, rounds), []
        elif not rounds:
            _refuse(number, f"{line!r} belongs to no round; begin the line with the number of one, like `1 everybody`")
        group.append((number, (line[found.end() :] if found else line) or EVERYBODY))
    yield rounds, group


def _committee(number: int, line: str) -> tuple[int, ...]:
    word, *figures = line.split()
    if word not in {"committee", "stakes"} or not figures or not all(re.fullmatch(r"\d{1,24}", one) for one in figures):
        _refuse(number, f"{line!r} names no committee; begin with `committee 4` or `stakes 4 3 2 1`")
    if word == "committee" and len(figures) > 1:
        _refuse(number, f"{line!r}: a committee has one size; write `stakes` before the stakes of its members")
    stakes = (1,) * min(int(figures[0]), 99) if word == "committee" else tuple(map(int, figures))
    if not 1 <= len(stakes) <= len(ascii_uppercase) or not all(stakes):
        _refuse(number, f"{line!r}: a committee has 1 to {len(ascii_uppercase)} authors, each with some stake")
    return stakes


def _rounds(number: int, found: re.Match[str], before: Sequence[int]) -> range:
    first, last = int(found[1]), int(found[2] or found[1])
    if not max(1, before[-1] if before else 1) <= first <= last or last - first > _MAX_BLOCKS:
        _refuse(number, f"{found[0].strip()}: rounds count up from 1; put the lines in the order of their rounds")
    return range(first, last + 1)


def _refuse(number: int, what: str) -> NoReturn:
    raise DecodeError(f"line {number}: {what}", "soma_core.testing.dag shows how to draw")


class _Sheet:
    """What is drawn so far."""

    def __init__(self, stakes: Sequence[int]) -> None:
        self.size = len(stakes)
        self.blocks = {block.id: block for block in genesis(self.size)}
        self._rounds = {author: [0] for author in range(self.size)}
        """Author → rounds with an unprimed block of its, ascending."""

    def add(self, number: int, round_: int, line: str) -> None:
        subjects, colon, parents = line.partition(":")
        if not colon:
            parents = EVERYBODY
        added = []
        for author, twin in self._subjects(number, subjects):
            links = tuple(self._parents(number, author, round_, parents))
            added.append(Block(author=author, round=round_, twin=twin, parents=links))
        for block in added:  # after all are read, so that no block of a round sees another of it
            if block.id in self.blocks:
                _refuse(number, f"{block.id} is drawn twice; a prime makes a twin of it: {block.id}'")
            self.put(block)
        if len(self.blocks) > _MAX_BLOCKS:
            _refuse(number, f"more than {_MAX_BLOCKS} blocks; draw less")

    def put(self, block: Block) -> None:
        """From now on it can be referenced."""
        self.blocks[block.id] = block
        if not block.twin:
            self._rounds[block.author].append(block.round)

    def _subjects(self, number: int, text: str) -> Iterator[tuple[int, int]]:
        words = text.split()
        if not words:
            _refuse(number, "nobody makes a block; write authors before the colon")
        if words[0] == EVERYBODY:
            out = self._excepted(number, words)
            yield from ((author, 0) for author in range(self.size) if author not in out)
            return
        for word in words:
            author, round_, primes = self._name(number, word)
            if round_ is not None:
                _refuse(number, f"{word}: the round of a new block stands at the beginning of the line")
            yield author, primes

    def _parents(self, number: int, author: int, round_: int, text: str) -> Iterator[str]:
        for group in text.split(",") if text.strip() else ():
            words = group.split()
            if not words:
                _refuse(number, "a comma with nothing beside it; write names or `everybody` between commas")
            if words[0] == EVERYBODY:
                yield from self.everybody(author, round_, self._excepted(number, words))
                continue
            for word in words:
                other, named, primes = self._name(number, word)
                link = Block(author=other, round=round_ - 1 if named is None else named, twin=primes).id
                if link not in self.blocks:
                    _refuse(number, f"{word}: there is no {link}; draw it before it is referenced")
                yield link

    def everybody(self, author: int, round_: int, out: Iterable[int] = ()) -> Iterator[str]:
        """What `everybody` stands for as the parents of a block of `author` in `round_`."""
        own = Block(author=author, round=next(r for r in reversed(self._rounds[author]) if r < round_))
        others = (Block(author=other, round=round_ - 1) for other in range(self.size) if other != author)
        yield from (block.id for block in (own, *others) if block.author not in out and block.id in self.blocks)

    def _excepted(self, number: int, words: Sequence[str]) -> set[int]:
        if len(words) == 1:
            return set()
        if words[1] != EXCEPT or len(words) == 2:
            _refuse(number, f"{' '.join(words)!r}: write `{EVERYBODY} {EXCEPT} D`, and a comma before what is added")
        named = [self._name(number, word) for word in words[2:]]
        if any(round_ is not None or primes for _, round_, primes in named):
            _refuse(number, f"{' '.join(words)!r}: authors are left out, not blocks; write letters only")
        return {author for author, _, _ in named}

    def _name(self, number: int, word: str) -> tuple[int, int | None, int]:
        """Author, round if it is named, and number of primes."""
        found = _NAME.fullmatch(word)
        if not found or (author := ascii_uppercase.index(found[1])) >= self.size:
            last = ascii_uppercase[self.size - 1]
            _refuse(number, f"{word!r} is nobody's block; authors are A to {last}, like D, D', D3, D3'")
        return author, int(found[2]) if found[2] else None, len(found[3])


def draw(dag: Dag, notes: Mapping[str, str] | None = None) -> str:
    """`dag` as a drawing, which `parse` reads back; `notes` (id → what to say of a block) become remarks at its round.

    The shortest of the forms that the language has for the parents of a block is taken, and authors that say the same
    share a line.
    """
    equal = set(dag.stakes) == {1}
    head = f"committee {len(dag.stakes)}" if equal else f"stakes {' '.join(map(str, dag.stakes))}"
    sheet = _Sheet(dag.stakes)
    rounds: dict[int, list[Block]] = {}
    for block in dag.blocks:
        if block.round:
            rounds.setdefault(block.round, []).append(block)
    lines = [head]
    for round_, blocks in rounds.items():
        groups: dict[str, list[Block]] = {}
        for block in blocks:
            groups.setdefault(_links(sheet, block), []).append(block)
        said = [_line(len(dag.stakes), links, group) for links, group in groups.items()]
        remarks = [f"{block.id} {notes[block.id]}" for block in blocks if notes and block.id in notes]
        width = max(map(len, said)) if remarks else 0
        for place, line in enumerate(said):
            remark = f"   # {', '.join(remarks)}" if remarks and not place else ""
            lines.append(f"{'' if place else round_:<4} {line:<{width if remark else 0}}{remark}".rstrip())
        for block in blocks:
            sheet.put(block)
    return "\n".join(lines) + "\n"


def _line(size: int, links: str, group: Sequence[Block]) -> str:
    whole = [block.author for block in group] == list(range(size)) and not any(block.twin for block in group)
    subjects = EVERYBODY if whole else " ".join(ascii_uppercase[block.author] + "'" * block.twin for block in group)
    return subjects if links == EVERYBODY else f"{subjects}: {links}".rstrip()


def _links(sheet: _Sheet, block: Block) -> str:
    """The parents of `block` as text: `everybody` less those it leaves out, if these are fewer, and names after it."""
    expected = list(sheet.everybody(block.author, block.round))
    for kept in range(len(block.parents), 0, -1):
        said, named = list(block.parents[:kept]), block.parents[kept:]
        out = sorted(link[0] for link in expected if link not in said)
        if len(out) < kept and [link for link in expected if link[0] not in out] == said:
            whole = f"{EVERYBODY} {EXCEPT} {' '.join(out)}" if out else EVERYBODY
            return ", ".join([whole, *([_names(named, block.round)] if named else [])])
    return _names(block.parents, block.round)


def _names(links: Iterable[str], round_: int) -> str:
    """Names as short as they may be in a block of `round_`: the round before it goes without saying."""
    found = [_NAME.fullmatch(link) for link in links]
    return " ".join(one[1] + (one[2] if int(one[2]) != round_ - 1 else "") + one[3] for one in found if one)
