"""``scoring-soma``: the shard rule, and the live network's formulas for targets.

How encoders are drawn for a job, judged by their answers, and paid; where targets lie, who embeds for them, and how
near is a hit. A pure rule of integers: the same answers give the same settlement on every machine. Numpy is imported
when it opens. Rules R1 to R25 of ``specs/30-shard-rule.md``, rules TR1 to TR10 of ``specs/31-target-rules.md``.
"""

from typing import TYPE_CHECKING

from soma_core.api import HasTargets, ScoringSpec, hookimpl

from ._params import Params

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from soma_core.testing.cases import Case

__all__ = ["Params", "conformance_vectors", "open_rule", "soma_scoring"]


@hookimpl
def soma_scoring() -> ScoringSpec[Params]:
    """``scoring-soma``: joined by performance, paid to the best, outliers left out."""
    return ScoringSpec(
        api=1,
        rule_id="soma/shard",
        rule_version=1,
        params=Params,
        open=open_rule,
        features=frozenset({"targets"}),
    )


def open_rule(params: Params) -> HasTargets:
    """The rule under the constants that genesis gives."""
    from ._soma import SomaRule

    return SomaRule(params)


def conformance_vectors(file: "str | PathLike[str]") -> "Iterator[Case]":
    """One `Case` for each value of a vector file, under the default constants.

    The format is that of ``specs/vectors/shard_rule.json``. Raises `soma_core.errors.DecodeError` if `file` does not
    have it, OSError if it cannot be read.
    """
    from ._vectors import run_file

    yield from run_file(file)
