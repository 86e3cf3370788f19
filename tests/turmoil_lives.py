"""Whole lives of networks in turmoil, under each scoring rule; what came of one, to be compared with another.

``python tests/turmoil_lives.py SEED COUNT`` lives one of each flavour, of `COUNT` transactions, and prints as JSON what
each came to, with the kind of core that matrix products were made for.
"""

import ctypes
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from ledger_world import PlainTargets
from turmoil import MODEST, RICH, SAFE, SortedReader, Turmoil, genesis_of
from turmoil_moves import anything

from soma_core import chain, fixed
from soma_core.api import Commit, Reader
from soma_core.genesis import Genesis
from soma_core.records import unpack
from soma_scoring import Params, balanced, open_rule

FLAVOURS: Final = ("plain", "soma", "balanced")
"""A rule to check by eye, with sampled audits; the two real ones, with much money and with little."""


def born(flavour: str, seed: int) -> Turmoil:
    """A network at its genesis."""
    match flavour:
        case "plain":
            genesis, rule = genesis_of(SAFE), PlainTargets()
        case "soma":
            genesis, rule = genesis_of(RICH, 1 << 55), open_rule(Params())
        case _:
            genesis, rule = genesis_of(MODEST), balanced.open_rule(balanced.Params())
    return Turmoil(genesis=genesis, rule=rule, random=Random(f"{flavour} {seed}"))


def live(flavour: str, seed: int, count: int) -> Turmoil:
    """A network after at least `count` transactions, whose state was added up after every commit."""
    world = born(flavour, seed)
    world.observers.extend((check_receipts, check_end))
    while world.tried < count:
        world.happen(anything)
    world.check_whole()
    return world


def check_receipts(_world: Turmoil, applied: chain.Applied) -> None:
    """Every pot is split exactly, and every joined vector is all of somebody's."""
    for receipt in receipts(applied):
        paid = [payment.amount for payment in receipt.payments]
        assert sum(paid) == receipt.pot + receipt.commission
        assert min(paid) >= 0
        assert sum(member.weight for member in receipt.shard) == (65536 if receipt.vector else 0)


def check_end(_world: Turmoil, applied: chain.Applied) -> None:
    """Every epoch ends as it should."""
    assert not any(isinstance(event, chain.BoundaryFailed) for event in applied.events)


def receipts(applied: chain.Applied) -> Iterator[chain.JobReceipt]:
    """The receipts of jobs that a commit ended or paid."""
    for event in applied.events:
        if isinstance(event, chain.Settled | chain.Paid):
            yield unpack(chain.JobReceipt, event.receipt)


def replayed(
    genesis: Genesis, rule: Any, commits: list[Commit], view: Reader | None = None, tip: chain.Tip | None = None
) -> Iterator[tuple[SortedReader, chain.Applied]]:
    """A history once more, from genesis or from a state: after each commit, the state and what was applied."""
    reader = SortedReader()
    if view is not None and tip is not None:
        reader.data.update(view.scan(chain.STATE_FLOOR, chain.STATE_CEILING))
    else:
        applied = chain.found(genesis, reader)
        reader.data.update({name: now for name, (_, now) in applied.changes.items() if now is not None})
        tip = applied.tip
    for commit in commits:
        applied = chain.apply(genesis, rule, reader, tip, commit)
        for name, (_, now) in applied.changes.items():
            reader.data.pop(name, None)
            if now is not None:
                reader.data[name] = now
        tip = applied.tip
        yield reader, applied


def core() -> str:
    """The kind of processor that this process's BLAS computes for, as it says itself; "" where it cannot be asked."""
    libraries = Path(np.__file__).parent.parent / "numpy.libs"
    for path in sorted(libraries.glob("libscipy_openblas*")):
        ask = getattr(ctypes.CDLL(str(path)), "scipy_openblas_get_corename64_", None)
        if ask is not None:
            ask.restype = ctypes.c_char_p
            return str(ask().decode())
    return ""


def wide() -> str:
    """A digest of what the rules find in arrays so large that several threads share them."""
    draw = np.random.default_rng(1)
    rows = draw.normal(size=(6_000, 512))
    rows *= np.sqrt(512) * fixed.VECTOR_SCALE / np.linalg.norm(rows, axis=1, keepdims=True)
    positions = list(np.rint(rows).clip(-32767, 32767).astype(np.int16))
    stakes = [1 + int(stake) for stake in draw.integers(0, 1 << 50, len(positions))]
    observed, points = positions[:600], positions[-16:]
    found: list[Any] = [fixed.geometric_median(np.stack(observed)).tolist()]
    found.append(fixed.dots(np.stack(observed), np.stack(positions)).sum(axis=0).tolist())
    for rule in (open_rule(Params()), balanced.open_rule(balanced.Params())):
        found.append([list(places) for places in rule.assign(points, positions, stakes, 7)])
        found.append([rule.point(bytes([n]) * 32, observed).tolist() for n in range(4)])
        following = rule.radius(rule.start(observed), 17, 100, observed)
        limits = [rule.limits(point, following, observed, [n << 10 for n in range(600)]) for point in points]
        found.append([[each.radius, each.loss] for each in limits])
    return hashlib.blake2b(json.dumps(found).encode(), digest_size=16).hexdigest()


def main() -> None:
    """The digest of each flavour's last record: it names all before it."""
    seed, count = (int(argument) for argument in sys.argv[1:])
    records = {flavour: chain.record_digest(live(flavour, seed, count).trace[-1].record).hex() for flavour in FLAVOURS}
    told = {"numpy": np.__version__, "core": core(), "records": records, "wide": wide()}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
