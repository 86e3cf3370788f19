"""What every index stands on: the checks of arguments, a durable store, an exact scan, and the recall it measures.

Plugins of the kind ``index`` may import this. It imports numpy.
"""

from ._checks import Batch, checked_batch, checked_ids, checked_queries, unit
from ._lock import OneOpening
from ._naming import kept_name
from ._recall import measured_recall
from ._scan import nearest
from ._store import Store

__all__ = [
    "Batch",
    "OneOpening",
    "Store",
    "checked_batch",
    "checked_ids",
    "checked_queries",
    "kept_name",
    "measured_recall",
    "nearest",
    "unit",
]
