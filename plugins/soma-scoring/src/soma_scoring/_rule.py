"""The shard rule as the chain calls it: what both rules share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from soma_core.api import Answer, Candidate, Payment, Settlement

from ._draw import draw
from ._judgement import Judgement, judge
from ._params import ShardParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen
class ShardRule:
    """Draws, judges and pays. A rule inherits it and adds its targets."""

    params: ShardParams

    def draw(self, size: int, candidates: Sequence[Candidate], beacon: bytes, /) -> tuple[int, ...]:
        """Places of at most `size` candidates, by stake × routing, in order of drawing. `beacon`: the job's seed."""
        return draw(size, candidates, beacon)

    def settle(self, pot: int, answers: Sequence[Answer], settled: "Sequence[NDArray[np.int16]]", /) -> Settlement:
        """Judge a shard and split `pot` shannons."""
        judgement = judge(self.params, pot, answers, settled)
        return Settlement(
            outcome="refunded" if judgement.vector is None else "settled",
            vector=judgement.vector,
            weights=judgement.weights,
            winner=judgement.winner,
            weakest=judgement.weakest,
            silent=judgement.silent,
            out=tuple(sorted(judgement.outliers.out)),
            reexecute=_to_audit(self.params, answers, judgement),
            gates=judgement.gates,
            payments=(_payment(pot, judgement),),
            fines=judgement.fines,
            slashes=judgement.slashes,
        )


def _payment(pot: int, judgement: Judgement) -> Payment:
    if judgement.winner is None:
        return Payment("submitter", pot, "refund")
    return Payment(judgement.winner, pot, "won")


def _to_audit(params: ShardParams, answers: Sequence[Answer], judgement: Judgement) -> tuple[int, ...]:
    """Who must be re-executed whatever a sample says, where it can be and has not been (rule R23).

    The flagged; and the winner of a shard that was large enough for outliers but had too few groups to look for them.
    """
    due = set(judgement.outliers.flagged)
    unwatched = judgement.outliers.threshold is None and len(judgement.judged) >= params.outlier_groups
    if unwatched and judgement.winner is not None:
        due.add(judgement.winner)
    return tuple(sorted(place for place in due if answers[place].verdict == "none" and not answers[place].opaque))
