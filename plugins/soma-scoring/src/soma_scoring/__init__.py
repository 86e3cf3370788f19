"""``scoring-soma``: the shard rule. How encoders are drawn for a job, judged by their answers, and paid.

A pure rule of integers: the same answers give the same settlement on every machine. Numpy is imported when it opens.
Rules R1 to R24 of ``specs/30-shard-rule.md``.
"""

from typing import TYPE_CHECKING

from soma_core.api import ScoringRule, ScoringSpec, hookimpl

from ._params import Params

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from soma_core.testing.cases import Case

__all__ = ["Params", "conformance_vectors", "open_rule", "soma_scoring"]


@hookimpl
def soma_scoring() -> ScoringSpec[Params]:
    """``scoring-soma``: joined by performance, paid to the best, outliers left out."""
    return ScoringSpec(api=1, rule_id="soma/shard", rule_version=1, params=Params, open=open_rule)


def open_rule(params: Params) -> ScoringRule:
    """The rule under the constants that genesis gives."""
    from ._rule import ShardRule

    return ShardRule(params)


def conformance_vectors(file: "str | PathLike[str]") -> "Iterator[Case]":
    """One `Case` for each function value and each job of a vector file, under the default constants.

    The format is that of ``specs/vectors/shard_rule.json``. Raises `soma_core.errors.DecodeError` if `file` does not
    have it, OSError if it cannot be read.
    """
    from ._vectors import run_file

    yield from run_file(file)
