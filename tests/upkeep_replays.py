"""Lives of networks that refuse a copy and that end epochs in safe mode, for the vector files of their chapters."""

from collections.abc import Sequence
from typing import Any, Final

import replays
from audit_world import audit_of, audited, claims, deliver, hear, pay_day
from committee_world import address
from ledger_world import PlainTargets
from race_world import hit, hunting, judged, turn

from soma_core import chain
from soma_core.api import Difficulty
from soma_core.chain.copies import COPY_JOBS

COPIER: Final = 3
"""Number of the key whose encoder answers as that of key 1 does."""


class FailingTargets(PlainTargets):
    """The plain targets, whose next radius cannot be computed after an epoch without a hit."""

    def radius(self, old: Difficulty, hits: int, goal: int, observed: Sequence[Any], /) -> Difficulty:
        _ = goal // hits
        return super().radius(old, hits, goal, observed)


def copies() -> list[replays.Case]:
    """Rules L18 to L20."""
    world = audited(pot=10**9, shard_size=4)
    for nonce in range(COPY_JOBS + 1):
        job, _ = deliver(world, nonce=nonce, honestly=_copying)
        while world.state.get(chain.AUDITS, chain.subject("embed", job)) is not None:
            found = claims(audit_of(world, job))
            hear(world, job, {auditor.account: found for auditor in audit_of(world, job).panel})
        pay_day(world, job)
    assert world.state.need(chain.ENCODERS, address(COPIER)).until == world.epoch + 1
    return [replays.as_run(world, "weights that answer as earlier ones do are drawn no more", "L18 to L20")]


def _copying(number: int) -> tuple[int, bytes]:
    return (number << 16, replays.answer(1 if number == COPIER else number)[1])


def safe_mode() -> list[replays.Case]:
    """Rules U10 and U11, under the failing targets."""
    world = hunting(rule=FailingTargets(), audit_ms=30_000)
    length = world.genesis.parameters.epoch_ms
    world.step(world.transaction(replays.USER, "transfer", chain.Transfer(address(7), 1)), after=length - 10_000)
    shown = hit(world)  # its audit is over after the end of the epoch: only then it counts
    turn(world, after=world.state.need(chain.EPOCH).start + length - world.tip.time)
    assert chain.parked(world.state) == 1
    judged(world, 0, shown["loss"], shown["vector"])
    world.step(world.transaction(replays.USER, "transfer", chain.Transfer(address(7), 2)))
    turn(world)
    assert chain.parked(world.state) == 0
    return [replays.as_run(world, "an end that fails parks its money, and the next that holds shares it", "U10, U11")]
