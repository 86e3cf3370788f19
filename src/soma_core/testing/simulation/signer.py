"""Signatures that cost a hash, and the record that keeps a member from signing two bodies of one slot."""

from hashlib import blake2b
from typing import final


def sign(key: bytes, digest: bytes) -> bytes:
    """64 bytes. Who knows the public key could make them: in a simulation nobody does but its member."""
    return blake2b(digest, key=key, digest_size=64).digest()


@final
class Signer:
    """As the signer's process: for each domain the highest slot, what it signed and the signature. Slots only grow."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._last: tuple[int, int] = (-1, -1)
        self._digest = self._signature = b""

    def sign(self, epoch: int, slot: int, digest: bytes) -> bytes:
        """The signature, or nothing if this slot or a later one has signed something else."""
        if (epoch, slot) > self._last:
            self._last, self._digest, self._signature = (epoch, slot), digest, sign(self.key, digest)
        elif (epoch, slot) < self._last or digest != self._digest:
            return b""
        return self._signature

    def forget(self) -> None:
        """The record is lost."""
        self._last = (-1, -1)
