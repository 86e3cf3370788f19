"""What people send in the midst of a network's life, when everything that can be open is open."""

from functools import cache
from typing import Any

import turmoil_lives
from committee_world import Signer, address
from decoder import Decoder
from turmoil import PEOPLE, Turmoil
from turmoil_moves import MOVES, anything

from soma_core import chain, codec
from soma_core.api import Commit
from soma_core.chain.fees import least_fee
from soma_core.chain.machine import TABLES
from soma_core.crypto import digest
from soma_core.errors import DecodeError
from soma_core.records import to_value

LIVED = 400
"""Transactions before the one that is tried."""
OPEN = (chain.JOBS, chain.DELIVERIES, chain.AUDITS, chain.TARGETS, chain.SUBMISSIONS, chain.HITS)
"""What there is some of when it is tried."""


@cache
def grown() -> Turmoil:
    """A network whose next commit is tried with any content."""
    world = turmoil_lives.live("plain", 2, LIVED)
    while any(not world.state.count(table) for table in OPEN):
        world.happen(anything)
    return world


def _moves(world: Turmoil) -> dict[str, tuple[int, Any]]:
    """Kind → (whose key, action) of what can be done now."""
    made = {kind: next(filter(None, (move(world) for _ in range(40))), None) for kind, (_, move) in MOVES.items()}
    return {kind: (sender, action) for kind, (sender, action) in ((k, m) for k, m in made.items() if m)}


@cache
def _deeds() -> list[bytes]:
    return [
        codec.encode([sender, kind, to_value(action)]) for kind, (sender, action) in sorted(_moves(grown()).items())
    ]


def stored() -> list[tuple[int, bytes]]:
    """(place of its table, record): one of each table that has any."""
    world = grown()
    found = ((place, next(world.state.scan(table), None), table) for place, table in enumerate(TABLES))
    return [(place, world.reader.data[table.key(entry[0])]) for place, entry, table in found if entry]


def _deed(data: bytes) -> chain.Applied:
    """[number of a key, kind, action] in a transaction whose signature holds."""
    match codec.decode(data):
        case [int(number), str(kind), dict(action)] if number in PEOPLE and len(kind) <= 32:
            return _apply(number, kind, action)
        case _:
            raise DecodeError("not a sender, a kind and an action")


def _apply(number: int, kind: str, action: dict[str, Any]) -> chain.Applied:
    world = grown()
    payer = chain.account_of(world.state, address(number))
    free = next(place for place in range(64) if not payer.used >> place & 1)
    wire = world.transaction(
        number, kind, action, sequence=payer.sequence + free, signer=Signer(number), fee=least_fee(world.state)
    )
    commit = Commit(
        index=world.tip.index + 1,
        digest=digest("soma/commit", world.tip.record),
        time=world.tip.time + 20,
        round=world.round,
        leader=0,
        items=((0, wire),),
        leader_system=b"",
    )
    return chain.apply(world.genesis, world.rule, world.reader, world.tip, commit)


def _was_decided(applied: chain.Applied, _data: bytes) -> None:
    outcomes = [event.outcome for event in applied.events if isinstance(event, chain.TransactionDone)]
    assert len(outcomes) == 1, "a transaction is decided"


DECODERS = (Decoder("deed", _deed, (DecodeError,), _was_decided, _deeds),)
