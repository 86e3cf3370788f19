"""The engine of ``consensus-dag``, fed by hand: blocks per second of processor time, without and with signatures.

A log of one member (`engine_log`) is told to fresh engines. No disk, no net, no thread. Four measures, in turn:

- *engine*: everything that one engine does with all events of the log: messages taken apart, blocks parsed, hashed and
  checked, accepted and ordered, own blocks made, records and barriers written. Signatures are taken as given.
- *core*: blocks that are parsed and verified already enter the graph, move the clock, and are decided and ordered.
- *signed*: as *engine*, and each `Verify` is answered by the node's checker, in this thread, with real signatures;
  headers of own blocks are really signed.
- *verify*: the signatures of the log alone, one after the other, by the same library.

A block counts once, when it is in the graph; the engine's own as well. What the others did to make the log is not
measured. What is required is a speed of *core*, blocks accepted and decided; the ratio is what was measured to that. Of
*engine* the ratio to the same figure is shown beside it.
"""

import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio
from benchmarks.engine_log import CONFIG, ME, PARAMS, Log, body_digest, record
from benchmarks.harness import Row, Taken, interleaved, spread

from soma_consensus_dag._engine import DagEngine
from soma_consensus_dag._parts import Parts
from soma_core.api import Action, Sign, Verify
from soma_core.crypto import verify
from soma_core.node._checker import Checker
from soma_core.node.mempool import Mempool

COMMITTEES: Final = ((4, 300, 20_000), (10, 150, 15_000), (50, 66, 5_000))
"""(members, rounds, blocks per second that are required). All logs outlast the rounds that the engine keeps."""
OF_BOUND: Final = 0.6
"""Of the speed that engine and verification leave each other, what is required of both together."""
REPEATS: Final = 7
VERIFIED: Final = 1_000
"""Signatures of one turn of *verify*, at most."""
TURN: Final = 64
"""Events told before the checker has its turn, as in the node's shell."""


def rows(seed: int) -> list[Row]:
    logs = {members: record(members, rounds, seed) for members, rounds, _ in COMMITTEES}
    candidates: dict[str, Callable[[], float]] = {}
    for members, log in logs.items():
        for name, speed in (("engine", engine), ("core", core), ("signed", signed), ("verify", verifying)):
            candidates[f"{name} {members}"] = partial(speed, log)
    gc.collect()
    gc.freeze()
    try:
        taken = interleaved(candidates, REPEATS)
    finally:
        gc.unfreeze()
    return [row for members, _, required in COMMITTEES for row in rows_of(taken, members, required)]


def rows_of(taken: Taken, members: int, required: int) -> list[Row]:
    """The rows of one committee."""
    return [
        _speed(taken, members, "engine", "every step of one engine, signatures taken as given", required),
        _speed(taken, members, "core", "accept and decide alone, of verified blocks", required, least=1.0),
        _with_signatures(taken, members),
    ]


def _speed(taken: Taken, members: int, name: str, what: str, required: int, least: float | None = None) -> Row:
    ratio, low, high = spread([value / required for value in taken.values[f"{name} {members}"]])
    return Row(
        what=f"consensus-dag of {members}: {what}",
        measured=f"{taken.median(f'{name} {members}'):,.0f} blocks per CPU second",
        against=f"{required:,} that are required",
        ratio=ratio,
        low=low,
        high=high,
        repeats=REPEATS,
        least=least,
    )


def _with_signatures(taken: Taken, members: int) -> Row:
    alone, raw = taken.values[f"engine {members}"], taken.values[f"verify {members}"]
    bounds = [bound(*pair) for pair in zip(alone, raw, strict=True)]
    both = Taken({"signed": taken.values[f"signed {members}"], "bound": bounds})
    ratio, low, high = both.ratio("signed", "bound")
    verifies = f"verify {taken.median(f'verify {members}'):,.0f}/s"
    return Row(
        what=f"consensus-dag of {members}: every step, signatures made and verified",
        measured=f"{both.median('signed'):,.0f} blocks per CPU second",
        against=f"1 / (1/engine + 1/verify) = {both.median('bound'):,.0f}, {verifies}",
        ratio=ratio,
        low=low,
        high=high,
        repeats=REPEATS,
        least=OF_BOUND,
    )


def bound(alone: float, raw: float) -> float:
    """Blocks per second of an engine of speed `alone` that also verifies each block, `raw` a second."""
    return 1 / (1 / alone + 1 / raw)


# What is measured: blocks, or signatures, per second of processor time. -----------------------------------------------


def engine(log: Log) -> float:
    """Of `DagEngine.step` with all that happened."""
    one = DagEngine(CONFIG, PARAMS, log.setup)
    start = time.process_time()
    for event, now in log.events:
        one.step(event, now)
    return accepted(one) / (time.process_time() - start)


def core(log: Log) -> float:
    """Of the parts that accept and decide: what `DagEngine` does between a verified block and its commit."""
    parts = DagEngine(CONFIG, PARAMS, log.setup)._parts
    start = time.process_time()
    decide(parts, log)
    return parts.dag.added / (time.process_time() - start)


def decide(parts: Parts, log: Log) -> None:
    """Let blocks enter, and order what can be ordered, step by step as the engine does."""
    dag, manager, clock, ordering, linearizer = parts.dag, parts.manager, parts.clock, parts.ordering, parts.linearizer
    for blocks in log.arrivals:
        entered = [one for block in blocks for one in manager.offer(block)]
        while entered:
            for block in entered:
                clock.note(block.round, block.author)
            if not ordering.by_rule():
                break
            ordering.applied(ordering.index)
            manager.drop([vertex.ref for vertex in dag.drop(linearizer.horizon)])
            entered = manager.settle(linearizer.horizon)


def signed(log: Log) -> float:
    """As `engine`, with the node's checker and real signatures."""
    return trio.run(_signed, log)


def verifying(log: Log) -> float:
    """Of `verify` alone."""
    keys = [key.public for key in log.keys]
    blocks = [block for came in log.arrivals for block in came if block.author != ME][:VERIFIED]
    start = time.process_time()
    held = [verify(keys[block.author], block.ref[2], block.signature) for block in blocks]
    took = time.process_time() - start
    assert all(held), "a signature of the log does not hold"
    return len(blocks) / took


def accepted(one: DagEngine) -> int:
    """Blocks that have entered the graph of an engine."""
    return one._parts.dag.added


class Answers:
    """Takes the checker's answers: those of the log are told. All must be good."""

    def __init__(self) -> None:
        self.open = 0

    def checked(self, _identity: int, _size: int, *, ok: bool) -> None:
        assert ok, "a signature of the log does not hold"
        self.open -= 1


class Inline:
    """In place of the node's thread for signatures."""

    async def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)


async def _signed(log: Log) -> float:
    one, answers, own = DagEngine(CONFIG, PARAMS, log.setup), Answers(), log.keys[ME]
    checker = Checker(Inline(), Mempool())  # type: ignore[arg-type]  # the same calls, in this thread

    def act(action: Action) -> None:
        match action:
            case Verify(identity, signatures, payload):
                answers.open += 1
                checker.ask(answers, identity, signatures, payload)
            case Sign(_, body):
                own.sign(body_digest(log.setup, body))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(checker.run)
        start = time.process_time()
        for at in range(0, len(log.events), TURN):
            for event, now in log.events[at : at + TURN]:
                for action in one.step(event, now):
                    act(action)
            while answers.open:
                await trio.lowlevel.checkpoint()
        took = time.process_time() - start
        nursery.cancel_scope.cancel()
    return accepted(one) / took
