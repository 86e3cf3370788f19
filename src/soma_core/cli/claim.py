"""``soma claim``: have hits paid whose audits are over."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._data import data_dir_option
from ._options import json_option
from ._print import data, data_json, talk

if TYPE_CHECKING:
    from soma_core.api.racing import Hit, Hits

    from ._client import Node


@click.command()
@click.argument("targets", nargs=-1, type=click.IntRange(0), metavar="[TARGET]…")
@click.option("--all", "everybody", is_flag=True, help="Claim others' hits too: a small share is the claimer's.")
@json_option
@data_dir_option
def claim(*, targets: tuple[int, ...], everybody: bool, as_json: bool, data_dir: Path) -> None:
    """Have hits paid: those of TARGETs, or every hit of the node's account that is claimable."""
    from soma_core.api import control

    from ._client import Node
    from ._money import soma

    with Node(data_dir) as node:
        known = node.ask(control.HITS, control.Empty())
        due = [
            hit
            for hit in known.hits
            if (hit.number in targets if targets else hit.state == "claimable" and (everybody or _own(hit, known)))
        ]
        if missing := set(targets) - {hit.number for hit in due}:
            from soma_core.errors import UsageError

            raise UsageError(f"no unpaid hit of target {min(missing)}", "`soma targets` shows the hits")
        entries = [{**_claim(node, hit.number), "reward": hit.reward} for hit in due]
    if as_json:
        data_json(
            {
                "claims": entries,
                "waiting": sum(h.state != "claimable" and _own(h, known) for h in known.hits),
                "rivals": len(known.waiting),
            }
        )
        return
    for entry in entries:
        if entry["code"]:
            data(f"target {entry['target']}: not paid: {entry['text']}")
        else:
            data(f"target {entry['target']}: paid · {soma(int(str(entry['reward'])))} SOMA")
    if not entries:
        audited = sum(_own(hit, known) for hit in known.hits)
        talk(f"nothing to claim; {audited} hits are still audited" if audited else "nothing to claim")
    if known.waiting:
        talk(f"{len(known.waiting)} submissions wait for the audits of others' hits")


def _own(hit: "Hit", known: "Hits") -> bool:
    return hit.submitter == known.account


def _claim(node: "Node", number: int) -> dict[str, object]:
    """Claim one; what the chain says."""
    from soma_core.api import control, standing

    done = node.ask(control.ACT, standing.Act(role="account", kind="claim_target", action={"target": number}))
    return {"target": number, "code": done.code, "text": done.text}
