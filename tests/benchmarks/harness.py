"""Measuring side by side: candidates take turns, so that a busy machine slows all of them, and medians are compared."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles

from attrs import frozen


@frozen(kw_only=True)
class Row:
    """One line of the table. `ratio`: the median of paired ratios, above 1 where ours is faster, or what `what` says.

    `low`, `high`: its quartiles. `repeats`: how many pairs. `least`: the ratio that is required, where one is.
    """

    what: str
    measured: str
    against: str
    ratio: float
    low: float
    high: float
    repeats: int
    least: float | None = None

    @property
    def missed(self) -> bool:
        """Whether less was reached than is required."""
        return self.least is not None and self.ratio < self.least


@frozen
class Taken:
    """What every candidate measured, in the order of the turns."""

    values: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        return median(self.values[name])

    def ratio(self, over: str, under: str) -> tuple[float, float, float]:
        """Median and quartiles of `over` / `under`, turn by turn."""
        return spread([a / b for a, b in zip(self.values[over], self.values[under], strict=True)])


def interleaved(candidates: Mapping[str, Callable[[], float]], repeats: int, *, warm: int = 1) -> Taken:
    """A B A B …: each candidate in turn, `repeats` times, after `warm` turns that do not count."""
    for _ in range(warm):
        for run in candidates.values():
            run()
    values: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(repeats):
        # Every other turn backwards: what follows a candidate never only burdens the same one.
        for name in candidates if turn % 2 == 0 else reversed(candidates):
            values[name].append(candidates[name]())
    return Taken(values)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """(median, lower quartile, upper quartile)."""
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return middle, low, high
