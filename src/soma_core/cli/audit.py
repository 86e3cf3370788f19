"""``soma audit``: what validators look at again, and disputes of what they said."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._data import data_dir_option
from ._default import DefaultGroup
from ._options import json_option
from ._print import columns, data, data_json

if TYPE_CHECKING:
    from soma_core.api.standing import AuditEntry, Audits


@click.group(cls=DefaultGroup, default="list")
def audit() -> None:
    """Look at audits, and dispute what they found; alone, list them."""


@audit.command(name="list")
@json_option
@data_dir_option
def list_(as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """List open audits, and jobs whose answers can still be disputed."""
    from ._money import soma

    found = _audits(data_dir)
    if as_json:
        entries = [_as_json(each) for each in found.audits]
        told = {"left_out": found.left_out, "bond": found.bond, "failures": found.failures}
        data_json({"audits": entries, **told})
        return
    rows = [("subject", "kind", "stage", "until", "answers")]
    for line in columns([*rows, *((e.key.hex()[:16], e.kind, _stage(e), _until(e), _words(e)) for e in found.audits)]):
        data(line)
    if found.left_out:
        data(f"and {found.left_out} more")
    data(f"a dispute takes a bond of {soma(found.bond)} SOMA · this node failed {found.failures} audits")


@audit.command()
@click.argument("subject")
@json_option
@data_dir_option
def show(subject: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Show one audit, or a job in its audit window. SUBJECT: its key in hex, or how that begins."""
    found = _find(_audits(data_dir, subject), subject)
    if as_json:
        data_json(_as_json(found))
        return
    rows = [("subject", found.key.hex()), ("kind", found.kind), ("stage", _stage(found)), ("until", _until(found))]
    rows += [("answer", f"{each.name} · {each.word}") for each in found.answers]
    rows += [
        ("auditor", f"{each.account.hex()[:16]} · {each.state} {' '.join(each.words)}".rstrip()) for each in found.panel
    ]
    for line in columns(rows):
        data(line)


@audit.command()
@click.argument("subject")
@click.argument("encoder")
@json_option
@data_dir_option
def dispute(subject: str, encoder: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Have the whole committee look at the answer of ENCODER, a name or an address, to the job SUBJECT.

    The bond comes back, with a reward, if what stood of the answer was wrong.
    """
    from soma_core import chain

    from . import _acting
    from ._client import Node
    from ._money import soma

    known = _audits(data_dir, subject)
    found = _find(known, subject)
    with Node(data_dir) as node:
        action = chain.DisputeAnswer(job=found.key, encoder=_acting.find_owner(node, encoder))
        done = _acting.act(node, "account", "dispute_answer", action)
    if as_json:
        data_json(_acting.as_json(done, job=found.key.hex(), bond=known.bond))
    else:
        data(f"the committee looks at {encoder}'s answer to {found.key.hex()[:16]} · bond {soma(known.bond)} SOMA")


@audit.command()
@click.argument("plugin")
@json_option
@data_dir_option
def canary(plugin: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Plant a canary of the encoder PLUGIN, which the node in --data-dir runs, to find auditors who do not compute.

    From the next epoch on the node answers one job, of about 64, with too low a loss, has the answer looked at, and
    confesses: it costs no stake, and who called it honest fails an audit. One canary for each time this is asked.
    """
    from soma_core.api import control, standing

    from . import _acting
    from ._client import Node

    with Node(data_dir) as node:
        done = _acting.accepted("plant_canaries", node.ask(control.PLANT_CANARY, standing.PlantCanary(plugin)))
    if as_json:
        data_json(_acting.as_json(done))
    else:
        data("a canary is planted: it counts from the next epoch on, and the node confesses it by itself")


def _audits(data_dir: Path, subject: str = "") -> "Audits":
    from soma_core.api import control, standing
    from soma_core.errors import UsageError

    from ._client import Node

    try:
        begins = bytes.fromhex(subject[: len(subject) // 2 * 2])
        request = standing.AskAudits(begins)
    except ValueError as error:
        raise UsageError(f"{subject!r:.80} is no key of a job or a target", "`soma audit` lists them") from error
    with Node(data_dir) as node:
        return node.ask(control.AUDITS, request)


def _find(found: "Audits", subject: str) -> "AuditEntry":
    from soma_core.errors import UsageError

    fitting = [each for each in found.audits if subject and each.key.hex().startswith(subject.lower())]
    if len(fitting) == 1:
        return fitting[0]
    what = "fits several subjects" if fitting else "is audited nowhere, and no job in its audit window"
    raise UsageError(f"{subject!r:.80} {what}", "`soma audit` lists them")


def _stage(each: "AuditEntry") -> str:
    return f"{each.stage}, disputed" if each.appeal else each.stage


def _until(each: "AuditEntry") -> str:
    import time

    return time.strftime("%H:%M:%S", time.gmtime(each.deadline / 1000))


def _words(each: "AuditEntry") -> str:
    return ", ".join(f"{answer.name} {answer.word}" for answer in each.answers)


def _as_json(each: "AuditEntry") -> dict[str, Any]:
    from soma_core.records import to_value

    value = to_value(each)
    answers = [{**answer, "encoder": answer["encoder"].hex()} for answer in value["answers"]]
    panel = [{**seat, "account": seat["account"].hex()} for seat in value["panel"]]
    return {**value, "key": each.key.hex(), "answers": answers, "panel": panel}
