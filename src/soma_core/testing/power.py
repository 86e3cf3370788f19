"""Whether a ledger keeps what it acknowledged when the power goes or its disk fails, life after life on one disk."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from random import Random
from typing import Final, Literal, final

from attrs import define, field, frozen

from soma_core.api import Ledger

from .disk import Disk, Fault

Mount = Callable[[Disk], AbstractContextManager[None]]
"""Makes everything that is stored in a block lie on a model disk: `sqlite_on`, for what is stored through SQLite."""
Case = Literal["power loss", "kill", "full disk", "write error", "fsync error"]
Verdict = Literal["held", "lost", "double", "crash"]
"""``lost``: something acknowledged is gone. ``double``: something is there in part, or twice over. ``crash``: it does
not open again."""

CASES: Final[Mapping[Case, tuple[Fault, bool]]] = {
    "power loss": ("power", True),
    "kill": ("power", False),
    "full disk": ("full", False),
    "write error": ("write", False),
    "fsync error": ("sync", True),
}
"""Case → what strikes, and whether the machine goes down with the process; if not, it does so in half of the trials.

A machine that stays up after a failed sync shows what its disk does not hold: it is restarted, as the error says.
"""

LIVES: Final = 4
"""Openings of one disk; the last is undisturbed."""
_LAST: Final = b"\xff" * 40


@frozen
class Outcome:
    """What one trial came to, and what was seen."""

    verdict: Verdict
    detail: str = ""


HELD: Final = Outcome("held")


def try_lives(live: Callable[[Disk, Random], Outcome], mount: Mount, case: Case, seed: int) -> Outcome:
    """Call `live` several times on one disk, which a fault strikes in each life but the last, at a moment of `seed`.

    `live` opens what is on the disk, compares it with what was acknowledged, goes on until the fault, and turns
    `Disk.off` before it closes anything.
    """
    random = Random(seed)
    fault, machine = CASES[case]
    disk = Disk(random)
    for life in range(LIVES):
        if life < LIVES - 1:
            disk.fail(random.randrange(random.choice((4, 20, 80))), fault)
        with mount(disk):
            outcome = live(disk, random)
        if outcome is not HELD:
            return outcome
        goes = machine or random.random() < 0.5
        disk = disk.after_power_loss() if goes else disk.after_kill()
    return HELD


def try_ledger(open_ledger: Callable[[], Ledger], mount: Mount, case: Case, seed: int) -> Outcome:
    """`try_lives` of a ledger: after each death every acknowledged batch is there, the last other one whole or not."""
    return try_lives(_LedgerLife(open_ledger).live, mount, case, seed)


@final
@define
class _LedgerLife:
    """`kept`: what was acknowledged. `tried`: what there would be with the batch whose fate is not known."""

    open: Callable[[], Ledger]
    kept: dict[bytes, bytes] = field(factory=dict)
    tried: dict[bytes, bytes] = field(factory=dict)

    def live(self, disk: Disk, random: Random) -> Outcome:
        ledger: Ledger | None = None
        try:
            ledger = self.open()
            outcome = self._judge(dict(ledger.scan(b"", _LAST)))
            if outcome is HELD:
                self._work(ledger, random)
        except OSError as error:
            return HELD if disk.struck else Outcome("crash", f"{type(error).__name__}: {error}")
        else:
            return outcome
        finally:
            disk.off = True
            if ledger is not None:
                with suppress(OSError):
                    ledger.close()

    def _judge(self, found: dict[bytes, bytes]) -> Outcome:
        """Compare what is there; from now on it is what was acknowledged."""
        if found in (self.kept, self.tried):
            self.kept = self.tried = found
            return HELD
        untouched = {key for key, value in self.kept.items() if self.tried.get(key) == value}
        wrong = [key for key in untouched if found.get(key) != self.kept[key]]
        if wrong:
            return Outcome("lost", f"{len(wrong)} of {len(untouched)} keys are not as acknowledged")
        return Outcome("double", "a batch is there in part")

    def _work(self, ledger: Ledger, random: Random) -> None:
        """Some batches, each acknowledged or not."""
        for _ in range(random.randrange(1, 14)):
            batch = _batch(random)
            changed = {**self.kept, **batch}
            self.tried = {key: value for key, value in changed.items() if value is not None}
            ledger.write(batch)
            self.kept = self.tried


def _batch(random: Random) -> dict[bytes, bytes | None]:
    """Few keys, so that they are written over and deleted; values from nothing to several pages."""
    keys = [b"%d" % random.randrange(12) for _ in range(random.randrange(1, 7))]
    sizes = (0, 3, 200, 200, 5_000, 20_000)
    return {key: None if random.random() < 0.2 else random.randbytes(random.choice(sizes)) for key in keys}
