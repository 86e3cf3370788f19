"""The tables of vector files: thresholds, clocks, times and the validity of blocks, a case for each row."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from soma_core.errors import SomaError
from soma_core.testing.cases import Case

from ._block import Format, InvalidBlockError, assemble, fault_of_payload
from ._clock import Clock
from ._committee import Committee, agreed, median_time, thresholds
from ._linearizer import horizon_after
from ._vector_values import MOST_STAKE, between, committee_of, integer, list_of, text

Check = Callable[[], Case]

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


def table_checks(name: str, table: Any) -> Iterator[Check]:
    """A check for each row. Raises ValueError, KeyError and the like where the table does not have the form."""
    if name == "block_validity":
        yield from _validity_checks(table)
    elif name not in _TABLES:
        yield partial(unknown, name, "table")
    else:
        for place, row in enumerate(list_of(table)):
            yield _TABLES[name](f"{name}[{place}]", row)


def unknown(name: str, what: str) -> Case:
    """A case that fails for want of knowing what it is about."""
    return Case(name, ok=False, detail=f"a {what} that this version does not know")


def _value(name: str, wanted: Any, function: Callable[[], Any]) -> Case:
    try:
        found = function()
    except (SomaError, ValueError, ZeroDivisionError) as error:
        return Case(name, ok=False, detail=f"{error}, not {wanted}")
    return Case(name, ok=True) if found == wanted else Case(name, ok=False, detail=f"found {found}, not {wanted}")


def _thresholds_check(name: str, row: Any) -> Check:
    total = between(1, row["total"], MOST_STAKE)
    wanted = [row[key] for key in ("fault", "quorum", "validity")]

    def found() -> list[int]:
        of = thresholds(total)
        return [of.fault, of.quorum, of.validity]

    return partial(_value, name, wanted, found)


def _two_round_check(name: str, row: Any) -> Check:
    total, malicious, crash = (between(0, row[key], MOST_STAKE) for key in ("total", "malicious", "crash"))

    def found() -> dict[str, int]:
        """Of a rule that this engine does not follow: reference for whoever builds it."""
        scale = 5 * malicious + 3 * crash
        f, c = malicious * (total - 1) // scale, crash * (total - 1) // scale
        return {"f": f, "c": c, "validity": f + 1, "certification": 2 * f + c + 1, "quorum": total - f - c}

    return partial(_value, name, row["expect"], found)


def _clock_check(name: str, row: Any) -> Check:
    committee = committee_of(row["stakes"])
    start = between(0, row["start"], 1 << 32)
    blocks = [(between(0, round_, 1 << 32), between(0, author, committee.size - 1)) for round_, author in row["blocks"]]

    def found() -> list[int]:
        clock, rounds = Clock(committee, start), []
        for block in blocks:
            clock.note(*block)
            rounds.append(clock.round)
        return rounds

    return partial(_value, name, row["clock_after_each"], found)


def _commit_index_check(name: str, row: Any) -> Check:
    committee = committee_of(row["stakes"])
    voted = [between(0, index, 1 << 64) for index in row["highest_voted"]]
    return partial(_value, name, row["expect"], partial(agreed, committee.stakes, voted, committee.quorum))


def _timestamp_check(name: str, row: Any) -> Check:
    parents = [(between(0, time, 1 << 64), between(1, stake, MOST_STAKE)) for time, stake in row["parents"]]
    return partial(_value, name, row["expect"], partial(median_time, parents, integer(row["previous"])))


def _gc_check(name: str, row: Any) -> Check:
    leader_round, depth = integer(row["last_commit_leader_round"]), integer(row["gc_depth"])
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
    committee = committee_of(table["committee"]["stakes"])
    plain = {key: integer(table["block"][key]) for key in ("epoch", "round", "author")}
    for case in list_of(table["cases"]):
        name, override = f"block_validity: {text(case['id'])}", dict(case.get("override") or {})
        limits = {**_LIMITS, **(case.get("limits") or {})}
        ancestors = [link for written in list_of(case["ancestors"]) if (link := _reference(written))]
        beyond = sorted({*(set(override) - _FIELDS), *(set(limits) - set(_LIMITS))})
        if beyond or len(ancestors) < len(case["ancestors"]):
            yield partial(unknown, name, f"field ({', '.join(beyond)})" if beyond else "way to write a reference")
            continue
        block = {**plain, **{key: integer(override[key]) for key in plain if key in override}}
        sizes = [between(0, size, 1 << 32) for size in override.get("tx_bytes", ())]
        fault = fault_of_payload(sizes, *(integer(limits[key]) for key in ("max_tx", "max_count", "max_total")))
        signature = b"" if "signature" in override else bytes(64)
        found = partial(_label, committee, plain["epoch"], block, ancestors, signature, fault)
        yield partial(_label_check, name, text(case["expect"]), found)


def _reference(link: Any) -> tuple[int, int, bool] | None:
    """Round and author of ``D7`` or of a pair of them, and whether it has a prime; None if it is written otherwise.

    An author beyond what a reference can hold stays beyond what a committee has.
    """
    if isinstance(link, str):
        found = re.fullmatch(r"([A-Z])(\d{1,9})('*)", link)
        return (int(found[2]), ord(found[1]) - ord("A"), bool(found[3])) if found else None
    if not isinstance(link, list) or len(link) != 2:
        return None
    return between(0, link[0], (1 << 32) - 1), min(between(0, link[1], 1 << 64), 0xFFFF), False


def _label(
    committee: Committee,
    epoch: int,
    block: Mapping[str, int],
    ancestors: Sequence[tuple[int, int, bool]],
    signature: bytes,
    fault: str | None,
) -> str:
    """What the engine says of the bytes of a block that is made of this.

    `fault`: what is wrong with the sizes of its payload, which the file's limits judge and not the engine's.
    """
    ours, theirs = Format(bytes(32), epoch, committee), Format(bytes(32), block["epoch"], committee)
    refs = [
        (round_, author, bytes(32)) if round_ or prime or author >= committee.size else ours.genesis[author]
        for round_, author, prime in ancestors
    ]
    header = theirs.header(block["round"], block["author"], 0, refs, (), b"", ())
    try:
        ours.parse(assemble(header, signature, b""))
    except InvalidBlockError as error:
        return error.label
    return fault or "ok"


def _label_check(name: str, wanted: str, found: Callable[[], str]) -> Case:
    label = found()
    if label == wanted or (wanted not in _LABELS and label != "ok"):
        return Case(name, ok=True, detail="" if label == wanted else f"refused as {label}")
    return Case(name, ok=False, detail=f"found {label}, not {wanted}")
