"""Files of the format ``soma-chain-cases/1`` (rule TR21 of ``specs/31-target-rules.md``): the ledger's sums."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from soma_core.api import Difficulty, HasTargets
from soma_core.chain.powers import parts, voting_powers
from soma_core.errors import DecodeError

from .cases import Case

FORMAT: Final = "soma-chain-cases/1"


def run_chain_cases(rule: HasTargets, content: Mapping[str, Any]) -> Iterator[Case]:
    """A `Case` for each case of a decoded file. What it says of targets is asked of `rule`, the rest of the chain.

    Raises `DecodeError` before the first, if a case is not of its section's form.
    """
    checks = []
    for section, cases in content.items():
        if section in ("format", "title"):
            continue
        run = _SECTIONS.get(section)
        if run is None or not isinstance(cases, list):
            checks.append(partial(Case, section, ok=False, detail="a section that this version does not know"))
            continue
        for place, case in enumerate(cases):
            try:
                found = run(rule, case["in"])
                wanted = case["out"]
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
                raise DecodeError(
                    f"{section}[{place}]: {error or type(error).__name__}", "see rule TR21 of specs/31-target-rules.md"
                ) from error
            detail = "" if found == wanted else f"found {found}, not {wanted}"
            checks.append(partial(Case, f"{section}[{place}]", ok=found == wanted, detail=detail))
    for check in checks:
        yield check()


def _rows(rows: Any) -> Any:
    return [np.array(row, np.int16) for row in rows]


def _assignment(rule: HasTargets, given: Any) -> Any:
    (point,) = _rows([given["point"]])
    (places,) = rule.assign([point], _rows(given["positions"]), given["stakes"], given["k"])
    return list(places)


def _points(rule: HasTargets, given: Any) -> Any:
    return rule.point(bytes.fromhex(given["beacon"]), _rows(given["observed"])).tolist()


def _difficulty(rule: HasTargets, given: Any) -> Any:
    observed = [np.ones(given["dimension"], np.int16)]
    if "hits" not in given:
        found = rule.start(observed)
    else:
        old = Difficulty(given["radius"], given["memory"])
        found = rule.radius(old, given["hits"], given["goal"], observed)
    return {"radius": found.radius, "memory": found.memory}


def _voting_power(_rule: HasTargets, given: Any) -> Any:
    return list(voting_powers([(stake, place.to_bytes(32, "big")) for place, stake in enumerate(given["stakes"])]))


def _splits(_rule: HasTargets, given: Any) -> Any:
    return parts(given["amount"], given["weights"])


_SECTIONS: Final[Mapping[str, Callable[[HasTargets, Any], Any]]] = {
    "assignment": _assignment,
    "points": _points,
    "difficulty": _difficulty,
    "voting_power": _voting_power,
    "splits": _splits,
}
