"""`index-exact` is held to what every index is held to."""

from soma_core.testing import IndexSuite


class TestIndexExact(IndexSuite):
    plugin = "index-exact"
