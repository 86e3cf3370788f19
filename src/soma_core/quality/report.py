"""From corpora and what encoders answered to figures. Rules EQ17 and EQ18 of ``specs/61-report.md``."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from soma_core.model import agreement

from .corpora import ALL, Corpora
from .measures import (
    NEIGHBOURS,
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

LEAST: Final = 2
"""Items of which something can be said: an encoder that takes fewer has no figure."""

Matrix = NDArray[np.float64]


@frozen(eq=False)
class Reading:
    """What an encoder answered to one part. `raw`: its own vectors [n, d], `framed`: directions in the frame [n, D].

    `taken`: which of the part's items, bool [N], n of them true. `bits`: per byte of each, [n], or none without losses.
    """

    taken: NDArray[np.bool_]
    raw: NDArray[Any]
    framed: NDArray[Any]
    bits: NDArray[Any] | None


Readings = Mapping[str, Reading]
"""By the names of `Corpora.parts`."""


@frozen
class Kind:
    """Bits per byte of one kind of data. `encoders`: by name, None where there are no losses or too few items taken."""

    kind: str
    items: int
    size: int
    xz: Xz
    encoders: Mapping[str, float | None]


@frozen
class Found:
    """What vectors find; None where it was not asked or cannot be said."""

    functions: Retrieval | None
    digits: float | None
    paraphrases: float | None


@frozen(eq=False)
class Spread:
    """How the vectors of one kind, or of all, are spread: the encoder's own, and in the network's frame."""

    encoder: str
    kind: str
    raw: Isotropy
    raw_collapse: Collapse
    framed: Isotropy
    framed_collapse: Collapse


@frozen
class Compared:
    """How two encoders agree about the same items. `cosine`, `times_chance`: None without a common frame."""

    one: str
    other: str
    items: int
    overlap: float
    cosine: float | None
    times_chance: float | None


@frozen(eq=False)
class Report:
    """Everything. `beside`: what needs no model, by name. `own`: kinds that are folders which somebody named."""

    encoders: Sequence[str]
    kinds: Sequence[Kind]
    found: Mapping[str, Found]
    beside: Mapping[str, Found]
    spread: Sequence[Spread]
    compared: Sequence[Compared]
    counts: Mapping[str, int]
    own: Sequence[str] = ()

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "counts": dict(self.counts),
            "bits_per_byte": [asdict(kind) for kind in self.kinds],
            "found": {name: asdict(found) for name, found in self.found.items()},
            "beside": {name: asdict(found) for name, found in self.beside.items()},
            "spread": [_spread(each) for each in self.spread],
            "agreement": [asdict(each) for each in self.compared],
        }


def measure(corpora: Corpora, readings: Mapping[str, Readings]) -> Report:
    """All figures. `readings`: by encoder."""
    kinds = {kind: f"kind {kind}" for kind in corpora.kinds}
    return Report(
        encoders=tuple(readings),
        kinds=[_bits(kind, items, readings, kinds[kind]) for kind, items in corpora.kinds.items()],
        found={name: _found(corpora, answered) for name, answered in readings.items()},
        beside=_beside(corpora),
        spread=[each for name, answered in readings.items() for each in _spreads(name, answered, kinds)],
        compared=[
            each
            for (one, its), (other, others) in combinations(readings.items(), 2)
            if (each := _compared(one, its, other, others, list(kinds.values()))) is not None
        ],
        counts={name: len(items) for name, items in corpora.parts().items()},
        own=corpora.own,
    )


def _bits(kind: str, items: Sequence[bytes], readings: Mapping[str, Readings], part: str) -> Kind:
    sizes = np.array([len(item) for item in items])

    def mean(read: Reading) -> float | None:
        if read.bits is None or read.taken.sum() < min(LEAST, len(items)):
            return None
        return float(np.average(read.bits, weights=sizes[read.taken]))

    encoders = {name: mean(answered[part]) for name, answered in readings.items()}
    return Kind(kind, len(items), int(sizes.sum()), xz(items), encoders)


def _found(corpora: Corpora, answered: Readings) -> Found:
    functions = digits = paraphrases = None
    if both := _both(answered, "docstrings", "bodies"):
        functions = retrieval(*both)
    if "digits" in answered and answered["digits"].taken.sum() >= LEAST:
        digits = knn_accuracy(answered["digits"].framed, corpora.digits.labels[answered["digits"].taken])
    if both := _both(answered, "ones", "others"):
        paraphrases = auc(*pair_cosines(*both))
    return Found(functions, digits, paraphrases)


def _beside(corpora: Corpora) -> dict[str, Found]:
    """What bytes alone find, what the digits' pixels do, and what chance does."""
    functions, digits, pairs = corpora.functions, corpora.digits, corpora.pairs
    n = len(functions.bodies)
    chance = Retrieval(1 / n, min(1.0, 10 / n), float(np.mean(1 / np.arange(1, n + 1)))) if n else None
    most = float(np.unique(digits.labels, return_counts=True)[1].max() / len(digits.labels)) if digits.items else None
    found = {
        "byte runs": Found(
            retrieval(ngrams(functions.docstrings), ngrams(functions.bodies)) if n else None,
            knn_accuracy(ngrams(digits.items), digits.labels) if digits.items else None,
            auc(*pair_cosines(ngrams(pairs.ones), ngrams(pairs.others))) if pairs.ones else None,
        ),
        "pixels": Found(None, knn_accuracy(digits.pixels, digits.labels) if digits.items else None, None),
        "chance": Found(chance, most, 0.5 if pairs.ones else None),
    }
    return {name: each for name, each in found.items() if any(x is not None for x in asdict(each).values())}


