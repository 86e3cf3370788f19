"""How long a member's disk, signer, checker and chain take: microseconds, drawn each time."""

from random import Random
from typing import Final, final

from attrs import define

from .heap import MS

SYNCS: Final = (200, 2 * MS)
APPLIES: Final = (200, 3 * MS)


@final
@define(eq=False)
class Tempo:
    """Each span is (least, most). `sync` and `apply` are made slow by accidents."""

    random: Random
    syncs: tuple[int, int] = SYNCS
    applies: tuple[int, int] = APPLIES
    verifies: tuple[int, int] = (50, 3 * MS)
    signs: tuple[int, int] = (50, MS)
    pulls: tuple[int, int] = (50, MS)
    loads: tuple[int, int] = (50, MS)
    tells: tuple[int, int] = (0, MS)

    def sync(self) -> int:
        """Of all that waits to be on disk."""
        return self._draw(self.syncs)

    def apply(self) -> int:
        """Of one commit by the chain."""
        return self._draw(self.applies)

    def verify(self) -> int:
        """Of the signatures and payload of a message."""
        return self._draw(self.verifies)

    def sign(self) -> int:
        """Of one signature."""
        return self._draw(self.signs)

    def pull(self) -> int:
        """Of payload from the pool."""
        return self._draw(self.pulls)

    def load(self) -> int:
        """Of a page of records."""
        return self._draw(self.loads)

    def tell(self) -> int:
        """From the chain to the engine."""
        return self._draw(self.tells)

    def soothe(self) -> None:
        """Disk and chain are quick again."""
        self.syncs, self.applies = SYNCS, APPLIES

    def _draw(self, span: tuple[int, int]) -> int:
        least, most = span
        return least + int(self.random.random() * (most - least)) if most > least else least


def instant() -> Tempo:
    """Nothing takes any time: what is left are the delays of the network."""
    zero = (0, 0)
    return Tempo(Random(0), zero, zero, zero, zero, zero, zero, zero)
