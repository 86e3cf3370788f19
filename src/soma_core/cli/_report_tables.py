"""A report on encoders as tables."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._print import columns

if TYPE_CHECKING:
    from soma_core.quality import Found, Report

NONE = "–"


def lines(report: "Report") -> Iterator[str]:
    """Everything that was measured, a table each."""
    parts = (_bits(report), _found(report), _agreement(report), _spread(report))
    for number, (title, rows) in enumerate((title, rows) for title, rows in parts if len(rows) > 1):
        if number:
            yield ""
        yield title
        yield from columns(_right(rows))


def _bits(report: "Report") -> tuple[str, list[list[str]]]:
    rows = [["data", "items", "bytes", "xz each", "xz joined", *report.encoders]]
    for kind in report.kinds:
        bits = [_number(kind.encoders[name], 3) for name in report.encoders]
        rows.append(
            [kind.kind, str(kind.items), f"{kind.size:,}", f"{kind.xz.each:.3f}", f"{kind.xz.joined:.3f}", *bits]
        )
    return "Bits per byte (less is better), beside xz -9e", rows


def _found(report: "Report") -> tuple[str, list[list[str]]]:
    rows = [["encoder", "code R@1", "R@10", "MRR", "digits", "paraphrases"]]
    rows += [[name, *_cells(found)] for name, found in (*report.found.items(), *report.beside.items())]
    said = [i for i in range(len(rows[0])) if i == 0 or any(row[i] != NONE for row in rows[1:])]
    tasks = {"bodies": "the code of {} docstrings", "digits": "the label of {} digits", "ones": "{} paraphrases (AUC)"}
    asked = [text.format(report.counts[part]) for part, text in tasks.items() if part in report.counts]
    return f"What vectors find (more is better): {', '.join(asked)}", [[row[i] for i in said] for row in rows if asked]


def _cells(found: "Found") -> list[str]:
    code = found.functions
    figures = (None, None, None) if code is None else (code.first, code.ten, code.reciprocal)
    return [_number(figure, 3) for figure in (*figures, found.digits, found.paraphrases)]


def _agreement(report: "Report") -> tuple[str, list[list[str]]]:
    rows = [["encoder", "other", "items", "same neighbours", "centred cosine", "retrieval, × chance"]]
    for each in report.compared:
        figures = (_number(each.overlap, 3), _number(each.cosine, 3), _number(each.times_chance, 1))
        rows.append([each.one, each.other, str(each.items), *figures])
    return "Agreement of two encoders about the same items", rows


def _spread(report: "Report") -> tuple[str, list[list[str]]]:
    rows = [
        [
            "encoder",
            "data",
            "vectors",
            "mean cosine",
            "rank",
            "of largest",
            "first part",
            "collapse, × normal",
        ]
    ]
    for each in report.spread:
        if each.kind not in ("all", *report.own):
            continue
        for what, spread, collapsed in (
            ("own", each.raw, each.raw_collapse),
            ("in the frame", each.framed, each.framed_collapse),
        ):
            figures = (
                _number(spread.cosine, 3),
                _number(spread.rank, 1),
                f"{spread.rank_share:.0%}",
                f"{spread.first:.0%}",
                _number(collapsed.times, 1),
            )
            rows.append([each.encoder, each.kind, what, *figures])
    return "How vectors are spread", rows


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _right(rows: list[list[str]]) -> list[list[str]]:
    """Numbers under each other by their ends, and their headings with them."""
    numeric = [all(row[i][:1] in "-0123456789–" for row in rows[1:]) for i in range(len(rows[0]))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        [cell.rjust(width) if number else cell for cell, width, number in zip(row, widths, numeric, strict=True)]
        for row in rows
    ]
