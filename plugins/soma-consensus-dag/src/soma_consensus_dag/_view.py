"""What a simulator may know of an engine that it does not understand: whose block a message brings, and who leads."""

from typing import TYPE_CHECKING

from attrs import frozen

from soma_core.api import Setup
from soma_core.errors import DecodeError

from . import _messages as messages
from ._block import place_of
from ._committee import Committee
from ._parts import schedule_of

if TYPE_CHECKING:
    from . import Params


@frozen
class View:
    """A message of `kind` ``block`` brings one block: that of `author` in `round`."""

    kind: str
    author: int
    round: int


def view_of(message: bytes) -> View | None:
    """What a message is about; None for one that brings no block, or several. Bears any bytes."""
    if message[:1] != b"\x01":
        return None
    try:
        match messages.unpack(message):
            case messages.Blocks((wire,)):
                round_, author = place_of(wire)
                return View("block", author, round_)
            case _:
                return None
    except DecodeError:
        return None


def first_leader(params: "Params", setup: Setup, round_: int) -> int:
    """The first leader of a round, as long as nothing has been committed that changes it."""
    committee = Committee([member.power for member in setup.committee])
    return schedule_of(params, setup, committee).leaders(round_)[0]
