"""The end of an epoch with 10,000 encoders and 10,000 delegations, against the two seconds that it may take.

No two pools are alike. Every delegation joins with the epoch that begins: all in 100 pools, or each in a pool of its
own. Who has won jobs gets a part of what the epoch makes: all encoders, or one in ten; in the last row all of them have
won and all of their pools are joined. Measured is the processor time of `chain.apply`
for the commit that ends the epoch, the state sum and the record included, on ``ledger-memory``.
"""

import gc
import logging
import time
from pathlib import Path
from typing import Final

from attrs import evolve, frozen
from benchmarks.harness import Row, spread
from benchmarks.transfers import forget
from ledger_world import PlainRule, key, make_genesis

from soma_core import chain
from soma_core.api import Commit, Ledger, LedgerContext, NoConfig
from soma_core.chain import encoders, lthash, stakes
from soma_core.chain.execution import Execution
from soma_core.crypto import address_of, digest
from soma_core.genesis import Allocation, Encoder, Genesis
from soma_memory import open_ledger

ENCODERS: Final = 10_000
DELEGATIONS: Final = 10_000
MOST: Final = 2.0
"""Seconds."""
REPEATS: Final = 5
STAKE: Final = 10**11


def account(kind: bytes, number: int) -> bytes:
    return digest("soma/chunk", kind, number.to_bytes(8, "big"))


def genesis() -> Genesis:
    """The encoders are there from the start, and those who delegate have money."""
    network = make_genesis(epoch_ms=60_000)
    return evolve(
        network,
        allocations=(
            Allocation(address=address_of(key(0).public), balance=10**12),
            *(Allocation(address=account(b"staker", n), balance=2 * STAKE) for n in range(DELEGATIONS)),
        ),
        encoders=tuple(
            Encoder(
                name=f"e{n}",
                account=account(b"encoder", n),
                stake=STAKE + n,
                weights=digest("soma/weights", n.to_bytes(8, "big")),
                frame=digest("soma/frame", n.to_bytes(8, "big")),
                architecture="byte-transformer-1",
            )
            for n in range(ENCODERS)
        ),
    )


@frozen
class Scene:
    """A chain whose next commit ends its epoch."""

    genesis: Genesis
    ledger: Ledger
    tip: chain.Tip


def scene(pools: int, winners: int) -> Scene:
    """So many encoders have won, and the delegations wait in `pools` of the encoders' pools."""
    network, rule = genesis(), PlainRule()
    ledger = open_ledger(NoConfig(), LedgerContext("ledger-memory", Path(), logging.getLogger("soma.bench"), "node"))
    founded = chain.found(network, ledger)
    ledger.write({name: now for name, (_, now) in founded.changes.items()})
    run = Execution(network, rule, chain.State(ledger), 1, network.time, 0)
    for address, encoder in run.state.scan(encoders.ENCODERS):
        if encoder.registered < winners:
            run.state.put(encoders.WINS, address, encoders.Wins(1 + encoder.registered % 7))
    for n in range(DELEGATIONS):
        stakes.put_in(run, account(b"encoder", n % pools), account(b"staker", n), STAKE + n * n)
    changes = run.state.changes()
    ledger.write({name: now for name, (_, now) in changes.items()})
    return Scene(network, ledger, evolve(founded.tip, lthash=lthash.updated(founded.tip.lthash, changes)))


def boundary(at_hand: Scene) -> float:
    """Seconds of processor time."""
    tip, network = at_hand.tip, at_hand.genesis
    forget()
    commit = Commit(
        index=1,
        digest=digest("soma/commit", b"end"),
        time=network.time + network.parameters.epoch_ms,
        round=1,
        leader=0,
        items=(),
        leader_system=b"",
    )
    gc.collect()
    gc.freeze()  # what this file holds is not looked through for garbage meanwhile
    start = time.process_time()
    applied = chain.apply(network, PlainRule(), at_hand.ledger, tip, commit)
    took = time.process_time() - start
    gc.unfreeze()
    assert any(isinstance(event, chain.EpochBegan) for event in applied.events)
    return took


def rows(_seed: int) -> list[Row]:
    found = []
    for pools, winners in ((100, ENCODERS), (DELEGATIONS, ENCODERS // 10), (DELEGATIONS, ENCODERS)):
        at_hand = scene(pools, winners)
        boundary(at_hand)
        ratio, low, high = spread([MOST / boundary(at_hand) for _ in range(REPEATS)])
        found.append(
            Row(
                what=f"boundary: 10,000 encoders, {winners:,} won, 10,000 delegations in {pools:,} pools",
                measured=f"{MOST / ratio:.2f} s of processor time",
                against=f"the {MOST:.0f} s it may take",
                ratio=ratio,
                low=low,
                high=high,
                repeats=REPEATS,
                least=1.0,
            )
        )
    return found
