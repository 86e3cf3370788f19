"""``soma validator``: who validates, and this node among them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._data import data_dir_option
from ._default import DefaultGroup
from ._joining import joining_options
from ._options import json_option
from ._print import columns, data, data_json, talk

if TYPE_CHECKING:
    from soma_core.api import control
    from soma_core.api.standing import ValidatorEntry, Validators


@click.group(cls=DefaultGroup, default="show")
def validator() -> None:
    """Validate with this node, leave again, report others; alone, show who validates."""


@validator.command()
@click.argument("name", required=False)
@json_option
@data_dir_option
def show(name: str | None, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Show all validators, or the one of that NAME."""
    from soma_core.errors import UsageError

    found = _validators(data_dir)
    chosen = [each for each in found.validators if name in (None, each.name, each.account.hex())]
    if name is not None and not chosen:
        names = ", ".join(each.name for each in found.validators)
        raise UsageError(f"{name!r:.60} is no validator of this network", f"there are {names}")
    if as_json:
        data_json({"epoch": found.epoch, "validators": [_as_json(each) for each in chosen]})
        return
    for line in columns(
        [("name", "state", "power", "stake", "missed", "failed audits", "reports"), *map(_row, chosen)]
    ):
        data(line)


@validator.command()
@joining_options
@data_dir_option
def serve(beside: Path | None, genesis: Path | None, peers: tuple[str, ...], data_dir: Path) -> None:
    """Run a node that can validate in a network, until Ctrl-C. It follows until it has a seat."""
    from . import _joining

    _joining.join(data_dir, beside, genesis, peers, "", "validator")
    _joining.run(data_dir)


@validator.command()
@click.argument("name")
@click.argument("stake")
@click.option("--commission", default="2", show_default=True, metavar="SHARE", help="Per cent of what its pool earns.")
@json_option
@data_dir_option
def register(name: str, stake: str, commission: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Register this node's account to validate as NAME with STAKE in SOMA, with the keys of this node.

    It has a seat when the next epoch begins, if its stake is enough of all.
    """
    from soma_core.api import control, standing

    from ._acting import accepted, parse_share
    from ._client import Node
    from ._money import shannons

    request = standing.JoinCommittee(name=name, stake=shannons(stake), commission=parse_share(commission))
    with Node(data_dir) as node:
        done = accepted("register_validator", node.ask(control.JOIN_COMMITTEE, request))
    _said(done, f"{name} is registered: it has a seat with the next epoch, if its stake is enough", as_json=as_json)


@validator.command()
@json_option
@data_dir_option
def update(as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Name this node's present keys from the next epoch on. Who was down is back by it."""
    from soma_core.api import control

    from ._acting import accepted
    from ._client import Node

    with Node(data_dir) as node:
        done = accepted("update_validator", node.ask(control.RENEW_KEYS, control.Empty()))
    _said(done, "the validator has this node's keys from the next epoch on", as_json=as_json)


@validator.command()
@json_option
@data_dir_option
def leave(as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Validate no more when the epoch ends. Keep the node running until then; the stake stays in its pool."""
    from soma_core import chain

    from ._acting import act
    from ._client import Node

    with Node(data_dir) as node:
        done = act(node, "account", "leave_validator", chain.LeaveValidator())
    _said(done, "the validator leaves when the epoch ends; `soma stake withdraw` takes its stake out", as_json=as_json)


@validator.command()
@click.argument("other")
@click.option("--undo", is_flag=True, help="Take the report back.")
@json_option
@data_dir_option
def report(other: str, undo: bool, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # flags
    """Say that OTHER, the name or address of a validator or an encoder, harms the network.

    Reports cost a validator reward, by the power of who reports; an encoder that a quorum reports is drawn no more.
    """
    from soma_core.api import control

    from ._acting import act, find_owner
    from ._client import Node

    with Node(data_dir) as node:
        account = find_owner(node, other)
        encoders = {each.address for each in node.ask(control.ENCODERS, control.Empty()).encoders}
        kinds = (
            ("report_encoder", "undo_encoder_report") if account in encoders else ("report_validator", "undo_report")
        )
        done = act(node, "account", kinds[undo], {"account": account})
    _said(done, f"{other} is reported{' no more' if undo else ''}", as_json=as_json)


def _validators(data_dir: Path) -> "Validators":
    from soma_core.api import control

    from ._client import Node

    with Node(data_dir) as node:
        return node.ask(control.VALIDATORS, control.Empty())


def _row(each: "ValidatorEntry") -> tuple[str, ...]:
    from ._money import soma

    numbers = (each.misses, each.failures, len(each.reports))
    return (each.name, each.state, f"{each.power}", soma(each.stake, 2), *map(str, numbers))


def _as_json(each: "ValidatorEntry") -> dict[str, Any]:
    from soma_core.records import to_value

    return {
        **to_value(each),
        "account": each.account.hex(),
        "key": each.key.hex(),
        "reports": [account.hex() for account in each.reports],
    }


def _said(done: "control.Done", text: str, *, as_json: bool) -> None:
    from . import _acting

    if as_json:
        data_json(_acting.as_json(done))
    else:
        talk(text)
        data(done.transaction.hex())
