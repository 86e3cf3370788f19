"""``soma send``: SOMA from the node's account to another."""

from pathlib import Path

import click

from ._data import data_dir_option
from ._options import json_option
from ._print import data, data_json


@click.command()
@click.argument("to")
@click.argument("amount")
@json_option
@data_dir_option
def send(to: str, amount: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Send AMOUNT of SOMA from the node's account to the address TO, and wait until it is final."""
    from soma_core.api import control
    from soma_core.errors import RefusedError

    from ._address import parse_address
    from ._client import Node
    from ._money import shannons, soma

    request = control.Send(to=parse_address(to), amount=shannons(amount))
    with Node(data_dir) as node:
        done = node.ask(control.SEND, request)
    if done.code:
        raise RefusedError(f"not sent: {done.text} (the fee of {soma(done.fee)} SOMA is gone)", "see `soma balance`")
    if as_json:
        data_json(
            {"transaction": done.transaction.hex(), "to": to, "amount": request.amount, "fee": done.fee, "sent": True}
        )
        return
    data(f"sent {soma(request.amount)} SOMA to {to[:12]}… · fee {soma(done.fee)} · {done.transaction.hex()[:12]}")
