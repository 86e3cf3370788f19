"""What a node's index found, as people and programs read it."""

import time
from pathlib import Path
from typing import Any, Final

from soma_core.api import control, searching
from soma_core.errors import RefusedError

from ._client import Node
from ._embedding import name_of, receipt_path
from ._print import columns, printable

SHOWN: Final = 60
"""Characters of the beginning of data."""


def need_index(node: Node) -> None:
    """Raise `RefusedError` if the node keeps no index: before anything is paid."""
    if node.ask(control.STATUS, control.Empty()).vectors is None:
        raise RefusedError(
            "the node keeps no index",
            "run it with --plugin index-exact beside its other plugins, or add that to `plugins` in its soma.toml",
        )


def lines(found: searching.Found, keep: Path) -> list[str]:
    """A table, best first. `keep`: where this client keeps receipts and names."""
    rows = [
        (
            f"{near.similarity / searching.ONE:7.3f}",
            near.job.hex()[:12],
            f"{near.size:,}",
            near.winner,
            time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(near.time / 1000)),
            name_of(keep, near.job) or beginning(near) or f"blob {near.blob.hex()[:12]}",
        )
        for near in found.found
    ]
    if not rows:
        return []
    return [printable(line) for line in columns([(" cosine", "job", "bytes", "winner", "UTC", "what"), *rows])]


def as_json(found: searching.Found, keep: Path) -> dict[str, Any]:
    """The same for programs. `similarity`: the cosine. What is not known is null."""
    return {
        "job": found.job.hex() or None,
        "among": found.among,
        "behind": found.behind,
        "found": [
            {
                "job": near.job.hex(),
                "similarity": near.similarity / searching.ONE,
                "blob": near.blob.hex(),
                "bytes": near.size,
                "time_ms": near.time,
                "epoch": near.epoch,
                "winner": near.winner or None,
                "final": near.final,
                "name": printable(name_of(keep, near.job)) or None,
                "held": near.held,
                "preview": beginning(near) or None,
                "receipt": str(saved) if (saved := receipt_path(keep, near.job)).exists() else None,
            }
            for near in found.found
        ],
    }


def beginning(near: searching.Near) -> str:
    """The first line of the data, as far as the node said it; of what is no text, its bytes."""
    data = near.preview
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3 or len(data) < searching.PREVIEW:  # not merely cut
            return data[: SHOWN // 4].hex(" ")
        text = data[: error.start].decode("utf-8")
    first = next((line for line in text.splitlines() if line.strip()), "").strip()
    return printable(first[:SHOWN])
