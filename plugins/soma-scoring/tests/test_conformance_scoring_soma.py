from soma_core.testing import ScoringSuite


class TestShardRule(ScoringSuite):
    plugin = "scoring-soma"
