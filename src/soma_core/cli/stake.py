"""``soma stake``: stake with encoders and validators, one's own or others'."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._acting import role_option
from ._data import data_dir_option
from ._default import DefaultGroup
from ._options import json_option
from ._print import columns, data, data_json

if TYPE_CHECKING:
    from soma_core.api.standing import Pool


@click.group(cls=DefaultGroup, default="show")
def stake() -> None:
    """Put stake into pools of encoders and validators, and take it out; alone, show the node's own pool.

    An OWNER is an address, or the name of an encoder or validator.
    """


@stake.command()
@click.argument("owner", required=False)
@role_option
@json_option
@data_dir_option
def show(owner: str | None, role: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Show the pool of OWNER, and what this node's account has in it; without OWNER, the account's own pool."""
    from soma_core.api import control, standing

    from ._acting import find_owner
    from ._client import Node

    with Node(data_dir) as node:
        staker = _account(data_dir, role)
        found = node.ask(control.POOL, standing.AskPool(find_owner(node, owner) if owner else staker, staker))
    if as_json:
        data_json(_as_json(found))
    else:
        _print(found)


@stake.command()
@click.argument("owner")
@click.argument("amount")
@role_option
@json_option
@data_dir_option
def add(owner: str, amount: str, role: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Put AMOUNT of SOMA into the pool of OWNER. It is active from the next epoch on."""
    from soma_core import chain

    _move(owner, amount, role, data_dir, "stake", chain.Stake, as_json=as_json)


@stake.command()
@click.argument("owner")
@click.argument("amount")
@role_option
@json_option
@data_dir_option
def withdraw(owner: str, amount: str, role: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Take AMOUNT of SOMA out of the pool of OWNER. It earns no more, can be slashed, and is paid after unbonding."""
    from soma_core import chain

    _move(owner, amount, role, data_dir, "unstake", chain.Unstake, as_json=as_json)


@stake.command()
@click.argument("share")
@role_option
@json_option
@data_dir_option
def commission(share: str, role: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Keep SHARE per cent of what the account's own pool earns, from the next epoch on."""
    from soma_core import chain

    from . import _acting
    from ._client import Node

    parts = _acting.parse_share(share)
    with Node(data_dir) as node:
        done = _acting.act(node, role, "set_commission", chain.SetCommission(parts))
    if as_json:
        data_json(_acting.as_json(done, commission=parts))
    else:
        data(f"{_acting.per_cent(parts)} of what the pool earns is its owner's from the next epoch on")


def _move(owner: str, amount: str, role: str, data_dir: Path, kind: str, action: Any, *, as_json: bool) -> None:
    from soma_core.api import control, standing

    from . import _acting
    from ._client import Node
    from ._money import shannons

    moved = shannons(amount)
    staker = _account(data_dir, role)
    with Node(data_dir) as node:
        address = _acting.find_owner(node, owner)
        done = _acting.act(node, role, kind, action(owner=address, amount=moved))
        found = node.ask(control.POOL, standing.AskPool(address, staker))
    if as_json:
        data_json(_acting.as_json(done, amount=moved, pool=_as_json(found)))
    else:
        _print(found)


def _account(data_dir: Path, role: str) -> bytes | None:
    """The account of another role than the node's own; None: that."""
    from soma_core.errors import UsageError
    from soma_core.keystore import KeyStore

    if role == "account":
        return None
    for entry in KeyStore(data_dir).list():
        if entry.role == role:
            return entry.address
    raise UsageError(f"there is no key for {role} in {data_dir}", "`soma keys` lists those there are")


def _print(found: "Pool") -> None:
    import time

    from ._acting import per_cent
    from ._money import soma

    later = f", {per_cent(found.next_commission)} from epoch {found.since} on"
    changes = later if found.next_commission != found.commission else ""
    rows = [
        ("pool", found.owner.hex()),
        ("active", f"{soma(found.active)} SOMA"),
        ("leaving", f"{soma(found.leaving)} SOMA"),
        ("commission", per_cent(found.commission) + changes),
        ("of it yours", f"{soma(found.mine)} SOMA"),
        *([("joining", f"{soma(found.joining)} SOMA with the next epoch")] if found.joining else []),
        *(
            (
                "on its way out",
                f"{soma(part.amount)} SOMA until {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(part.until / 1000))}",
            )
            for part in found.departures
        ),
    ]
    for line in columns(rows):
        data(line)


def _as_json(found: "Pool") -> dict[str, Any]:
    from soma_core.records import to_value

    return {**to_value(found), "owner": found.owner.hex(), "staker": found.staker.hex()}
