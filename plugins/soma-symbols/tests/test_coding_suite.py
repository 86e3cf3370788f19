"""``coder-soma`` against the published suite, by every method."""

from types import MappingProxyType

from soma_core.testing import CoderSuite


class TestAdaptive(CoderSuite):
    plugin = "coder-soma"


class TestRuns(CoderSuite):
    plugin = "coder-soma"
    config = MappingProxyType({"method": "rle", "stream": "char"})


class TestPattern(CoderSuite):
    plugin = "coder-soma"
    config = MappingProxyType({"method": "pattern"})


class TestFrequency(CoderSuite):
    plugin = "coder-soma"
    config = MappingProxyType({"method": "frequency"})


class TestPatternOfBytes(CoderSuite):
    plugin = "coder-soma"
    config = MappingProxyType({"method": "pattern", "stream": "byte"})