def _spreads(name: str, answered: Readings, kinds: Mapping[str, str]) -> list[Spread]:
    groups = {ALL: list(kinds.values())} | {kind: [part] for kind, part in kinds.items()}
    out = []
    for kind, parts in groups.items() if kinds else ():
        raw, framed = (np.concatenate([getattr(answered[part], what) for part in parts]) for what in ("raw", "framed"))
        if len(raw) >= LEAST:
            out.append(Spread(name, kind, isotropy(raw), collapse(raw), isotropy(framed), collapse(framed)))
    return out


def _compared(one: str, its: Readings, other: str, others: Readings, parts: Sequence[str]) -> Compared | None:
    """Over all kinds' items that both take."""
    a, b = [], []
    for part in parts:
        both = its[part].taken & others[part].taken
        a.append(its[part].framed[both[its[part].taken]])
        b.append(others[part].framed[both[others[part].taken]])
    if sum(map(len, a)) < LEAST:
        return None
    mine, theirs = np.concatenate(a), np.concatenate(b)
    agreed = agreement(mine, theirs) if mine.shape == theirs.shape else None
    return Compared(
        one=one,
        other=other,
        items=len(mine),
        overlap=neighbour_overlap(mine, theirs, NEIGHBOURS),
        cosine=None if agreed is None else agreed.cosine,
        times_chance=None if agreed is None else agreed.retrieval * agreed.items,
    )


def _both(answered: Readings, one: str, other: str) -> tuple[Matrix, Matrix] | None:
    """The vectors of two parts whose rows belong together, of the rows that were taken in both."""
    if one not in answered:
        return None
    a, b = answered[one], answered[other]
    both = a.taken & b.taken
    if both.sum() < LEAST:
        return None
    return a.framed[both[a.taken]], b.framed[both[b.taken]]


def _spread(each: Spread) -> dict[str, Any]:
    def told(spread: Isotropy, collapsed: Collapse) -> dict[str, Any]:
        of = asdict(spread)
        return {
            **{name: value for name, value in of.items() if name != "spectrum"},
            "collapse": asdict(collapsed) | {"times": collapsed.times},
            "spectrum": [float(share) for share in spread.spectrum],
        }

    return {
        "encoder": each.encoder,
        "kind": each.kind,
        "raw": told(each.raw, each.raw_collapse),
        "framed": told(each.framed, each.framed_collapse),
    }
