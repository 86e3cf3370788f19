"""`index-chroma` is held to what every index is held to."""

from soma_core.testing import IndexSuite


class TestIndexChroma(IndexSuite):
    plugin = "index-chroma"
