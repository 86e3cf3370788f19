"""Reference figures of the commit rule: message delays from a block's making to its commit, exact to the step."""

from fractions import Fraction

import pytest
import toy_engines

from soma_core.testing.simulation import plugin_engines
from soma_core.testing.simulation.delays import measure


@pytest.mark.parametrize(("nodes", "leaders"), [(4, 1), (7, 1), (4, 2), (4, 4)])
def test_leaders_commit_after_three_delays(nodes: int, leaders: int) -> None:
    delays = measure(plugin_engines("consensus-dag", params={"leaders_per_round": leaders}), nodes, seconds=12)
    assert delays.counted > 300
    assert delays.leaders == delays.leaders_most == 3
    assert delays.blocks <= Fraction(3 * leaders + 4 * (nodes - leaders), nodes)


def test_a_dictator_is_quicker_where_all_believe_him() -> None:
    """That the measure measures: a follower delivers after one delay."""
    delays = measure(toy_engines.engines(), 4, seconds=8)
    assert delays.leaders == Fraction(3, 4)
