from soma_core.testing import ScoringSuite


class TestBalancedRule(ScoringSuite):
    plugin = "scoring-balanced"
