"""`index-qdrant`, in this process, is held to what every index is held to."""

from soma_core.testing import IndexSuite


class TestIndexQdrant(IndexSuite):
    plugin = "index-qdrant"
    many = 200  # each is a transaction of its own
