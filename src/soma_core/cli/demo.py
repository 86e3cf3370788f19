"""``soma demo``: a whole network for a minute, with real files through it, and proof of what came out."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import json_option
from ._print import columns, data, data_json, talk

if TYPE_CHECKING:
    from soma_core.api.control import Supply
    from soma_core.api.searching import Found

    from ._client import Node
    from ._demo_race import Raced
    from ._embedding import Embedded
    from ._network import Network

HUNTER = "code"
"""The encoder whose node hunts among source files."""
CHEAT = "audio"
"""The encoder whose node's owner lies in the race."""
QUESTION = "cli/send.py"
"""The file of Soma's own to which the nearest of what was embedded is looked for."""


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True, help="Leave the network up until Ctrl-C.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the network keeps its data; else a new directory below soma-demo.",
)
@json_option
def demo(files: tuple[Path, ...], keep: bool, data_dir: Path | None, as_json: bool) -> None:  # noqa: FBT001  # flags
    """Start four validators and five encoders, embed FILES (or four samples), hit a target, catch a cheat, search.

    Prints what everything cost and proves.
    """
    begun = time.monotonic()
    from soma_core.api import control

    from . import _finding
    from ._client import Node
    from ._demo_race import race_beside
    from ._embedding import embed_file, size_of
    from ._network import Network, Plan

    inputs = files or _samples()
    for path in inputs:
        size_of(path)  # a bad file is told before anything is started
    root = (data_dir or Path("soma-demo") / time.strftime("%Y%m%d-%H%M%S")).absolute()
    with Network(root, Plan(), lambda text: _progress(text, begun)) as network:
        network.start()
        kept = network.root / "receipts"
        kept.mkdir(mode=0o700, exist_ok=True)
        (network.root / "genesis.cbor").write_bytes((network.validator / "genesis.cbor").read_bytes())
        running = race_beside(network.root / HUNTER, network.root / CHEAT, lambda text: _progress(text, begun))
        with Node(network.validator) as node:
            done = []
            for path in inputs:
                done.append(embed_file(node, path, 0, kept, _teller(path, begun), name=path.name))
                if not as_json:
                    _print_embedded(done[-1])
            asked, found = _search(node, kept, begun)
            raced = running.result()
            if not as_json:
                _print_raced(raced)
            supply = node.ask(control.SUPPLY, control.Empty())
            validators = node.ask(control.STATUS, control.Empty()).validators
        if as_json:
            search = {"query": _entry(asked), **_finding.as_json(found, kept)}
            _print_json(done, raced, search, supply, validators, time.monotonic() - begun)
        else:
            _print_supply(supply)
            _print_found(asked, found, kept)
            talk(f"Receipts, ledgers and logs: {root}")
        if keep:
            _stay(network)


def _stay(network: "Network") -> None:
    talk(f"\nThe network stays up until Ctrl-C:  soma search FILE --data-dir {network.validator}")
    while True:
        time.sleep(1)
        network.alive()


def _samples() -> tuple[Path, ...]:
    """Bundled text, source, picture and sound."""
    from soma_core.model import sample_files

    return sample_files()


def _progress(text: str, begun: float) -> None:
    talk(f"{time.monotonic() - begun:6.1f} s  {text}")


def _teller(path: Path, begun: float) -> Callable[[str], None]:
    seen: list[str] = []

    def tell(stage: str) -> None:
        if stage not in seen:
            seen.append(stage)
            if sys.stderr.isatty():
                click.echo(
                    f"\r\x1b[K{time.monotonic() - begun:6.1f} s  {path.name}: {' → '.join(seen)}",
                    err=True,
                    nl=stage in ("settled", "refunded"),
                )
            elif stage in ("settled", "refunded"):
                _progress(f"{path.name}: {' → '.join(seen)}", begun)

    return tell


def _search(node: "Node", kept: Path, begun: float) -> "tuple[Embedded, Found]":
    """Have one more file embedded, and look what is near to it."""
    import soma_core
    from soma_core.api import control, searching

    from ._embedding import embed_file

    path = Path(soma_core.__file__).parent / QUESTION
    asked = embed_file(node, path, 0, kept, _teller(path, begun), name=path.name)
    request = searching.Search(vector=b"", job=asked.receipt.job, most=5, where=())
    return asked, node.ask(control.SEARCH, request)


def _print_embedded(embedded: "Embedded") -> None:
    from ._receipts import lines

    for line in ("", *lines(embedded.path.name, embedded.receipt, f"soma verify {embedded.saved}"), ""):
        data(line)


def _print_raced(raced: "Raced") -> None:
    from ._money import soma

    if (hit := raced.hit) is not None:
        data(f"target {hit.target} · {hit.path.name} hits, of {raced.files} files of Soma's own")
        near = f"distance {hit.distance / 65536:.3f} of {hit.radius / 65536:.3f}"
        data(f"  {HUNTER:<16} {hit.loss / 65536:.3f} bits/byte · {near}")
        data(f"audited, claimed, paid   {soma(raced.paid, 4)} to the submitter\n")
    if raced.cheat is not None:
        data(f"target {raced.cheat} · a cheat shows random bytes and the very vector that is sought")
        data(f"audited, {'caught' if raced.caught else 'not caught'}   {soma(raced.lost, 4)} lost, bond and fees\n")


def _print_found(asked: "Embedded", found: "Found", kept: Path) -> None:
    from ._embedding import receipt_path
    from ._finding import lines

    data(f"\nsearch · near to {asked.path.name}, a program of Soma's own, among {found.among} vectors")
    for line in lines(found, kept):
        data(line)
    for nearest in found.found[:1]:
        data(f"receipt  soma verify {receipt_path(kept, nearest.job)}")


def _print_supply(supply: "Supply") -> None:
    from ._money import soma

    rows = [
        ("genesis", soma(supply.genesis), "balances", soma(supply.balances)),
        ("+ emitted", soma(supply.emitted), "stakes", soma(supply.stakes)),
        ("", "", "escrow", soma(supply.escrow)),
        ("", "", "validators, treasury", soma(supply.validators + supply.treasury)),
        ("= supply", soma(supply.genesis + supply.emitted), "in all", soma(supply.total)),
    ]
    for line in columns(rows):
        data(line)
    data(f"Supply {soma(supply.total)} SOMA: {'exact' if supply.drift == 0 else f'off by {supply.drift} shannons'}.")


def _entry(embedded: "Embedded") -> Mapping[str, Any]:
    from ._receipts import as_json

    return as_json(str(embedded.path), embedded.receipt, str(embedded.saved))


def _print_json(
    done: "Sequence[Embedded]",
    raced: "Raced",
    search: Mapping[str, Any],
    supply: "Supply",
    validators: int,
    seconds: float,
) -> None:
    from .hunt import catch_json

    data_json(
        {
            "inputs": [_entry(each) for each in done],
            "race": {
                "files": raced.files,
                "hit": None if raced.hit is None else catch_json(raced.hit, {}),
                "paid": raced.paid,
                "cheat": {"target": raced.cheat, "caught": raced.caught, "lost": raced.lost},
            },
            "search": search,
            "validators": validators,
            "supply": {
                "genesis": supply.genesis,
                "emitted": supply.emitted,
                "total": supply.total,
                "drift": supply.drift,
            },
            "seconds": round(seconds, 3),
        }
    )
