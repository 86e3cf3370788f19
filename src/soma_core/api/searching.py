"""What a node with an index is asked by `soma search`, and says: records of `soma_core.api.control`."""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from soma_core.errors import UsageError
from soma_core.records import octets, text, uint

from .index import Label

FOUND_MOST: Final = 1000
"""Jobs that one search finds."""
SHORTEST: Final = 4
"""Bytes at least of a job's key that name it, from its beginning."""
PREVIEW: Final = 96
"""Bytes of a datum's beginning that come with it."""
ONE: Final = 1 << 30
"""A similarity of 1 on the wire, which has no floats."""
VECTOR_MOST: Final = 1 << 15
"""Bytes of a vector, float32."""

LABELS: Final[Mapping[str, type[str] | type[int]]] = {
    "winner": str,
    "epoch": int,
    "size": int,
    "blob": str,
    "requester": str,
}
"""What a node's index says of each job, and so what can be asked for: name → its values' type. Bytes are hexadecimal.

All of it stands in the job's receipt, so that every node comes to the same.
"""


@frozen(kw_only=True)
class Wanted:
    """Only jobs whose label `name` is `value`: an integer in decimal digits, where it is one."""

    name: str = text()
    value: str = text(most=256)


def typed(wanted: Sequence[Wanted]) -> dict[str, Label]:
    """What is asked for, as an index takes it. Raises `UsageError`."""
    labels: dict[str, Label] = {}
    for name, value in ((each.name, each.value) for each in wanted):
        if name not in LABELS:
            raise UsageError(f"{name!r} is no label", f"labels are {', '.join(LABELS)}")
        if name in labels:
            raise UsageError(f"{name} is asked for twice", "no job has two of it")
        if LABELS[name] is str:
            labels[name] = value
        elif value.isascii() and value.isdecimal() and int(value) < 1 << 63:
            labels[name] = int(value)
        else:
            raise UsageError(f"{name}: {value!r:.40} is no whole number", f"write {name}=5")
    return labels


@frozen(kw_only=True)
class Search:
    """The `most` settled jobs nearest to `vector`: float32, little endian, of the network's dimension.

    Or, with no vector, to the settled job whose key begins with `job`; it is not found itself.
    """

    vector: bytes = octets(most=VECTOR_MOST)
    job: bytes = octets(most=32)
    most: int = uint(least=1, most=FOUND_MOST)
    where: tuple[Wanted, ...]


@frozen(kw_only=True)
class Near:
    """A settled job. `similarity`: the cosine, times `ONE`. `time`: ms of the commit that delivered or paid it.

    `final`: no verdict changes its vector any more. `held`: whether this node has the data; then `preview` is their
    beginning, for the nearest.
    """

    job: bytes = octets(32)
    similarity: int = uint(least=-ONE, most=ONE)
    blob: bytes = octets(32)
    size: int = uint()
    time: int = uint()
    epoch: int = uint()
    winner: str = text()
    final: bool
    held: bool
    preview: bytes = octets(most=PREVIEW)


@frozen(kw_only=True)
class Found:
    """`found`: best first. `job`: the whole key of the job that was asked about, or empty. `among`: vectors searched.

    `behind`: commits, of those that were there when it was asked, whose jobs the index does not hold yet.
    """

    job: bytes = octets(most=32)
    found: tuple[Near, ...]
    among: int = uint()
    behind: int = uint()


@frozen(kw_only=True)
class IndexStatus:
    """A node's index. `state`: ``ready``, ``catching up`` or what is wrong. `behind`: commits it has not looked at."""

    plugin: str = text()
    state: str = text(most=400)
    vectors: int = uint()
    behind: int = uint()
