"""Signatures that cost a hash, and the record that keeps a member from signing two bodies of one slot."""

from hashlib import blake2b
from typing import final


def sign(key: bytes, digest: bytes) -> bytes:
    """64 bytes. Who knows the public key could make them: in a simulation nobody does but its member."""
    return blake2b(digest, key=key, digest_size=64).digest()


@final
class Signer:
    """As the signer's process: for each of the last two epochs the highest slot and what it signed. Slots only grow."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._last: dict[int, tuple[int, bytes]] = {}

    def sign(self, epoch: int, slot: int, digest: bytes) -> bytes:
        """The signature, or nothing if this slot or a later one has signed something else."""
        last = self._last.get(epoch, (-1, b""))
        if epoch < max(self._last, default=0) - 1 or slot < last[0] or (slot == last[0] and digest != last[1]):
            return b""
        self._last[epoch] = slot, digest
        self._last = {number: kept for number, kept in self._last.items() if number >= max(self._last) - 1}
        return sign(self.key, digest)

    def forget(self) -> None:
        """The record is lost."""
        self._last = {}
