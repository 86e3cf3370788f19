"""Runs vector files of the format ``soma-consensus-cases/1``: what the engine's parts find, beside what a file says.

Two-round cases are of another commit rule and are left out. Rule D60 of ``specs/70-consensus-dag.md``.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Final, cast

from soma_core.errors import DecodeError, SomaError
from soma_core.testing.cases import Case

from ._block import (
    Format,
    InvalidBlockError,
    assemble,
    fault_of_payload,
)
from ._clock import Clock
from ._committee import Committee, agreed, median_time, thresholds
from ._committer import Blame, Leaders, Rule
from ._dag import Ref
from ._linearizer import horizon_after
from ._vector_case import CommitterCase, Node, ref_of

FORMAT: Final = "soma-consensus-cases/1"

Check = Callable[[], Case]

_LEFT_OUT: Final = ("format", "how_to_read", "two_round_cases", "mutation_table")
_MALFORMED: Final = (TypeError, ValueError, KeyError, AttributeError, OverflowError, IndexError)
_MOST_ROUNDS: Final = 10_000
_MOST_MEMBERS: Final = 1_000
_MOST_STAKE: Final = 1 << 128
_BLAMES: Final = ("block", "slot", "author")

# What a file means where it states no limit, and the names that it gives them.
_LIMITS: Final = {"max_tx": 256 << 10, "max_total": 512 << 10, "max_count": 512}

_LABELS: Final = frozenset(
    {
        "ok",
        "genesis_not_allowed",
        "bad_author",
        "bad_signature",
        "bad_ancestor_round",
        "no_parent_quorum",
        "own_not_first",
        "tx_too_large",
        "block_too_large",
    }
)
"""Labels that the format fixes. Of a block with any other label the format says only that it is refused."""


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
    checks: list[Check] = [partial(_unknown, section, "section") for section in content if section not in _LEFT_OUT]
    for place, case in enumerate(cases):
        checks += _parsed(path, f"committer_cases[{place}]", partial(_committer_checks, case))
    for name, table in tables.items():
        checks += _parsed(path, f"auxiliary.{name}", partial(_table_checks, name, table))
    for check in checks:
        yield check()


def _parsed(path: Path, where: str, parse: Callable[[], Iterable[Check]]) -> list[Check]:
    try:
        return list(parse())
    except _MALFORMED as error:
        raise _bad(path, f"{where}: {error or type(error).__name__}") from error


def _bad(path: Path, what: str) -> DecodeError:
    return DecodeError(f"{path}: {what}", "see specs/70-consensus-dag.md for the format of a vector file")


def _unknown(name: str, what: str) -> Case:
    return Case(name, ok=False, detail=f"a {what} that this version does not know")


# Committer cases. -----------------------------------------------------------------------------------------------------


def _committer_checks(case: Any) -> Iterator[Check]:
    name = _text(case["id"])
    if case["rule"]["leader_schedule"]["kind"] not in {"round_robin", "explicit"}:
        yield partial(_unknown, name, "schedule of leaders")
    elif {case["rule"]["blame"], *(case.get("variant_decisions") or {})} - set(_BLAMES):
        yield partial(_unknown, name, "way to count blame")
    else:
        stated = {key: case["committee"][key] for key in ("size", "total", "fault", "quorum")}
        yield partial(_run_committer_case, _committer_case(name, case), stated)


def _committer_case(name: str, case: Any) -> CommitterCase:
    committee = _committee(case["committee"]["stakes"])
    rule, expect = case["rule"], case["expect"]
    nodes = _nodes(case["blocks"], committee.size)
    leaders = _leaders(rule, committee.size)
    return CommitterCase(
        name=name,
        committee=committee,
        rule=Rule(_between(3, rule["wave_length"], 100), _flag(rule["pipelined"]), cast("Blame", rule["blame"])),
        leaders=leaders,
        gc_depth=_between(0, rule["gc_depth"], 1 << 32),
        cursor=_cursor(case.get("last_decided"), leaders),
        nodes=nodes,
        decided_up_to=_between(-100, expect["decided_up_to_round"], _MOST_ROUNDS),
        decisions=_list(expect["decisions"]),
        sequence=_list(expect["sequence"]),
        sub_dags=_list(expect["sub_dags"]),
        variants={_text(blame): _list(found) for blame, found in (case.get("variant_decisions") or {}).items()},
    )


def _committee(stakes: Any) -> Committee:
    if not 1 <= len(_list(stakes)) <= _MOST_MEMBERS:
        raise ValueError(f"a committee has 1 to {_MOST_MEMBERS} members")
    return Committee([_between(1, stake, _MOST_STAKE) for stake in stakes])


def _nodes(blocks: Any, size: int) -> tuple[Node, ...]:
    """The blocks of a case; each references blocks of lower rounds that there are."""
    refs: dict[str, Ref] = {}
    for block in _list(blocks):
        name = _text(block["id"])
        if name in refs:
            raise ValueError(f"{name} is there twice")
        refs[name] = ref_of(name, _between(0, block["round"], _MOST_ROUNDS), _between(0, block["author"], size - 1))
    nodes = []
    for block in blocks:
        ref, links = refs[block["id"]], _list(block["parents"])
        if missing := [link for link in links if link not in refs or refs[link][0] >= ref[0]]:
            raise ValueError(f"{block['id']} references {missing[0]!r:.40}, which is no block of a lower round")
        nodes.append(Node(ref, tuple(refs[link] for link in links)))
    return tuple(nodes)


def _leaders(rule: Any, size: int) -> Leaders:
    schedule = rule["leader_schedule"]
    if schedule["kind"] == "round_robin":
        ranks = range(_between(0, rule["leaders_per_round"], size))
        return lambda round_: [(round_ + rank) % size for rank in ranks]
    slots = schedule["slots"]
    rounds = enumerate(slots) if isinstance(slots, list) else slots.items()
    table = {int(round_): [_between(0, author, size - 1) for author in listed or ()] for round_, listed in rounds}
    if any(len(set(listed)) < len(listed) for listed in table.values()):
        raise ValueError("an author leads a round twice")
    return lambda round_: table.get(round_, ())


def _cursor(last_decided: Any, leaders: Leaders) -> tuple[int, int] | None:
    """The place (round, rank) of a slot (round, author)."""
    if last_decided is None:
        return None
    round_, author = map(_integer, last_decided)
    return round_, list(leaders(round_)).index(author)


def _run_committer_case(case: CommitterCase, stated: Mapping[str, Any]) -> Case:
    wrong = [
        f"{key}: found {getattr(case.committee, key)}, not {value}"
        for key, value in stated.items()
        if getattr(case.committee, key) != value
    ]
    wrong += case.run()
    return Case(case.name, ok=not wrong, detail="; ".join(wrong))


# Tables. --------------------------------------------------------------------------------------------------------------


def _table_checks(name: str, table: Any) -> Iterator[Check]:
    if name == "block_validity":
        yield from _validity_checks(table)
    elif name not in _TABLES:
        yield partial(_unknown, name, "table")
    else:
        for place, row in enumerate(_list(table)):
            yield _TABLES[name](f"{name}[{place}]", row)


def _value(name: str, wanted: Any, function: Callable[[], Any]) -> Case:
    try:
        found = function()
    except (SomaError, ValueError, ZeroDivisionError) as error:
        return Case(name, ok=False, detail=f"{error}, not {wanted}")
    return Case(name, ok=True) if found == wanted else Case(name, ok=False, detail=f"found {found}, not {wanted}")


def _thresholds_check(name: str, row: Any) -> Check:
    total = _between(1, row["total"], _MOST_STAKE)
    wanted = [row[key] for key in ("fault", "quorum", "validity")]

    def found() -> list[int]:
        of = thresholds(total)
        return [of.fault, of.quorum, of.validity]

    return partial(_value, name, wanted, found)


def _two_round_check(name: str, row: Any) -> Check:
    total, malicious, crash = (_between(0, row[key], _MOST_STAKE) for key in ("total", "malicious", "crash"))

    def found() -> dict[str, int]:
        """Of a rule that this engine does not follow: reference for whoever builds it."""
        scale = 5 * malicious + 3 * crash
        f, c = malicious * (total - 1) // scale, crash * (total - 1) // scale
        return {"f": f, "c": c, "validity": f + 1, "certification": 2 * f + c + 1, "quorum": total - f - c}

    return partial(_value, name, row["expect"], found)


def _clock_check(name: str, row: Any) -> Check:
    committee = _committee(row["stakes"])
    start = _between(0, row["start"], 1 << 32)
    blocks = [
        (_between(0, round_, 1 << 32), _between(0, author, committee.size - 1)) for round_, author in row["blocks"]
    ]

    def found() -> list[int]:
        clock, rounds = Clock(committee, start), []
        for block in blocks:
            clock.note(*block)
            rounds.append(clock.round)
        return rounds

    return partial(_value, name, row["clock_after_each"], found)


def _commit_index_check(name: str, row: Any) -> Check:
    committee = _committee(row["stakes"])
    voted = [_between(0, index, 1 << 64) for index in row["highest_voted"]]
    return partial(_value, name, row["expect"], partial(agreed, committee.stakes, voted, committee.quorum))


def _timestamp_check(name: str, row: Any) -> Check:
    parents = [(_between(0, time, 1 << 64), _between(1, stake, _MOST_STAKE)) for time, stake in row["parents"]]
    return partial(_value, name, row["expect"], partial(median_time, parents, _integer(row["previous"])))


def _gc_check(name: str, row: Any) -> Check:
    leader_round, depth = _integer(row["last_commit_leader_round"]), _integer(row["gc_depth"])
    return partial(_value, name, row["expect"], partial(horizon_after, leader_round, depth))


_TABLES: Final[Mapping[str, Callable[[str, Any], Check]]] = {
    "thresholds": _thresholds_check,
    "two_round_thresholds": _two_round_check,
    "threshold_clock": _clock_check,
    "quorum_commit_index": _commit_index_check,
    "commit_timestamp": _timestamp_check,
    "gc_round": _gc_check,
}


# Validity. ------------------------------------------------------------------------------------------------------------

_FIELDS: Final = {"epoch", "round", "author", "signature", "tx_bytes"}


def _validity_checks(table: Any) -> Iterator[Check]:
    committee = _committee(table["committee"]["stakes"])
    plain = {key: _integer(table["block"][key]) for key in ("epoch", "round", "author")}
    for case in _list(table["cases"]):
        name, override = f"block_validity: {_text(case['id'])}", dict(case.get("override") or {})
        limits = {**_LIMITS, **(case.get("limits") or {})}
        if beyond := sorted({*(set(override) - _FIELDS), *(set(limits) - set(_LIMITS))}):
            yield partial(_unknown, name, f"field ({', '.join(beyond)})")
            continue
        block = {**plain, **{key: _integer(override[key]) for key in plain if key in override}}
        sizes = [_between(0, size, 1 << 32) for size in override.get("tx_bytes", ())]
        ancestors = [_reference(link) for link in _list(case["ancestors"])]
        fault = fault_of_payload(sizes, *(_integer(limits[key]) for key in ("max_tx", "max_count", "max_total")))
        signature = b"" if "signature" in override else bytes(64)
        found = partial(_label, committee, plain["epoch"], block, ancestors, signature, fault)
        yield partial(_label_check, name, _text(case["expect"]), found)


def _reference(link: Any) -> tuple[int, int]:
    """Round and author of ``D7``, or of a pair of them. An author beyond what a reference can hold stays beyond."""
    round_, author = (link[1:].rstrip("'"), ord(link[0]) - ord("A")) if isinstance(link, str) else link
    return _between(0, int(round_), (1 << 32) - 1), min(_between(0, author, 1 << 64), 0xFFFF)


def _label(
    committee: Committee,
    epoch: int,
    block: Mapping[str, int],
    ancestors: Iterable[tuple[int, int]],
    signature: bytes,
    fault: str | None,
) -> str:
    """What the engine says of a block that is made of this; `fault`: what is wrong with its payload's sizes, which are
    judged by the limits of the file and not by those of the engine.
    """
    form = Format(bytes(32), epoch, committee)
    other = Format(bytes(32), block["epoch"], committee)
    refs = [
        form.genesis[author] if not round_ and author < committee.size else (round_, author, bytes(32))
        for round_, author in ancestors
    ]
    header = other.header(block["round"], block["author"], 0, refs, (), b"", ())
    try:
        form.parse(assemble(header, signature if fault is None else bytes(64), ()))
    except InvalidBlockError as error:
        return error.label
    return fault or "ok"


def _label_check(name: str, wanted: str, found: Callable[[], str]) -> Case:
    label = found()
    if label == wanted or (wanted not in _LABELS and label != "ok"):
        return Case(name, ok=True, detail="" if label == wanted else f"refused as {label}")
    return Case(name, ok=False, detail=f"found {label}, not {wanted}")


# Values. --------------------------------------------------------------------------------------------------------------


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r:.40} is not an integer")
    return value


def _between(least: int, value: Any, most: int) -> int:
    if not least <= _integer(value) <= most:
        raise ValueError(f"{value} is not from {least} to {most}")
    return int(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r:.40} is not true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is not text")
    return value


def _list(value: Any) -> Any:
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.40} is not a list")
    return value
