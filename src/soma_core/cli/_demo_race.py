"""The second job in ``soma demo``: data are hunted and hit a target, are audited and paid; a cheat is caught."""

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from attrs import frozen

from soma_core.api import control, racing, standing
from soma_core.errors import SomaError, UnreachableError

from ._client import Node
from ._hunting import Catch, Hunter, open_targets
from ._walking import walk

HUNT: Final = 60.0
"""Seconds to hunt at most."""
AUDIT: Final = 120.0
"""Seconds until an audit is over, on a busy machine."""
LEAST: Final = 400
MOST: Final = 4_000
"""Bytes of files that are hunted: small ones are quick to score."""
POLL: Final = 0.2

Told = Callable[[str], None]


@frozen(kw_only=True)
class Raced:
    """What the race came to. `paid`: what the hunter's account got for its hit, bond aside. `lost`: by the cheat."""

    files: int
    hit: Catch | None
    paid: int
    cheat: int | None
    caught: bool
    lost: int


def race_beside(hunter_dir: Path, cheat_dir: Path, told: Told) -> "Future[Raced]":
    """`race` in a thread of its own, which ends with the program."""
    found: Future[Raced] = Future()

    def run() -> None:
        try:
            found.set_result(race(hunter_dir, cheat_dir, told))
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is asked for
            found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return found


def race(hunter_dir: Path, cheat_dir: Path, told: Told) -> Raced:
    """Have the node at `cheat_dir` lie; hunt among Soma's own source files with the node at `hunter_dir`."""
    cheat, before = _lie(cheat_dir, told)
    files, hit = _hunt(hunter_dir, told)
    paid = _claim(hunter_dir, hit, told) if hit is not None else 0
    with Node(cheat_dir) as node:
        caught = cheat is not None and _ended(node, cheat)
        lost = before - _balance(node)
    if caught:
        told("audited: the cheat's bond is gone")
    return Raced(files=files, hit=hit, paid=paid, cheat=cheat, caught=caught, lost=lost)


def _hunt(data_dir: Path, told: Told) -> tuple[int, Catch | None]:
    """How many files were scored, and the first that hit."""
    import soma_core

    deadline = time.monotonic() + HUNT
    with Node(data_dir) as node:
        hunter = Hunter(data_dir, node)
        own = walk([Path(soma_core.__file__).parent], MOST).files
        waiting = [path for path, size in own if size >= LEAST and path.suffix == ".py"]
        while not hunter.hits and time.monotonic() < deadline:
            if waiting:
                hunter.score(waiting.pop(0))
            else:
                time.sleep(POLL)
            hunter.look()
        if hunter.hits:
            told(f"hunted {hunter.scored} files: {hunter.hits[0].path.name} hits target {hunter.hits[0].target}")
        return hunter.scored, next(iter(hunter.hits), None)


def _lie(data_dir: Path, told: Told) -> tuple[int | None, int]:
    """Random bytes for an open target, with the vector that it seeks: its number, and the balance before."""
    data = secrets.token_bytes(MOST)
    with Node(data_dir) as node:
        before = _balance(node)
        own = {encoder.address for encoder in node.ask(control.STATUS, control.Empty()).encoders}
        deadline = time.monotonic() + HUNT
        while time.monotonic() < deadline:
            for target, point in list(open_targets(node))[-1:]:
                mine = [each for each in target.encoders if each in own]
                if not mine:
                    continue
                lie = racing.Submit(
                    target=target.number,
                    encoder=mine[0],
                    loss=1 << 16,
                    vector=point.tobytes(),
                )
                try:
                    reply, _ = node.ask_with_payload(control.SUBMIT, lie, data)
                except UnreachableError:
                    raise
                except SomaError:
                    continue
                if reply.outcome == "hit":
                    told(f"a cheat hits target {target.number} with random bytes and a vector they do not give")
                    return target.number, before
            time.sleep(POLL)
    return None, before


def _claim(data_dir: Path, hit: Catch, told: Told) -> int:
    """Wait until the hit is audited and claim it; what the account got, bond and fee aside."""
    with Node(data_dir) as node:
        deadline = time.monotonic() + AUDIT
        while time.monotonic() < deadline:
            known = next((h for h in node.ask(control.HITS, control.Empty()).hits if h.number == hit.target), None)
            if known is None:
                return 0
            if known.state == "claimable":
                before = _balance(node)
                claimed = standing.Act(role="account", kind="claim_target", action={"target": hit.target})
                done = node.ask(control.ACT, claimed)
                if not done.code:
                    told(f"audited: target {hit.target} is paid")
                    return _balance(node) - before - known.bond + done.fee
            time.sleep(POLL)
    return 0


def _ended(node: Node, number: int) -> bool:
    """Whether the hit is over, without pay, before the patience is."""
    deadline = time.monotonic() + AUDIT
    while any(hit.number == number for hit in node.ask(control.HITS, control.Empty()).hits):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def _balance(node: Node) -> int:
    return node.ask(control.BALANCE, control.AskBalance(None)).balance
