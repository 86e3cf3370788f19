"""``scoring-balanced``: the shard rule, with targets that data can hit and that stake alone does not decide.

Rules TR11 to TR20 of ``specs/31-target-rules.md``.
"""

from soma_core.api import HasTargets, ScoringSpec, hookimpl

from ._params import BalancedParams as Params

__all__ = ["Params", "open_rule", "soma_scoring"]


@hookimpl
def soma_scoring() -> ScoringSpec[Params]:
    """``scoring-balanced``: as ``scoring-soma``, with targets on the data's own manifold."""
    return ScoringSpec(
        api=1,
        rule_id="soma/balanced",
        rule_version=1,
        params=Params,
        open=open_rule,
        features=frozenset({"targets"}),
    )


def open_rule(params: Params) -> HasTargets:
    """The rule under the constants that genesis gives."""
    from ._balanced import BalancedRule

    return BalancedRule(params)
