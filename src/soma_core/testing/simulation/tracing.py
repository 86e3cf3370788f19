"""A run as lines of text: the same seed gives the same lines."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, final

from attrs import fields

from soma_core import chain
from soma_core.api import Action, Commit, Event

if TYPE_CHECKING:
    from .member import Member
    from .shell import Shell


class Watcher(Protocol):
    """Told of every step of every engine, and of commits of honest members."""

    def step(self, at: int, shell: "Shell", event: Event, now: int, actions: Sequence[Action], /) -> None:
        """`at`: microseconds of the run. `now`: ms of the member's clock."""
        ...

    def applied(self, at: int, member: "Member", applied: chain.Applied, /) -> None:
        """A commit is on a member's disk."""
        ...


@final
class Trace:
    """`write` gets a line at a time."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def step(self, at: int, shell: "Shell", event: Event, now: int, actions: Sequence[Action]) -> None:
        """``TIME PLACE.LIFE.EPOCH CLOCK EVENT -> ACTIONS``: microseconds of the run, ms of the member's clock."""
        member = shell.member
        voice = "'" if member.voice else ""
        asked = "; ".join(map(_told, actions))
        self._write(f"{at} {member.place}{voice}.{member.life}.{shell.epoch} {now} {_told(event)} -> {asked}")

    def applied(self, at: int, member: "Member", applied: chain.Applied) -> None:
        """A commit is on a member's disk."""
        self._write(f"{at} {member.place} applied {applied.record.index} {applied.tip.record.hex()[:16]}")


def _told(what: Any) -> str:
    values = (_value(getattr(what, attribute.name)) for attribute in fields(type(what)))
    return f"{type(what).__name__}({', '.join(values)})"


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 8 else f"{len(value)}:{blake2b(value, digest_size=4).hexdigest()}"
    if isinstance(value, Commit):
        return f"#{value.index} round {value.round} leader {value.leader} {value.digest.hex()[:8]}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]" if len(value) <= 8 else f"{len(value)} of them"
    if hasattr(value, "items"):
        pairs = sorted(value.items())
        return "{" + ", ".join(f"{_value(k)}: {_value(v)}" for k, v in pairs[:8]) + ("…}" if len(pairs) > 8 else "}")
    return str(value)
