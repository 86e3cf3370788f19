"""``coder-soma`` against the published suite."""

from soma_core.testing import CoderSuite


class TestAdaptive(CoderSuite):
    plugin = "coder-soma"
