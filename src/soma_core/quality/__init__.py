"""How good encoders are, in figures: what they are tried on, what is measured, how it is drawn.

Behind ``soma encoder report``; rules in ``specs/61-report.md``. NumPy imports with this package: nothing imports it
before a report is asked for.
"""

from .corpora import Corpora, Digits, Functions, Pairs, Sizes, gather
from .drawing import draw, prepare
from .measures import (
    Collapse,
    Isotropy,
    Retrieval,
    Xz,
    auc,
    collapse,
    isotropy,
    knn_accuracy,
    neighbour_overlap,
    ngrams,
    pair_cosines,
    retrieval,
    xz,
)
from .report import Compared, Found, Kind, Reading, Report, Spread, measure

__all__ = [
    "Collapse",
    "Compared",
    "Corpora",
    "Digits",
    "Found",
    "Functions",
    "Isotropy",
    "Kind",
    "Pairs",
    "Reading",
    "Report",
    "Retrieval",
    "Sizes",
    "Spread",
    "Xz",
    "auc",
    "collapse",
    "draw",
    "gather",
    "isotropy",
    "knn_accuracy",
    "measure",
    "neighbour_overlap",
    "ngrams",
    "pair_cosines",
    "prepare",
    "retrieval",
    "xz",
]
