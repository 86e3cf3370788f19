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
