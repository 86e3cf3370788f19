"""Actions of a node's accounts, sent through it, and what is said of them."""

from typing import TYPE_CHECKING, Any, Final

import click

from soma_core.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from soma_core.api import control

    from ._client import Node

role_option: Final = click.option(
    "--role", default="account", show_default=True, metavar="ROLE", help="Whose account acts: `soma keys` lists roles."
)
PARTS: Final = 10_000
"""Of a commission's whole."""


def act(node: "Node", role: str, kind: str, action: object) -> "control.Done":
    """Have it ordered and wait until it is final. Raises `RefusedError` if the chain says no."""
    from soma_core.api import control, standing
    from soma_core.records import to_value

    return accepted(kind, node.ask(control.ACT, standing.Act(role=role, kind=kind, action=to_value(action))))


def accepted(kind: str, done: "control.Done") -> "control.Done":
    """`done`, or a `RefusedError` that says why not."""
    from ._money import soma

    if done.code:
        raise RefusedError(
            f"{kind.replace('_', ' ')}: refused: {done.text} (the fee of {soma(done.fee)} SOMA is gone)",
            "see `soma stake`, `soma validator` and `soma balance`",
        )
    return done


def as_json(done: "control.Done", **more: Any) -> dict[str, Any]:
    """What programs are told of an action."""
    return {"transaction": done.transaction.hex(), "fee": done.fee, **more}


def find_owner(node: "Node", text: str) -> bytes:
    """An address, or that of the encoder or validator of this name. Raises `UsageError`."""
    from soma_core.api import control

    from ._address import parse_address

    if len(text) == 64:
        return parse_address(text)
    named = {each.name: each.address for each in node.ask(control.ENCODERS, control.Empty()).encoders}
    named |= {each.name: each.account for each in node.ask(control.VALIDATORS, control.Empty()).validators}
    if text not in named:
        raise UsageError(
            f"{text!r:.60} is no encoder or validator of this network", f"there are {', '.join(sorted(named))}"
        )
    return named[text]


def parse_share(text: str) -> int:
    """A commission in per cent, with at most two decimals, as parts of 10,000. Raises `UsageError`."""
    from decimal import Decimal, InvalidOperation

    try:
        parts = Decimal(text.removesuffix("%")) * 100
    except InvalidOperation:
        parts = Decimal(-1)
    if not parts.is_finite() or not 0 <= parts <= PARTS or parts != int(parts):
        raise UsageError(f"{text!r:.60} is no commission", "write per cent, such as 2.5: 0 to 100, two decimals")
    return int(parts)


def per_cent(parts: int) -> str:
    """Parts of 10,000 as per cent."""
    return f"{parts / 100:g} %"
