"""The four sample files of the demo: a text and a source file written for it, a crop of a photograph, a guitar."""

import io
from pathlib import Path

import _pictures
import _sounds
import numpy as np

NOTE = """\
A lighthouse keeper once kept two books. In the first he wrote what the lamp had done each night: when it was lit, how
much oil it burned, how often the glass had to be wiped. In the second he wrote what he had seen: the ships that passed,
the weather they brought with them, and the birds that rested on the rail before they went on towards the south.

The company asked for the first book every month and never for the second. Yet when a ship was lost off the point one
winter, and nobody could say which way she had turned, it was the second book that told them. The keeper had written
that a lamp was moving slowly from the west a little after four, that it stood still for some minutes, and that it then
went out behind the rain. They found the boats where he had said, and eleven people in them who were cold and alive.

After that the company sent him a new book with ruled pages, and asked that he write in it whatever he thought worth
seeing. He thanked them and went on as before, because he had never done anything else.
"""

PATHS = '''\
"""Shortest paths in a weighted graph."""

import heapq
from collections.abc import Iterable, Mapping


class Graph:
    """A directed graph whose edges carry a length that is not negative."""

    def __init__(self, edges: Iterable[tuple[str, str, float]] = ()) -> None:
        self._edges: dict[str, dict[str, float]] = {}
        for start, end, length in edges:
            self.connect(start, end, length)

    def connect(self, start: str, end: str, length: float) -> None:
        """Add an edge, or shorten the one that is there."""
        if length < 0:
            raise ValueError(f"the edge from {start} to {end} has the negative length {length}")
        known = self._edges.setdefault(start, {})
        known[end] = min(length, known.get(end, length))
        self._edges.setdefault(end, {})

    def neighbours(self, node: str) -> Mapping[str, float]:
        """Nodes that one edge leads to, with its length."""
        return self._edges[node]

    def distances(self, source: str) -> dict[str, float]:
        """The length of the shortest path from `source` to every node that can be reached (Dijkstra 1959)."""
        found: dict[str, float] = {}
        queue = [(0.0, source)]
        while queue:
            distance, node = heapq.heappop(queue)
            if node in found:
                continue
            found[node] = distance
            for other, length in self.neighbours(node).items():
                if other not in found:
                    heapq.heappush(queue, (distance + length, other))
        return found


def main() -> None:
    """Print the distances of a small example."""
    graph = Graph([("a", "b", 7), ("a", "c", 3), ("c", "b", 1), ("b", "d", 2), ("c", "d", 8)])
    for node, distance in sorted(graph.distances("a").items()):
        print(f"{node}: {distance:g}")


if __name__ == "__main__":
    main()
'''


def write(folder: Path, packages: Path, seed: int) -> None:
    """The four files into `folder`. Picture and sound come from the held-out part of their sources."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "note.txt").write_text(NOTE, "utf-8")
    (folder / "paths.py").write_text(PATHS, "utf-8")
    temple = _pictures.unseen_photographs("upper")[1]
    out = io.BytesIO()
    temple.crop((60, 0, 220, 100)).save(out, "JPEG", quality=85)
    (folder / "temple.jpg").write_bytes(out.getvalue())
    recorded = dict(_sounds.recordings(packages)["heldout"])
    rng = np.random.default_rng([seed, 9])
    (folder / "glass.wav").write_bytes(_sounds.clip(rng, recorded["ambi_glass_hum"], 12_000))
