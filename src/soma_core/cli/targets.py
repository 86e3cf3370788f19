"""``soma targets``: what the network seeks, what was hit, and where it is weak."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._data import data_dir_option
from ._options import json_option
from ._print import columns, data, data_json

if TYPE_CHECKING:
    from soma_core.api import racing

SHOWN = 20
"""Targets and hits that are printed, of each; --json gives all that the node tells."""


@click.command()
@json_option
@data_dir_option
def targets(*, as_json: bool, data_dir: Path) -> None:
    """Show the open targets, the hits that are not paid yet, and the kinds of data that are seldom hit."""
    import attrs

    from soma_core.api import control, racing

    from ._client import Node
    from ._hunting import open_targets

    with Node(data_dir) as node:
        race = node.ask(control.TARGETS, racing.AskTargets())
        sought = [target for target, _ in open_targets(node)]
        hits = node.ask(control.HITS, control.Empty())
        names = {e.address: e.name for e in node.ask(control.ENCODERS, control.Empty()).encoders}
    if as_json:
        data_json(
            {
                "epoch": race.epoch,
                "hits_of_epoch": race.hits,
                "goal": race.goal,
                "pool": race.pool,
                "reward": race.reward,
                "most_bytes": race.most,
                "open": [_target(target, names) for target in sought],
                "hits": [_hit(hit, names) for hit in hits.hits],
                "waiting": [attrs.asdict(one) for one in hits.waiting],
                "weak": [
                    {"cell": w.cell, "jobs": w.jobs, "hits": w.hits / 256, "expired": w.expired / 256, "loss": w.loss}
                    for w in race.weak
                ],
            }
        )
        return
    _print(race, sought, hits.hits, names)
    for one in hits.waiting[:SHOWN]:
        place = "next" if not one.before else f"{one.before} before it"
        data(f"waiting {one.number} · {one.state}, if a hit is found false · {place}")


def _print(
    race: "racing.Targets",
    sought: "Sequence[racing.OpenTarget]",
    hits: "Sequence[racing.Hit]",
    names: Mapping[bytes, str],
) -> None:
    from ._money import soma

    hits_now = f"{race.hits} hits, {race.goal} wanted"
    data(f"epoch {race.epoch} · {hits_now} · {soma(race.reward)} SOMA a hit · {len(sought)} open")
    rows = [("target", "radius", "bits/byte", "reward", "waiting", "encoders")]
    rows += [
        (
            str(t.number),
            f"{t.radius / 65536:.3f}",
            f"{t.loss / 65536:.2f}",
            soma(t.reward),
            str(t.submissions),
            ", ".join(names.get(each, each.hex()[:12]) for each in t.encoders),
        )
        for t in sought[:SHOWN]
    ]
    for line in columns(rows) if sought else ():
        data(line)
    if len(sought) > SHOWN:
        data(f"… and {len(sought) - SHOWN} more")
    for hit in hits[:SHOWN]:
        name = names.get(hit.encoder, hit.encoder.hex()[:12])
        rivals = f" · {hit.rivals} wait" if hit.rivals else ""
        state = f"{hit.state}{rivals}"
        data(f"hit {hit.number} · {hit.submitter.hex()[:12]} with {name} · {soma(hit.reward)} SOMA · {state}")
    if len(hits) > SHOWN:
        data(f"… and {len(hits) - SHOWN} hits more")
    for weak in race.weak[:SHOWN]:
        data(f"weak: kind {weak.cell} · {weak.hits / 256:.1f} hits, {weak.expired / 256:.1f} expired")


def _target(target: "racing.OpenTarget", names: Mapping[bytes, str]) -> dict[str, object]:
    return {
        "number": target.number,
        "radius": target.radius / 65536,
        "loss_bits_per_byte": target.loss / 65536,
        "reward": target.reward,
        "cell": target.cell,
        "submissions": target.submissions,
        "encoders": [names.get(each, each.hex()) for each in target.encoders],
    }


def _hit(hit: "racing.Hit", names: Mapping[bytes, str]) -> dict[str, object]:
    return {
        "number": hit.number,
        "submitter": hit.submitter.hex(),
        "encoder": names.get(hit.encoder, hit.encoder.hex()),
        "blob": hit.blob.hex(),
        "bytes": hit.size,
        "loss_bits_per_byte": hit.loss / 65536,
        "distance": hit.distance / 65536,
        "reward": hit.reward,
        "bond": hit.bond,
        "claimable": hit.claimable,
        "state": hit.state,
        "rivals": hit.rivals,
    }
