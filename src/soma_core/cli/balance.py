"""``soma balance``: what an account holds."""

from pathlib import Path

import click

from ._data import data_dir_option
from ._options import json_option
from ._print import data, data_json


@click.command()
@click.argument("address", required=False)
@json_option
@data_dir_option
def balance(address: str | None, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Show what ADDRESS holds; without it, the node's own account."""
    from soma_core.api import control

    from ._address import parse_address
    from ._client import Node
    from ._money import soma

    asked = control.AskBalance(parse_address(address) if address else None)
    with Node(data_dir) as node:
        reply = node.ask(control.BALANCE, asked)
    if as_json:
        data_json(
            {
                "address": reply.address.hex(),
                "balance": reply.balance,
                "stake": reply.stake,
                "sequence": reply.sequence,
            }
        )
        return
    staked = f" and {soma(reply.stake)} staked" if reply.stake else ""
    data(f"{reply.address.hex()}   {soma(reply.balance)} SOMA{staked}")
