"""What engines accuse members of, kept in a bounded table and told to people once."""

import logging
from typing import Final, final

from attrs import frozen

from soma_core.api import Accuse

ACCUSATIONS: Final = 16
"""Accusations kept of one member: the first ones."""
EVIDENCE_MOST: Final = 64 << 10
"""Bytes of the two bodies of an accusation that is kept."""

_log = logging.getLogger("soma.driver")


@frozen
class Accusation:
    """Two bodies of one slot that a member signed."""

    epoch: int
    first: bytes
    second: bytes


@final
class Evidence:
    """By consensus key."""

    def __init__(self) -> None:
        self.accusations: dict[bytes, tuple[Accusation, ...]] = {}

    def take(self, epoch: int, key: bytes, accusation: Accuse) -> bool:
        """Keep an accusation of who has `key`, if it is a new one; a slot is known by the first of its bodies."""
        kept = self.accusations.get(key, ())
        known = any((one.epoch, one.first) == (epoch, accusation.first) for one in kept)
        if known or len(kept) >= ACCUSATIONS or len(accusation.first) + len(accusation.second) > EVIDENCE_MOST:
            return False
        _log.warning("the key %s signed two bodies of one slot, in epoch %d", key.hex()[:12], epoch)
        self.accusations[key] = (*kept, Accusation(epoch, accusation.first, accusation.second))
        return True
