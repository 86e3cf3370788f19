"""What different records of a state say of the same thing: it is the same."""

from collections import Counter

from soma_core import chain
from soma_core.chain.hits import is_questioned
from soma_core.chain.penalties import lock_of
from soma_core.chain.race import SPENT
from soma_core.chain.shards import ENDINGS
from soma_core.chain.stakes import DEPARTURES, ENTRIES


def check(state: chain.State) -> None:
    """Nobody owns more of a pool than there is, what waits is somebody's, and what is locked is locked by something."""
    _pools(state)
    _entries(state)
    _locks(state)
    _hits(state)
    endings = {ending.job: int.from_bytes(name[:8], "big") for name, ending in state.scan(ENDINGS)}
    assert endings == {job: delivery.deadline for job, delivery in state.scan(chain.DELIVERIES)}


def _pools(state: chain.State) -> None:
    epoch = state.need(chain.EPOCH).number
    held: Counter[bytes] = Counter()
    gone: Counter[bytes] = Counter()
    for name, _ in state.scan(chain.DELEGATIONS):
        held[name[:32]] += chain.delegation(state, epoch, name[:32], name[32:]).tokens
    for name, departure in state.scan(DEPARTURES):
        owner = name[8:40]
        leaving = state.need(chain.STAKES, owner).leaving
        gone[owner] += leaving.current(departure.tokens, departure.halvings)
    for owner, pool in state.scan(chain.STAKES):
        assert held[owner] <= pool.active.tokens <= 2 * pool.active.balance
        assert gone[owner] <= pool.leaving.tokens <= 2 * pool.leaving.balance


def _hits(state: chain.State) -> None:
    """Whoever waits at a target that was hit waits for an audit, or for somebody who waits as well."""
    open_ = dict(state.scan(chain.TARGETS))
    hit = dict(state.scan(chain.HITS))
    waiting = {name[:8] for name, _ in state.scan(chain.SUBMISSIONS)}
    assert not open_.keys() & hit.keys()
    assert waiting <= open_.keys() | hit.keys()
    for name, target in open_.items():
        assert not target.closed or name in waiting
    for name, one in hit.items():
        number = int.from_bytes(name, "big")
        assert state.need(SPENT, one.blob).target == number
        assert one.target.closed
        assert is_questioned(state, number) or name not in waiting


def _entries(state: chain.State) -> None:
    """An entry is as much as those say who joined with it and have not counted their tokens yet."""
    epoch = state.need(chain.EPOCH).number
    joining: Counter[bytes] = Counter()
    for name, mine in state.scan(chain.DELEGATIONS):
        if mine.joining:
            joining[mine.since.to_bytes(8, "big") + name[:32]] += mine.joining
    entries = dict(state.scan(ENTRIES))
    assert {name: entry.unclaimed for name, entry in entries.items()} == joining
    for name, entry in entries.items():
        assert entry.pending == (entry.unclaimed if int.from_bytes(name[:8], "big") > epoch else 0)


def _locks(state: chain.State) -> None:
    locked: Counter[bytes] = Counter()
    jobs = [job for _, job in state.scan(chain.JOBS)]
    for job in (*jobs, *(delivery.job for _, delivery in state.scan(chain.DELIVERIES))):
        for member in job.shard:
            locked[member.encoder] += lock_of(job.pot, sampled=job.sampled)
    assert {encoder: lock.amount for encoder, lock in state.scan(chain.LOCKS)} == locked
