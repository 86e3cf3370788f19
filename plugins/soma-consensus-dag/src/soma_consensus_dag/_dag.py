"""The graph of accepted blocks: who refers to whom, by round and author. Knows nothing of bytes, signatures or time.

A vertex is added when all it refers to is there, or is below the horizon. Rounds at or below the horizon are dropped.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, final

from attrs import define, field

from soma_core.errors import DecodeError

Ref = tuple[int, int, bytes]
"""(round, author, digest): what names a block."""

_REF: Final = struct.Struct(">IH32s")
REF_SIZE: Final = _REF.size
"""Bytes of a reference."""
_NOBODY: Final[tuple["Vertex", ...]] = ()


@define(eq=False)
class Vertex:
    """An accepted block. `parents`: what it refers to, as far as it was here, in its order, its author's own first.

    `below`: the authors it refers to at the round before. `voters`: authors with a block of the next round that refers
    to this one. `ordered`: whether it is in a committed sub-DAG. `late`: ordered after a twin,
    so that its payload counts for nothing. `size`: bytes it brings to be ordered.
    """

    ref: Ref
    parents: tuple["Vertex", ...]
    below: int
    size: int = 0
    time: int = 0
    voters: int = 0
    ordered: bool = False
    late: bool = False
    round: int = field(init=False)
    author: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.round, self.author, _ = self.ref

    def __repr__(self) -> str:
        return f"Vertex({chr(65 + self.author) if self.author < 26 else self.author}{self.round})"


@define(eq=False)
class Layer:
    """The vertices of one round, in order of acceptance. `authors`: who has any. `twins`: who has more than one."""

    vertices: list[Vertex] = field(factory=list)
    slots: dict[int, list[Vertex]] = field(factory=dict)
    authors: int = 0
    twins: int = 0


@final
class Dag:
    """`horizon`: the highest round that is dropped; -1 at first. `highest`: the highest round of any vertex.

    `added`: vertices so far.
    """

    def __init__(self) -> None:
        self.horizon = -1
        self.highest = -1
        self.added = 0
        self._layers: dict[int, Layer] = {}
        self._known: dict[Ref, Vertex] = {}
        self._empty = Layer()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, ref: Ref) -> Vertex | None:
        """The vertex of this name."""
        return self._known.get(ref)

    def layer(self, round_: int) -> Layer:
        """What there is of a round."""
        return self._layers.get(round_, self._empty)

    def slot(self, round_: int, author: int) -> Sequence[Vertex]:
        """The blocks of an author in a round: none, one, or more if it lies."""
        return self.layer(round_).slots.get(author, _NOBODY)

    def add(self, ref: Ref, ancestors: Sequence[Ref], *, size: int = 0, time: int = 0) -> Vertex:
        """Accept a block. What it refers to and is not here is not waited for: no commit will bring it."""
        round_, author, _ = ref
        before, bit = round_ - 1, 1 << author
        known = self._known
        parents = tuple(filter(None, map(known.get, ancestors)))
        below = 0
        for parent in parents:
            if parent.round == before:
                below |= 1 << parent.author
                parent.voters |= bit
        vertex = known[ref] = Vertex(ref, parents, below, size, time)
        self.added += 1
        layer = self._layers.get(round_)
        if layer is None:
            layer = self._layers[round_] = Layer()
            self.highest = max(self.highest, round_)
        layer.vertices.append(vertex)
        if layer.authors & bit:
            layer.twins |= bit
            layer.slots[author].append(vertex)
        else:
            layer.authors |= bit
            layer.slots[author] = [vertex]
        return vertex

    def drop(self, horizon: int) -> list[Vertex]:
        """Forget all rounds up to `horizon`; returns what they held."""
        gone: list[Vertex] = []
        for round_ in range(self.horizon + 1, min(horizon, self.highest) + 1):
            layer = self._layers.pop(round_, None)
            if layer is not None:
                for vertex in layer.vertices:
                    del self._known[vertex.ref]
                    vertex.parents = ()  # else each would keep all its past alive
                gone += layer.vertices
        self.horizon = max(self.horizon, horizon)
        return gone

    def vertices(self) -> Iterator[Vertex]:
        """All, round by round, in order of acceptance within a round."""
        for round_ in sorted(self._layers):
            yield from self._layers[round_].vertices


def to_ref(value: Any) -> Ref:
    """A reference from a decoded array. Raises `DecodeError`."""
    match value:
        case [int(round_), int(author), bytes(name)] if (
            len(name) == 32 and 0 <= round_ < 1 << 32 and 0 <= author < 1 << 16
        ):
            return int(round_), int(author), name
    raise DecodeError("not a reference to a block", "see rule D4 of specs/70-consensus-dag.md")


def pack_refs(refs: Sequence[Ref]) -> bytes:
    """References as bytes, 38 each: round, author, digest."""
    return b"".join(_REF.pack(*ref) for ref in refs)


def unpack_refs(data: bytes) -> tuple[Ref, ...]:
    """References from bytes. Raises `DecodeError`."""
    if len(data) % REF_SIZE:
        raise DecodeError(f"{len(data)} bytes are no references", f"a reference has {REF_SIZE} bytes")
    return tuple(_REF.iter_unpack(data))
