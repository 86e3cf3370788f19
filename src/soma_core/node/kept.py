"""Models that an operator brought out while the node ran, kept as long as the chain may ask for their answers.

What the operator does with the files meanwhile does not matter: the node has its own.
"""

from pathlib import Path
from typing import Final, Self, final

from attrs import evolve, frozen

from soma_core import chain
from soma_core.errors import RefusedError
from soma_core.model import ModelFiles, Speciality, read_config, read_frame, weights_digest
from soma_core.records import octets, pack, unpack

from .durable import read_if_there, sync_directory, write_durably
from .models import Pair

FILE_MOST: Final = (64 << 20) + (1 << 20)
"""Bytes of such a file: a model as large as a blob, and what belongs to it."""


@frozen(kw_only=True)
class Kept:
    """A model and what its encoder says of it. `salt`: of its seal until it is in force, then empty."""

    files: ModelFiles
    weights: bytes = octets(32)
    frame: bytes = octets(32)
    position: bytes = octets(most=1 << 14, default=b"")
    best: bytes = octets(most=512, default=b"")
    salt: bytes = octets(most=32, default=b"")

    @classmethod
    def read(cls, weights: str | Path, salt: bytes, *, anchors: bool) -> Self:
        """What stands at a bundled name or a path. `anchors`: whether the network has any. Raises `SomaError`."""
        files = ModelFiles.read(weights)
        digest = weights_digest(read_config(files.config), files.weights)
        found = Speciality.beside(weights, digest)
        if found is None:
            raise RefusedError(
                f"nobody has found yet what the weights {weights} are good at", "soma encoder align FILE --overwrite"
            )
        return cls(
            files=files,
            weights=digest,
            frame=read_frame(files.frame, digest).digest(),
            position=found.position,
            best=found.best if anchors else b"",
            salt=salt,
        )

    @property
    def pair(self) -> Pair:
        """What the chain calls it."""
        return self.weights, self.frame

    def seal(self, encoder: bytes) -> bytes:
        """What the encoder publishes before it shows the model."""
        return chain.weights_seal(encoder, self.salt, self.weights, self.frame, self.position, self.best)

    def shown(self) -> chain.RevealWeights:
        """What shows it."""
        return chain.RevealWeights(
            salt=self.salt, weights=self.weights, frame=self.frame, position=self.position, best=self.best
        )


@final
class KeptModels:
    """Those of one encoder, a file each in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, pair: Pair) -> Kept | None:
        """The model of this pair, if it is kept."""
        data = read_if_there(self._path(pair))
        return None if data is None else unpack(Kept, data, max_size=FILE_MOST)

    def put(self, kept: Kept) -> None:
        """Keep a model: it is on disk when the call returns."""
        write_durably(self._path(kept.pair), pack(kept))

    def hold(self, kept: Kept) -> None:
        """It is in force: there is nothing to show any more."""
        self.put(evolve(kept, salt=b""))

    def wanted(self) -> Kept | None:
        """The one that is not in force yet, if there is one."""
        for path in sorted(self._directory.glob("[0-9a-f]*")):
            kept = unpack(Kept, path.read_bytes(), max_size=FILE_MOST)
            if kept.salt:
                return kept
        return None

    def keep_only(self, pairs: frozenset[Pair]) -> None:
        """Forget all others."""
        names = {self._path(pair).name for pair in pairs}
        gone = [path for path in self._directory.glob("[0-9a-f]*") if path.name not in names]
        for path in gone:
            path.unlink()
        if gone:
            sync_directory(self._directory)

    def _path(self, pair: Pair) -> Path:
        return self._directory / "-".join(part.hex() for part in pair)
