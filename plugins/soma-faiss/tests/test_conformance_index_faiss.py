"""`index-faiss` is held to what every index is held to: as it comes, and where FAISS answers even for a handful."""

from collections.abc import Mapping
from typing import ClassVar

from soma_core.testing import IndexSuite


class TestIndexFaiss(IndexSuite):
    plugin = "index-faiss"


class TestGraphOfFew(IndexSuite):
    plugin = "index-faiss"
    config: ClassVar[Mapping[str, object]] = {"scan_below": 0}


class TestListsOfFew(IndexSuite):
    plugin = "index-faiss"
    config: ClassVar[Mapping[str, object]] = {"kind": "ivf", "scan_below": 0}
