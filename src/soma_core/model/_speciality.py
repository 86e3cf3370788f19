"""What an encoder is good at, kept beside its weights: computed once, when they are aligned.

Rules Y9 of ``specs/23-routing.md`` and L7 of ``specs/15-encoders.md`` say what the two fields are.
"""

from pathlib import Path
from typing import Self

from attrs import frozen

from soma_core.crypto import DIGEST_SIZE
from soma_core.errors import DecodeError, SettingsError
from soma_core.records import octets, pack, unpack

from ._weights import locate

SUFFIX = ".speciality"
FILE_MOST = 1 << 16
"""Bytes of such a file."""


@frozen(kw_only=True)
class Speciality:
    """Of the weights whose digest is `weights`.

    `best`: a bit for each anchor, set for the quarter with the lowest loss. `position`: int16, the direction of those
    anchors' vectors together, in the network's frame.
    """

    weights: bytes = octets(DIGEST_SIZE)
    best: bytes = octets(most=512)
    position: bytes = octets(most=1 << 14)

    @classmethod
    def beside(cls, weights: str | Path, digest: bytes) -> Self | None:
        """That of a bundled name or a path, whose digest is `digest`; None if there is none.

        Raises `SettingsError` for a file that cannot be read, `DecodeError` for one of other weights.
        """
        path = locate(weights).with_suffix(SUFFIX)
        if not path.exists():
            return None
        try:
            with path.open("rb") as file:
                found = unpack(cls, file.read(FILE_MOST + 1), max_size=FILE_MOST)
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}", "align the encoder again") from error
        if found.weights != digest:
            raise DecodeError(f"{path}: made for other weights", "align the encoder again")
        return found

    def write(self, weights: Path) -> None:
        """Store it beside the weights file."""
        weights.with_suffix(SUFFIX).write_bytes(pack(self))
