"""``soma hunt``: real files, held against the targets that the network has open."""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._data import data_dir_option
from ._options import json_option
from ._print import data, data_json, talk

if TYPE_CHECKING:
    from ._hunting import Catch, Hunter

SECONDS = 60.0
SETTLE = 30.0
"""Seconds for submissions that are under way when the hunt is over."""


@click.command()
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="DIR…")
@click.option("--seconds", default=SECONDS, show_default=True, type=click.FloatRange(0), help="How long to hunt.")
@click.option("--hits", type=click.IntRange(1), metavar="N", help="Stop after N hits.")
@json_option
@data_dir_option
def hunt(*, directories: tuple[Path, ...], seconds: float, hits: int | None, as_json: bool, data_dir: Path) -> None:
    """Score the files below DIR with the node's encoders, and submit those that hit a target.

    A submission puts a bond at stake, which comes back unless the data cannot be had or the answer is false.
    """
    begun = time.monotonic()
    from soma_core.api import control, racing

    from ._client import Node
    from ._hunting import Hunter
    from ._walking import walk

    with Node(data_dir) as node:
        most = node.ask(control.TARGETS, racing.AskTargets()).most
        names = {e.address: e.name for e in node.ask(control.ENCODERS, control.Empty()).encoders}
        found = walk(directories, most)

        def told(catch: "Catch") -> None:
            if not as_json:
                data(_line(catch, names))

        hunter = Hunter(data_dir, node, told)
        for path, _ in found.files:
            if _over(hunter, begun, seconds, hits):
                break
            hunter.score(path)
            hunter.look()
            _progress(hunter, len(found.files), begun)
        while not _over(hunter, begun, seconds, hits) and hunter.scored:
            hunter.look()
            time.sleep(0.1)
        hunter.wait(SETTLE)
    _clear()
    skipped = found.skipped + Counter(hunter.failed)
    if as_json:
        data_json(
            {
                "files": len(found.files),
                "scored": hunter.scored,
                "unpredicted": hunter.unpredicted(),
                "skipped": dict(skipped),
                "catches": [catch_json(catch, names) for catch in hunter.catches],
                "hits": len(hunter.hits),
                "seconds": round(time.monotonic() - begun, 3),
            }
        )
        return
    _summary(hunter, skipped)


def _over(hunter: "Hunter", begun: float, seconds: float, hits: int | None) -> bool:
    return time.monotonic() - begun > seconds or (hits is not None and len(hunter.hits) >= hits)


def _line(catch: "Catch", names: dict[bytes, str]) -> str:
    from ._money import soma

    name = names.get(catch.encoder, catch.encoder.hex()[:12])
    much = f" · {soma(catch.reward)} SOMA" if catch.outcome == "hit" else f" · {catch.text}" if catch.text else ""
    return (
        f"{catch.outcome:<7}  target {catch.target}  {catch.path} · {name} {catch.loss / 65536:.3f} bits/byte"
        f" · distance {catch.distance / 65536:.3f} of {catch.radius / 65536:.3f}{much}"
    )


def catch_json(catch: "Catch", names: dict[bytes, str]) -> dict[str, object]:
    """A catch for programs. `names`: of encoders, by address."""
    return {
        "path": str(catch.path),
        "target": catch.target,
        "encoder": names.get(catch.encoder, catch.encoder.hex()),
        "loss_bits_per_byte": catch.loss / 65536,
        "distance": catch.distance / 65536,
        "radius": catch.radius / 65536,
        "reward": catch.reward,
        "outcome": catch.outcome,
        "text": catch.text,
    }


def _summary(hunter: "Hunter", skipped: "Counter[str]") -> None:
    hits = hunter.hits
    if not hits:
        talk("no hit")
    talk(f"{hunter.scored:,} files scored, {len(hits)} hits of {len(hunter.catches)} submissions")
    if (count := hunter.unpredicted()) > 0:
        talk(f"{count:,} of them are predicted too badly for any target")
    for why, count in skipped.most_common():
        talk(f"{count:,} skipped: {why}")
    if hits:
        talk("A hit is paid when its audit is over: `soma claim`.")


def _progress(hunter: "Hunter", files: int, begun: float) -> None:
    if sys.stderr.isatty():
        text = f"{time.monotonic() - begun:6.1f} s  {hunter.scored} of {files} files scored, {len(hunter.hits)} hits"
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def _clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
