"""`index-sqlite-vec` is held to what every index is held to."""

from soma_core.testing import IndexSuite


class TestIndexSqliteVec(IndexSuite):
    plugin = "index-sqlite-vec"
