"""The pictures of a report, as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from soma_core.errors import UsageError

from .corpora import ALL
from .measures import Isotropy
from .report import Found, Report

COLOURS: Final = (
    "#3b6ea8",
    "#c8553d",
    "#5a9367",
    "#e0a030",
    "#7d5ba6",
    "#4b4b4b",
    "#3aa6a6",
    "#b06090",
    "#8a6d3b",
    "#6aa0d8",
)
"""One an encoder, in their order, and again from the first."""
TICKS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
BESIDE: Final = "#b8b8b8"


def prepare(folder: Path) -> None:
    """Make `folder`, before anything long begins. Raises `UsageError` if it cannot be, or if matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401  # whether it is there
    except ImportError as error:
        raise UsageError("drawing needs matplotlib", 'python3 -m pip install "soma-core[report]"') from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}", "name a folder that can be written") from error


def draw(report: Report, folder: Path) -> list[Path]:
    """Write what was measured into `folder`, one that is prepared. Returns the files.

    Raises `UsageError` if a file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    found = (*report.found.values(), *report.beside.values())
    pictures = {
        "bits": (_bits, bool(report.kinds)),
        "finding": (_finding, any(figure is not None for each in found for figure in _figures(each))),
        "agreement": (_agreement, bool(report.compared)),
        "spread": (_spread, bool(report.spread)),
    }
    written = []
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        for name, (picture, wanted) in pictures.items():
            if not wanted:
                continue
            figure = Figure(layout="constrained")
            picture(figure, report)
            path = folder / f"{name}.png"
            try:
                figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
            except OSError as error:
                raise UsageError(f"{path}: {error.strerror}", "name a folder that can be written") from error
            written.append(path)
    return written


def _colour(report: Report, name: str) -> str:
    return COLOURS[list(report.encoders).index(name) % len(COLOURS)]


def _bits(figure: Any, report: Report) -> None:
    """A group of bars for each kind of data, and two lines across it: xz, item by item and joined."""
    figure.set_size_inches(min(20, max(7, 1 + 0.28 * len(report.kinds) * (len(report.encoders) + 2))), 4.5)
    axes = figure.subplots()
    width = 0.8 / len(report.encoders)
    for place, name in enumerate(report.encoders):
        at = [i - 0.4 + width * (place + 0.5) for i in range(len(report.kinds))]
        bits = [np.nan if (value := kind.encoders[name]) is None else value for kind in report.kinds]
        axes.bar(at, bits, width * 0.92, color=_colour(report, name), label=_short(name))
    for i, kind in enumerate(report.kinds):
        for value, style, label in ((kind.xz.each, "-", "xz -9e, each"), (kind.xz.joined, ":", "xz -9e, joined")):
            axes.plot([i - 0.44, i + 0.44], [value, value], style, color="black", label=label if i == 0 else None)
    axes.set_xticks(range(len(report.kinds)), [_short(kind.kind) for kind in report.kinds])
    axes.set_ylabel("bits per byte, less is better")
    axes.set_title("What encoders need for a byte")
    figure.legend(loc="outside lower center", ncols=min(7, len(report.encoders) + 2), frameon=False)


def _finding(figure: Any, report: Report) -> None:
    """A panel each: docstring to code, digits, paraphrases. Encoders in colour, what needs no model in grey."""
    every = {**report.found, **report.beside}
    titles = ("code of a docstring\nR@10", "digits\n5 nearest neighbours", "paraphrases\nAUC")
    tables = [{name: _figures(each)[i] for name, each in every.items()} for i in range(3)]
    shown = [(t, table) for t, table in zip(titles, tables, strict=True) if any(v is not None for v in table.values())]
    figure.set_size_inches(1.5 + 2.8 * len(shown), 1.4 + 0.34 * len(every))
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    names = list(every)
    for axes, (title, table) in zip(panels, shown, strict=True):
        for row, name in enumerate(names):
            value = table[name]
            if value is None:
                continue
            axes.barh(row, value, 0.75, color=_colour(report, name) if name in report.found else BESIDE)
            inside = value > 0.8
            axes.text(
                value + (-0.02 if inside else 0.02),
                row,
                f"{value:.3f}",
                va="center",
                ha="right" if inside else "left",
                color="white" if inside and name in report.found else "black",
            )
        axes.set_xlim(0, 1)
        axes.set_title(title, fontsize=9)
    panels[0].set_yticks(range(len(names)), [_short(name) for name in names])
    panels[0].invert_yaxis()


def _agreement(figure: Any, report: Report) -> None:
    """Two tables in colour: the part of neighbours in common, and the centred cosine, where there is a common frame."""
    names = list(report.encoders)
    overlap, cosine = np.full((2, len(names), len(names)), np.nan)
    overlap[np.diag_indices(len(names))] = cosine[np.diag_indices(len(names))] = 1
    for each in report.compared:
        i, j = names.index(each.one), names.index(each.other)
        overlap[i, j] = overlap[j, i] = each.overlap
        cosine[i, j] = cosine[j, i] = np.nan if each.cosine is None else each.cosine
    side = 1.6 + 0.62 * len(names)
    figure.set_size_inches(2 * side + 0.4, side + 0.4)
    panels = figure.subplots(1, 2)
    for axes, table, title in zip(panels, (overlap, cosine), ("same neighbours", "centred cosine"), strict=True):
        axes.imshow(np.clip(table, 0, 1), cmap="YlGnBu", vmin=0, vmax=1)
        for (i, j), value in np.ndenumerate(table):
            text = "–" if np.isnan(value) else f"{value:.2f}"
            axes.text(j, i, text, ha="center", va="center", color="white" if value > 0.55 else "black", fontsize=8)
        labels = [_short(name) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), labels)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_title(title, fontsize=10)


def _spread(figure: Any, report: Report) -> None:
    """How much variance the first components have, in the encoder's own vectors and in the frame; and how collapsed."""
    every = [each for each in report.spread if each.kind == ALL]
    figure.set_size_inches(13, max(4.6, 1.6 + 0.45 * len(every)))
    own, framed, collapsed = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    _variances(own, report, [(each.encoder, each.raw) for each in every])
    _variances(framed, report, [(each.encoder, each.framed) for each in every])
    own.set_title("the encoder's own vectors", fontsize=10)
    own.set_ylabel("share of variance in so many components")
    framed.set_title("in the network's frame", fontsize=10)
    for row, each in enumerate(every):
        for up, what, alpha, name in ((-0.2, each.raw_collapse, 1, "own"), (0.2, each.framed_collapse, 0.5, "frame")):
            collapsed.barh(row + up, what.times, 0.38, color=_colour(report, each.encoder), alpha=alpha)
            collapsed.text(what.times * 1.06, row + up, f"{name} {what.times:.1f}", va="center", fontsize=8)
    most = max(max(each.raw_collapse.times, each.framed_collapse.times) for each in every)
    _count(collapsed, 4 * max(1, most))
    collapsed.set_xlim(left=0.5)
    collapsed.axvline(1, color="black", linestyle=":")
    collapsed.set_yticks(range(len(every)), [_short(each.encoder) for each in every])
    collapsed.invert_yaxis()
    collapsed.set_xlabel("times a normal cloud, which is 1")
    collapsed.set_title("collapse", fontsize=10)
    handles, labels = own.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False)


def _variances(axes: Any, report: Report, spreads: Sequence[tuple[str, Isotropy]]) -> None:
    longest = max(len(spread.spectrum) for _, spread in spreads)
    for name, spread in spreads:
        summed = np.cumsum(spread.spectrum)
        axes.plot(range(1, len(summed) + 1), summed, color=_colour(report, name), label=_short(name))
    axes.plot(range(1, longest + 1), np.arange(1, longest + 1) / longest, ":", color="black", label="evenly spread")
    _count(axes, max(2, longest))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("components")


def _count(axes: Any, most: float) -> None:
    """A logarithmic axis from 1 to `most`, with plain numbers at it."""
    ticks = [tick for tick in TICKS if tick <= most]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(1, most)


def _figures(found: Found) -> Sequence[float | None]:
    return (None if found.functions is None else found.functions.ten, found.digits, found.paraphrases)


def _short(name: str, most: int = 21) -> str:
    """Both ends of a long name: names differ at either."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2) :]}"
