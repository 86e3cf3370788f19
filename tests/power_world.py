"""The signer's record of what it signed, on a model disk that fails: after every death it still knows every promise."""

from pathlib import Path
from random import Random
from typing import Any

from attrs import define, field

from soma_core.errors import KeyStoreError
from soma_core.node._slots import SignedSlot, SignedSlots
from soma_core.testing.disk import Disk
from soma_core.testing.power import HELD, Case, Outcome, try_lives
from soma_core.testing.sqlite_disk import sqlite_on

CHAIN = bytes(32)
SERIES = [(bytes([key]) * 32, domain) for key in (1, 2) for domain in ("soma/block", "soma/checkpoint")]


def try_slots(path: Path, case: Case, seed: int, record: Any = SignedSlots) -> Outcome:
    """`try_lives` of the record at `path`, which `record` opens."""
    return try_lives(_SlotsLife(path, record).live, sqlite_on, case, seed)


@define
class _SlotsLife:
    """`released`: what has left, which is what was committed before; of each series, by epoch."""

    path: Path
    record: Any
    released: dict[tuple[bytes, str, int], SignedSlot] = field(factory=dict)

    def live(self, disk: Disk, random: Random) -> Outcome:
        slots: SignedSlots | None = None
        try:
            slots = self.record(self.path)
            outcome = self._judge(slots)
            if outcome is HELD:
                self._sign(slots, random)
        except (OSError, KeyStoreError) as error:
            return HELD if disk.struck else Outcome("crash", f"{type(error).__name__}: {error}")
        else:
            return outcome
        finally:
            disk.off = True
            if slots is not None:
                slots.close()

    def _judge(self, slots: SignedSlots) -> Outcome:
        """Each promise is known, and none of its slots would sign something else."""
        for (key, domain, epoch), signed in self.released.items():
            place = epoch, signed.slot
            try:
                if slots.signature(key, domain, CHAIN, place, signed.digest) is None:
                    return Outcome("lost", f"{domain}: slot {place} is not known any more")
            except KeyStoreError:  # a later slot was promised, and did not leave
                pass
            if self._would_sign(slots, signed):
                return Outcome("double", f"{domain}: slot {place} would sign twice")
        return HELD

    def _would_sign(self, slots: SignedSlots, signed: SignedSlot) -> bool:
        try:
            slots.signature(signed.key, signed.domain, CHAIN, (signed.epoch, signed.slot), bytes(32))
        except KeyStoreError:
            return False
        return True

    def _sign(self, slots: SignedSlots, random: Random) -> None:
        """As the signer does: promise what came in together, put it on disk, let it leave."""
        for _ in range(random.randrange(1, 14)):
            together = []
            for key, domain in random.sample(SERIES, random.randrange(1, 4)):
                before = slots._slots.get((key, domain, CHAIN), {})
                latest = max(before, default=0)
                epoch = max(0, latest + random.choice((-1, 0, 0, 0, 1)))
                slot = before[epoch].slot + random.randrange(1, 3) if epoch in before else 0
                signed = SignedSlot(key, domain, CHAIN, epoch, slot, random.randbytes(32), random.randbytes(64))
                slots.promise(signed)
                together.append(signed)
            slots.commit()
            self.released |= {(signed.key, signed.domain, signed.epoch): signed for signed in together}
