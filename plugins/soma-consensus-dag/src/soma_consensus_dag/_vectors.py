"""Runs vector files of the format ``soma-consensus-cases/1``: what the engine's parts find, beside what a file says.

Two-round cases are of another commit rule and are left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soma_core.errors import DecodeError
from soma_core.testing.cases import Case

from ._committer import Leaders, Rule
from ._vector_case import CommitterCase, Node, ref_of
from ._vector_tables import Check, table_checks, unknown
from ._vector_values import between, committee_of, flag, integer, list_of, text

if TYPE_CHECKING:
    from ._dag import Ref

FORMAT: Final = "soma-consensus-cases/1"

_LEFT_OUT: Final = ("format", "how_to_read", "two_round_cases", "mutation_table")
_MALFORMED: Final = (TypeError, ValueError, KeyError, AttributeError, OverflowError, IndexError)
_MOST_ROUNDS: Final = 10_000


def run_file(file: str | PathLike[str]) -> Iterator[Case]:
    """One case for each committer case and each row of a table. All of the file is parsed before the first is run."""
    path = Path(file)
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _bad(path, f"not an object with `format` {FORMAT!r}")
    cases, tables = content.pop("committer_cases", []), content.pop("auxiliary", {})
    if not isinstance(cases, list) or not isinstance(tables, dict):
        raise _bad(path, "`committer_cases` is a list, `auxiliary` an object")
    beyond = [section for section, held in content.items() if section not in _LEFT_OUT and not isinstance(held, str)]
    checks: list[Check] = [partial(unknown, section, "section") for section in beyond]
    for place, case in enumerate(cases):
        checks += _parsed(path, f"committer_cases[{place}]", partial(_committer_checks, case))
    for name, table in tables.items():
        checks += _parsed(path, f"auxiliary.{name}", partial(table_checks, name, table))
    for check in checks:
        yield check()


def _parsed(path: Path, where: str, parse: Callable[[], Iterable[Check]]) -> list[Check]:
    try:
        return list(parse())
    except _MALFORMED as error:
        raise _bad(path, f"{where}: {error or type(error).__name__}") from error


def _bad(path: Path, what: str) -> DecodeError:
    return DecodeError(f"{path}: {what}", "see specs/70-consensus-dag.md for the format of a vector file")


# Committer cases. -----------------------------------------------------------------------------------------------------


def _committer_checks(case: Any) -> Iterator[Check]:
    name = text(case["id"])
    if case["rule"]["leader_schedule"]["kind"] not in {"round_robin", "explicit"}:
        yield partial(unknown, name, "schedule of leaders")
    elif {case["rule"]["blame"], *(case.get("variant_decisions") or {})} - {"block", "slot", "author"}:
        yield partial(unknown, name, "way to count blame")
    else:
        stated = {key: case["committee"][key] for key in ("size", "total", "fault", "quorum")}
        yield partial(_run_committer_case, _committer_case(name, case), stated)


def _committer_case(name: str, case: Any) -> CommitterCase:
    committee = committee_of(case["committee"]["stakes"])
    rule, expect = case["rule"], case["expect"]
    nodes = _nodes(case["blocks"], committee.size)
    leaders = _leaders(rule, committee.size)
    return CommitterCase(
        name=name,
        committee=committee,
        rule=Rule(between(3, rule["wave_length"], 100), flag(rule["pipelined"]), rule["blame"]),
        leaders=leaders,
        gc_depth=between(0, rule["gc_depth"], 1 << 32),
        cursor=_cursor(case.get("last_decided"), leaders),
        nodes=nodes,
        decided_up_to=between(-100, expect["decided_up_to_round"], _MOST_ROUNDS),
        decisions=list_of(expect["decisions"]),
        sequence=list_of(expect["sequence"]),
        sub_dags=list_of(expect["sub_dags"]),
        variants={blame: list_of(found) for blame, found in (case.get("variant_decisions") or {}).items()},
    )


def _nodes(blocks: Any, size: int) -> tuple[Node, ...]:
    """The blocks of a case; each references blocks of lower rounds that there are."""
    refs: dict[str, Ref] = {}
    for block in list_of(blocks):
        name = text(block["id"])
        if name in refs:
            raise ValueError(f"{name} is there twice")
        refs[name] = ref_of(name, between(0, block["round"], _MOST_ROUNDS), between(0, block["author"], size - 1))
    nodes = []
    for block in blocks:
        ref, links = refs[block["id"]], list_of(block["parents"])
        if missing := [link for link in links if link not in refs or refs[link][0] >= ref[0]]:
            raise ValueError(f"{block['id']} references {missing[0]!r:.40}, which is no block of a lower round")
        nodes.append(Node(ref, tuple(refs[link] for link in links)))
    return tuple(nodes)


def _leaders(rule: Any, size: int) -> Leaders:
    schedule = rule["leader_schedule"]
    if schedule["kind"] == "round_robin":
        ranks = range(between(0, rule["leaders_per_round"], size))
        return lambda round_: [(round_ + rank) % size for rank in ranks]
    slots = schedule["slots"]
    rounds = enumerate(slots) if isinstance(slots, list) else slots.items()
    table = {int(round_): [between(0, author, size - 1) for author in listed or ()] for round_, listed in rounds}
    if any(len(set(listed)) < len(listed) for listed in table.values()):
        raise ValueError("an author leads a round twice")
    return lambda round_: table.get(round_, ())


def _cursor(last_decided: Any, leaders: Leaders) -> tuple[int, int] | None:
    """The place (round, rank) of a slot (round, author)."""
    if last_decided is None:
        return None
    round_, author = map(integer, last_decided)
    return round_, list(leaders(round_)).index(author)


def _run_committer_case(case: CommitterCase, stated: Mapping[str, Any]) -> Case:
    wrong = [
        f"{key}: found {getattr(case.committee, key)}, not {value}"
        for key, value in stated.items()
        if getattr(case.committee, key) != value
    ]
    wrong += case.run()
    return Case(case.name, ok=not wrong, detail="; ".join(wrong))
