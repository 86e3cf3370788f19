"""Transfers executed per second by the chain, against a bare loop over the same primitives.

512 transfers in commits of 128, each between two accounts that no other transfer touches. Ours is `chain.apply` and the
write into ``ledger-memory``: admission, fee, sequence window, receipts, supply check and record included. The bare loop
does on the same bytes, for each transfer: strict decoding of the item and of the transaction in it, one signature
check, two records read, two written, and four updates of the state sum.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen
from benchmarks.harness import Row, interleaved
from ledger_world import PlainRule, World, key, make_genesis

from soma_core import chain, codec
from soma_core.api import Commit, LedgerContext, NoConfig
from soma_core.chain import lthash, state
from soma_core.crypto import address_of, digest, signing_digest, verify
from soma_core.genesis import Allocation, Genesis
from soma_memory import open_ledger

COMMITS: Final = 4
TRANSFERS: Final = 128
"""Of one commit."""
REPEATS: Final = 9
LEAST: Final = 0.35
FIRST: Final = 1_000
"""Number of the first sender's key."""


def sender(number: int) -> bytes:
    return address_of(key(FIRST + number).public)


def receiver(number: int) -> bytes:
    return digest("soma/chunk", b"receiver", number.to_bytes(8, "big"))


def genesis() -> Genesis:
    """Everybody has a balance, so that every write changes a record that is there."""
    network, numbers = make_genesis(epoch_ms=86_400_000), range(COMMITS * TRANSFERS)
    addresses = [make(number) for make in (sender, receiver) for number in numbers]
    more = tuple(Allocation(address=address, balance=10**12) for address in addresses)
    return evolve(network, allocations=(*network.allocations, *more))


@frozen
class Scene:
    """The commits, what an empty ledger is founded with, and where the chain stands after it."""

    genesis: Genesis
    founded: chain.Applied
    commits: Sequence[Commit]


def scene() -> Scene:
    world = World(genesis())
    founded, commits = world.trace[0], []
    for index in range(1, COMMITS + 1):
        payloads = []
        for number in range((index - 1) * TRANSFERS, index * TRANSFERS):
            action = chain.Transfer(to=receiver(number), amount=10**6)
            payloads.append((0, world.transaction(FIRST + number, "transfer", action)))
        commit = Commit(
            index=index,
            digest=digest("soma/commit", index.to_bytes(8, "big")),
            time=world.tip.time + 20,
            round=index,
            leader=0,
            items=tuple(payloads),
            leader_system=world.system(index),
        )
        commits.append(commit)
        world.trace.append(chain.apply(world.genesis, world.rule, world.reader, world.tip, commit))
        done = world.outcomes(world.trace[-1])
        assert done == [("applied", "")] * TRANSFERS, done
        world.reader.data.update({name: now for name, (_, now) in world.trace[-1].changes.items() if now is not None})
    return Scene(world.genesis, founded, commits)


def written(applied: chain.Applied) -> dict[bytes, bytes | None]:
    return {name: now for name, (_, now) in applied.changes.items()}


def forget() -> None:
    """Nobody remembers what an earlier turn has read or summed."""
    lthash._known_lanes.cache_clear()
    state._read_large.cache_clear()
    state._read_small.cache_clear()


def ours(scene: Scene) -> float:
    """Transfers per second of processor time."""
    ledger = open_ledger(NoConfig(), LedgerContext("ledger-memory", Path(), logging.getLogger("soma.bench"), "node"))
    ledger.write(written(scene.founded))
    tip, rule = scene.founded.tip, PlainRule()
    forget()
    start = time.process_time()
    for commit in scene.commits:
        applied = chain.apply(scene.genesis, rule, ledger, tip, commit)
        ledger.write(written(applied))
        tip = applied.tip
    return COMMITS * TRANSFERS / (time.process_time() - start)


def loop(scene: Scene) -> float:
    """The same by the bare loop."""
    entries = {name: now for name, (_, now) in scene.founded.changes.items() if now is not None}
    total = scene.founded.tip.lthash
    forget()
    start = time.process_time()
    for commit in scene.commits:
        for _, payload in commit.items:
            total = primitives(scene.genesis.chain, entries, total, payload)
    return COMMITS * TRANSFERS / (time.process_time() - start)


def primitives(network: bytes, entries: dict[bytes, bytes], total: bytes, payload: bytes) -> bytes:
    unsigned, signature = codec.decode(payload)
    fields: Any = codec.decode(unsigned)
    assert verify(fields["key"], signing_digest("soma/tx", network, fields["expiry"], unsigned), signature)
    changes = {}
    for address, amount in ((fields["sender"], -fields["action"]["amount"]), (fields["action"]["to"], 10**6)):
        name = chain.ACCOUNTS.key(address)
        before = entries[name]
        record: Any = codec.decode(before)
        entries[name] = now = codec.encode({**record, "balance": record["balance"] + amount})
        changes[name] = (before, now)
    return lthash.updated(total, changes)


def rows(_seed: int) -> list[Row]:
    at_hand = scene()
    taken = interleaved({"ours": lambda: ours(at_hand), "bare": lambda: loop(at_hand)}, REPEATS)
    ratio, low, high = taken.ratio("ours", "bare")
    return [
        Row(
            what="transfers: executed, 128 a commit",
            measured=f"chain on ledger-memory, {taken.median('ours'):,.0f} transfers/s of one core",
            against=f"bare loop over the same primitives, {taken.median('bare'):,.0f} transfers/s",
            ratio=ratio,
            low=low,
            high=high,
            repeats=REPEATS,
            least=LEAST,
        )
    ]
