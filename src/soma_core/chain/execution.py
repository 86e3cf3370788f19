"""What the rules of one commit are given, and how they say no."""

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field, frozen

from soma_core.api import ScoringRule
from soma_core.genesis import Genesis, Parameters

from .events import Event
from .state import State

BASIS: Final = 10_000
"""Shares and commissions are parts of this."""


class Refusal(Exception):  # noqa: N818  # an outcome of a transaction, not a fault
    """The action is not allowed: it changes nothing and costs its fee. `code` is one word, stable."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


@define
class Execution:
    """One commit being applied. `time` in ms; `epoch` is the number of the epoch it belongs to."""

    genesis: Genesis
    rule: ScoringRule
    state: State
    index: int
    time: int
    epoch: int
    events: list[Event] = field(factory=list)
    receipts: list[bytes] = field(factory=list)

    @property
    def parameters(self) -> Parameters:
        """The network's integers."""
        return self.genesis.parameters


@frozen
class Handler:
    """How a kind of action is read and done. `run(execution, sender, action)` raises `Refusal`."""

    record: type[Any]
    run: Callable[[Execution, bytes, Any], None]
