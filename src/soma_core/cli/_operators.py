"""``soma keys operator`` and ``soma keys prove``: keys that act for an account, which stays offline itself."""

from pathlib import Path

import click

from ._data import data_dir_option
from ._default import DefaultGroup
from ._options import json_option
from ._print import columns, data, data_json


@click.group(cls=DefaultGroup, default="list")
def operator() -> None:
    """Keys that act for this node's account in one role, each with a purse for its fees; alone, list them."""


@operator.command(name="list")
@click.argument("address", required=False)
@json_option
@data_dir_option
def list_(address: str | None, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """List the keys that act for the account ADDRESS; without it, for the node's own."""
    from soma_core.api import control, standing

    from ._address import parse_address
    from ._client import Node
    from ._money import soma

    with Node(data_dir) as node:
        found = node.ask(control.OPERATORS, standing.AskOperators(parse_address(address) if address else None))
    if as_json:
        entries = [{"address": o.address.hex(), "role": o.role, "purse": o.purse} for o in found.operators]
        data_json({"account": found.account.hex(), "operators": entries})
        return
    rows = [
        ("address of the key", "role", "purse"),
        *((o.address.hex(), o.role, soma(o.purse)) for o in found.operators),
    ]
    for line in columns(rows):
        data(line)


@operator.command(name="set")
@click.argument("key")
@click.argument("proof")
@click.argument("role", type=click.Choice(["encoder", "validator"]))
@click.option("--purse", default="0", show_default=True, metavar="AMOUNT", help="SOMA more for its fees.")
@click.option("--account", "of", default="account", show_default=True, metavar="ROLE", help="Whose operator it is.")
@json_option
@data_dir_option
def set_(*, key: str, proof: str, role: str, purse: str, of: str, as_json: bool, data_dir: Path) -> None:
    """Let KEY act in ROLE for this node's account, or fill its purse. PROOF is what its owner's `soma keys prove` says.

    Its node then runs with --set node.acts_for=account=ADDRESS.
    """
    from soma_core import chain

    from . import _acting
    from ._address import parse_address
    from ._client import Node
    from ._money import shannons, soma

    amount = shannons(purse) if purse.strip("0.") else 0
    action = chain.SetOperator(key=parse_address(key), role=role, purse=amount, possession=_signature(proof))
    with Node(data_dir) as node:
        done = _acting.act(node, of, "set_operator", action)
    if as_json:
        data_json(_acting.as_json(done, key=key, role=role, purse=amount))
    else:
        data(f"{key[:12]}… acts as {role} · {soma(amount)} SOMA more in its purse")


@operator.command()
@click.argument("key")
@click.option("--account", "of", default="account", show_default=True, metavar="ROLE", help="Whose operator it is.")
@json_option
@data_dir_option
def drop(key: str, of: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Let KEY act for this node's account no more; what is in its purse comes back."""
    from soma_core import chain

    from . import _acting
    from ._address import parse_address
    from ._client import Node

    with Node(data_dir) as node:
        done = _acting.act(node, of, "drop_operator", chain.DropOperator(parse_address(key)))
    if as_json:
        data_json(_acting.as_json(done, key=key))
    else:
        data(f"{key[:12]}… acts no more")


@click.command()
@click.argument("role")
@click.argument("account")
@click.option("--genesis", type=click.Path(path_type=Path), metavar="FILE", help="Else that in --data-dir.")
@json_option
@data_dir_option
def prove(role: str, account: str, genesis: Path | None, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001
    """Have the key for ROLE sign the address ACCOUNT, so that its owner can let the key act for it."""
    from soma_core.crypto import signing_digest
    from soma_core.genesis import read
    from soma_core.keystore import KeyStore

    from ._address import parse_address

    address = parse_address(account)
    chain_id = read(genesis or data_dir / "genesis.cbor").chain
    secret = KeyStore(data_dir).open(role)
    proof = secret.sign(signing_digest("soma/possession", chain_id, 0, address)).hex()
    if as_json:
        data_json({"role": role, "key": secret.public.hex(), "account": account, "proof": proof})
        return
    for line in columns([("key", secret.public.hex()), ("proof", proof)]):
        data(line)


def _signature(text: str) -> bytes:
    from soma_core.errors import UsageError

    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"{text!r:.60} is no proof", "a proof is 128 hex digits: `soma keys prove`") from error
