"""``soma keys``: the keys of a node, one a role. Secrets go to files of mode 0600, never to the screen."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._data import data_dir_option
from ._default import DefaultGroup
from ._operators import operator, prove
from ._options import json_option
from ._print import columns, data, data_json, talk

if TYPE_CHECKING:
    from soma_core.keystore import KeyEntry

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=DefaultGroup, default="list")
def keys() -> None:
    """Make, list and show keys, and let them act for an account; without a command, list.

    Roles: account, validator, node, encoder.
    """


keys.add_command(operator)
keys.add_command(prove)


@keys.command(name="list")
@json_option
@data_dir_option
def list_(as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """List the keys there are, by role: public key and address."""
    from soma_core.keystore import KeyStore

    found = KeyStore(data_dir).list()
    if as_json:
        data_json({"data_dir": str(data_dir), "keys": [_as_json(entry) for entry in found]})
        return
    if not found:
        talk(f"no keys in {data_dir}; `soma run` makes those of a development network, `soma keys new ROLE` one")
        return
    rows = [("role", "public key", "address"), *((e.role, e.key.hex(), e.address.hex()) for e in found)]
    for line in columns(rows):
        data(line)


@keys.command()
@click.argument("role")
@json_option
@data_dir_option
def new(role: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Make the key for ROLE. An existing one is never replaced."""
    from soma_core.keystore import KeyStore

    _made(KeyStore(data_dir).create(role), data_dir, as_json=as_json)


@keys.command()
@click.argument("role")
@json_option
@data_dir_option
def show(role: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Show the public key and address for ROLE, after opening its file with the passphrase."""
    from soma_core.keystore import KeyEntry, KeyStore

    store = KeyStore(data_dir)
    _shown(KeyEntry(role, store.open(role).public, store.path(role)), as_json=as_json)


@keys.command(name="import")
@click.argument("role")
@click.argument("file", type=_FILE)
@json_option
@data_dir_option
def import_(role: str, file: Path, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Store the secret in FILE (64 hex digits, mode 0600, as `soma keys export` writes it) as the key for ROLE."""
    from soma_core.crypto import SecretKey
    from soma_core.errors import KeyStoreError
    from soma_core.keystore import KeyStore, read_private

    text = read_private(file).strip()
    try:
        secret = SecretKey(bytes.fromhex(text.decode("ascii")))
    except ValueError as error:
        raise KeyStoreError(
            f"{file}: not a secret of 64 hex digits", f"a key file goes to {KeyStore(data_dir).path(role)} as it is"
        ) from error
    _made(KeyStore(data_dir).create(role, secret), data_dir, as_json=as_json)


@keys.command()
@click.argument("role")
@click.argument("file", type=_FILE)
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_dir_option
def export(role: str, file: Path, yes: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Write the secret for ROLE to the new FILE, in the clear, mode 0600. Who has the file has the key."""
    from soma_core.errors import UsageError
    from soma_core.keystore import KeyStore, write_private

    secret = KeyStore(data_dir).open(role)
    if not yes:
        question = f"Write the secret for {role} to {file}, not encrypted?"
        try:
            click.confirm(question, abort=True, err=True)
        except click.Abort as error:
            raise UsageError("nothing was written", "say --yes to export the secret") from error
    write_private(file, secret.expose().hex().encode() + b"\n")
    talk(f"the secret for {role} is in {file}: move it to where it is safe, then delete it here")


def _made(entry: "KeyEntry", data_dir: Path, *, as_json: bool) -> None:
    from soma_core.keystore import find_passphrase, passphrase_file

    source = find_passphrase(data_dir).source
    _shown(entry, as_json=as_json)
    talk(f"sealed by the passphrase from {source}; back up {entry.path}")
    if source == str(passphrase_file(data_dir)):
        talk("that passphrase lies beside the key: good for development, for more set SOMA_PASSPHRASE_FILE first")


def _shown(entry: "KeyEntry", *, as_json: bool) -> None:
    if as_json:
        data_json(_as_json(entry))
        return
    rows = [("role", entry.role), ("public key", entry.key.hex()), ("address", entry.address.hex())]
    for line in columns([*rows, ("file", str(entry.path))]):
        data(line)


def _as_json(entry: "KeyEntry") -> dict[str, str]:
    return {"role": entry.role, "key": entry.key.hex(), "address": entry.address.hex(), "file": str(entry.path)}
