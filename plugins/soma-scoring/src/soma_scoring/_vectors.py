"""Runs vector files: what the rule finds, beside what a file says it must find."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soma_core.api import Answer, Settlement
from soma_core.api import fixed as f
from soma_core.errors import DecodeError, SomaError
from soma_core.testing.cases import Case
from soma_core.testing.chain_cases import FORMAT, run_chain_cases

from ._judgement import Judgement, judge
from ._params import Params
from ._soma import SomaRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

Check = Callable[[], Case]

_NOTES: Final = ("title", "order", "dimension")
_CASE: Final = {"name", "pot", "members", "settled", "result"}
_MEMBER: Final = {"l", "z", "reg", "G", "opaque", "own", "stake", "verdict"}
_VERDICTS: Final[Mapping[Any, Any]] = {None: "none", "none": "none", "honest": "honest", "false": "false"}
_MALFORMED: Final = (TypeError, ValueError, KeyError, AttributeError, OverflowError)


def run_file(file: str | PathLike[str]) -> Iterator[Case]:
    """One case for each function value and each job of `file`. All of the file is parsed before the first is run."""
    path = Path(file)
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _bad(path, "not an object with `functions` and `cases`")
    if content.get("format") == FORMAT:
        yield from run_chain_cases(SomaRule(Params()), content)
        return
    functions, jobs = content.pop("functions", {}), content.pop("cases", [])
    if not isinstance(functions, dict) or not isinstance(jobs, list) or not (functions or jobs):
        raise _bad(path, "no `functions` (an object) and no `cases` (a list)")
    checks: list[Check] = [partial(_unknown, section, "section") for section in content if section not in _NOTES]
    for name, values in functions.items():
        checks += _parsed(path, f"functions.{name}", partial(_function_checks, name, values))
    for place, job in enumerate(jobs):
        checks += _parsed(path, f"cases[{place}]", partial(_job_checks, job))
    for check in checks:
        yield check()


def _parsed(path: Path, where: str, parse: Callable[[], Iterable[Check]]) -> list[Check]:
    try:
        return list(parse())
    except _MALFORMED as error:
        raise _bad(path, f"{where}: {error or type(error).__name__}") from error


def _unknown(name: str, what: str) -> Case:
    return Case(name, ok=False, detail=f"a {what} that this version of the rule does not know")


def _value(name: str, wanted: Any, function: Callable[..., Any], *arguments: Any) -> Case:
    try:
        found = function(*arguments)
    except (SomaError, ValueError, ZeroDivisionError) as error:
        return Case(name, ok=False, detail=f"{error}, not {wanted}")
    return Case(name, ok=True) if found == wanted else Case(name, ok=False, detail=f"found {found}, not {wanted}")


def _function_checks(name: str, values: Any) -> Iterator[Check]:
    if name in _SCALARS:
        yield from _scalar_checks(name, values)
    elif name in _VECTORS:
        yield from _vector_checks(name, values)
    elif name == "table":
        for key, wanted in values.items():
            yield partial(_value, f"{name}[{key}]", wanted, f.table().__getitem__, range(1024).index(int(key)))
    elif name == "table_blake2b_256":
        f.table()  # which refuses to give any other
        yield partial(_value, name, values, str, f.TABLE_DIGEST)
    elif name != "table_note":
        yield partial(_unknown, name, "function")


def _scalar_checks(name: str, rows: Any) -> Iterator[Check]:
    """Rows of arguments with the result last."""
    function, count = _SCALARS[name]
    for row in rows:
        *arguments, wanted = map(_integer, row)
        if len(arguments) != count:
            raise ValueError(f"{row}: {count} arguments and a result belong here")
        yield partial(_value, f"{name}({', '.join(map(str, arguments))})", wanted, function, *arguments)


def _vector_checks(name: str, pairs: Any) -> Iterator[Check]:
    """Pairs of what is given and a vector."""
    function, read = _VECTORS[name]
    for place, (given, wanted) in enumerate(pairs):
        yield partial(_value, f"{name}[{place}]", wanted, lambda row: function(row).tolist(), read(given))


def _integers(row: Any) -> list[int]:
    return [_integer(n) for n in row]


def _rows(rows: Any) -> "NDArray[np.int64]":
    array = np.array([[_short(n) for n in row] for row in rows], np.int64)
    if array.ndim != 2:
        raise ValueError("rows of equal length belong here")
    return array


_SCALARS: Final[Mapping[str, tuple[Callable[..., int], int]]] = {
    "exp2neg": (f.exp2neg, 1),
    "log2q": (f.log2q, 1),
    "cosq": (f.cosq, 3),
    "half_even": (f.half_even, 2),
}
_VECTORS: Final[Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "quantise": (f.quant, _integers),
    "geometric_median": (f.geometric_median, _rows),
}


def _job_checks(job: Any) -> Iterator[Check]:
    unknown = [*_beyond(job, _CASE), *(key for member in job["members"] for key in _beyond(member, _MEMBER))]
    if unknown:
        yield partial(_unknown, str(job["name"]), f"field ({', '.join(sorted(set(unknown)))})")
        return
    answers = [_answer(place, member) for place, member in enumerate(job["members"])]
    settled = [np.array([_short(n) for n in row], np.int16) for row in job["settled"]]
    wanted = {str(key): value for key, value in job["result"].items()}
    yield partial(_run_job, str(job["name"]), _integer(job["pot"]), answers, settled, wanted)


def _answer(place: int, member: Any) -> Answer:
    if not all(type(member[key]) is bool for key in ("opaque", "own")):
        raise ValueError(f"members[{place}]: opaque and own are true or false")
    z = member["z"]
    return Answer(
        encoder=place.to_bytes(32, "big"),
        stake=_integer(member["stake"]),
        registered=_integer(member["reg"]),
        opaque=member["opaque"],
        own=member["own"],
        gate=_integer(member["G"]),
        loss=_integer(member["l"]),
        vector=None if z is None else np.array(_integers(z), np.int64),
        verdict=_VERDICTS[member["verdict"]],
    )


def _run_job(name: str, pot: int, answers: Sequence[Answer], settled: Sequence[Any], wanted: Mapping[str, Any]) -> Case:
    params = Params()
    settlement = SomaRule(params).settle(pot, answers, settled)
    found = _found(judge(params, pot, answers, settled), settlement)
    wrong = []
    for key, value in wanted.items():
        if key not in found:
            wrong.append(f"{key}: the rule finds no such value")
        elif _plain(found[key]) != _wanted(key, value):
            wrong.append(f"{key}: found {_plain(found[key])}, not {value}")
    if sum(payment.amount for payment in settlement.payments) != pot:
        wrong.append(f"payments: {settlement.payments} do not sum to the pot of {pot}")
    return Case(name, ok=not wrong, detail="; ".join(wrong))


def _found(judgement: Judgement, settlement: Settlement) -> Mapping[str, Any]:
    """Everything that a file may state of a job, by the names it uses: intermediate values, and what the chain gets."""
    return {
        "valid": set(judgement.judged),
        "silent": set(settlement.silent),
        "clone_of": judgement.founder,
        "dist": judgement.outliers.distance,
        "threshold": judgement.outliers.threshold,
        "flagged": set(judgement.outliers.flagged),
        "out": set(settlement.out),
        "slash": set(settlement.slashes),
        "A": judgement.scores,
        "G": settlement.gates,
        "d": judgement.differences,
        "c": judgement.factors,
        "p": settlement.weights,
        "joined": None if settlement.vector is None else settlement.vector.tolist(),
        "winner": settlement.winner,
        "weakest": settlement.weakest,
        "fine": {place: amount for place, amount in settlement.fines.items() if amount},
        "result": _result(settlement),
        "reexecute": set(settlement.reexecute),
        "payments": [[payment.to, payment.amount, payment.reason] for payment in settlement.payments],
        "slashed": settlement.slashes,
        "outlier_fine": {place: amount for place, amount in settlement.outlier_fines.items() if amount},
    }


def _result(settlement: Settlement) -> str:
    if settlement.outcome == "refunded":
        return "refund"
    return "settled" if settlement.winner is not None else "settled_without_winner"


def _plain(value: Any) -> Any:
    """A found value as JSON holds it: text for keys, a list in order of text for a set."""
    if isinstance(value, Mapping):
        return {str(key): entry for key, entry in sorted(value.items())}
    return sorted(value, key=str) if isinstance(value, set) else value


_SETS: Final = frozenset({"valid", "silent", "flagged", "out", "slash", "reexecute"})


def _wanted(key: str, value: Any) -> Any:
    """A stated value in the form of `_plain`: the order of a set says nothing, nor does a fine of 0."""
    if key in _SETS and isinstance(value, list):
        return sorted(value, key=str)
    if key in ("fine", "outlier_fine") and isinstance(value, dict):
        return {place: amount for place, amount in value.items() if amount}
    return value


def _beyond(value: Any, keys: set[str]) -> set[str]:
    """Keys of an object that are none of `keys`, all of which it must have."""
    if not isinstance(value, dict) or keys - set(value):
        raise ValueError(f"an object with {', '.join(sorted(keys))} belongs here")
    return set(value) - keys


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r:.40} is not an integer")
    return value


def _short(value: Any) -> int:
    if not -(1 << 15) <= _integer(value) < 1 << 15:
        raise ValueError(f"{value} is not a 16-bit integer")
    return int(value)


def _bad(path: Path, what: str) -> DecodeError:
    return DecodeError(f"{path}: {what}", "see specs/30-shard-rule.md for the format of a vector file")
