"""The picture of an economy: what everybody has earned, epoch by epoch."""

from pathlib import Path
from typing import Any, Final

from soma_core.errors import UsageError

from .run import Account, Report

LABELS: Final = 40
"""Names beside the lines, in the order of what they have earned."""


def draw(report: Report, path: Path) -> None:
    """Write a PNG to `path`. Raises `UsageError` if matplotlib is missing or the file cannot be written."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("drawing needs matplotlib", 'python3 -m pip install "soma-core[draw]"') from error
    with mpl.rc_context({"font.size": 8, "svg.hashsalt": "soma"}):
        figure = Figure(figsize=(12, 9), layout="constrained")
        encoders, hunters = figure.subplots(2, 1, height_ratios=(2, 1))
        _lines(encoders, [one for one in report.accounts if one.what.startswith("encoder")])
        _lines(hunters, [one for one in report.accounts if one.what.startswith("hunter")])
        encoders.set_title(
            f"Who earned what: {report.setting.rule}, seed {report.setting.seed}, {report.epochs} epochs"
        )
        encoders.set_ylabel("encoders, SOMA")
        hunters.set_ylabel("hunters, SOMA")
        hunters.set_xlabel("epoch")
        try:
            figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "name a file that can be written") from error


def _lines(axes: Any, accounts: list[Account]) -> None:
    """A line each: green for the honest, red for others; those that lost a stake leave the others their scale."""
    for one in accounts:
        axes.plot(range(1, len(one.earned) + 1), one.earned, color=_colour(one), linewidth=1.0)
    axes.set_yscale("symlog", linthresh=10)
    axes.axhline(0, color="black", linewidth=0.5)
    axes.margins(x=0.02)
    ranked = sorted(accounts, key=lambda one: -one.total)[:LABELS]
    for rank, one in enumerate(ranked):  # one under the other, or nobody could read those that are near each other
        text = f"{one.name.replace('_', ' ')}  {one.total:+.1f}"
        place = (1.01, 1 - (rank + 0.5) / len(ranked))
        axes.annotate(text, place, xycoords="axes fraction", fontsize=6, va="center", color=_colour(one))


def _colour(one: Account) -> tuple[float, float, float, float]:
    return (0.1, 0.5, 0.2, 0.8) if one.what.endswith("honest") else (0.8, 0.1, 0.1, 0.8)
