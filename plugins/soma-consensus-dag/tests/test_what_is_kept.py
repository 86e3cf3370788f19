"""What of the past stays on a member's disk, and that it does not grow however often the member starts."""

import pytest

from soma_consensus_dag import Config, Params, open_engine
from soma_consensus_dag._keys import BLOCKS_END, from_round, proof_key, record_key
from soma_core.api import Setup
from soma_core.api.consensus import Engine
from soma_core.testing.committee import Committee, Seat

DEPTH = 4
CONFIG = Config(idle_ms=50, keep_commits=40)


def open_small(setup: Setup) -> Engine:
    return open_engine(CONFIG, Params(gc_depth=DEPTH), setup)


def kept(seat: Seat) -> tuple[int, int, int]:
    """Blocks, records and proofs on the disk of a member."""
    ends = (from_round(0), BLOCKS_END), (record_key(0), record_key(1 << 40)), (proof_key(0), proof_key(1 << 40))
    blocks, records, proofs = (sum(start <= key < stop for key in seat.disk) for start, stop in ends)
    return blocks, records, proofs


@pytest.mark.parametrize("members", [1, 4])
def test_what_was_before_a_start_goes_as_well(members: int) -> None:
    committee = Committee(open_small, members)
    seat = committee.seats[0]
    committee.run(20_000)
    _, often, _ = kept(seat)
    assert 4 * DEPTH <= often <= 40 + 4 * DEPTH
    for _ in range(5):
        committee.crash(seat)
        committee.run(10_000)
    committee.run(20_000)
    blocks, records, proofs = kept(seat)
    assert 4 * DEPTH <= records <= 40 + 4 * DEPTH
    assert blocks <= members * (records + 3 * DEPTH)
    assert proofs <= records // 10 + 1
    assert len(seat.commits) > 5 * records, "much more has been ordered"
