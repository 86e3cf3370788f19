"""Training data: files and folders, read in pieces, as often as somebody asks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from soma_core.errors import UsageError

PIECE: Final = 1 << 18
"""Bytes that are read at a time. Symbols of two pieces are no neighbours."""
FILES_MOST: Final = 1_000_000


@frozen
class Corpus:
    """`files`: in the order in which they are read, the same on every machine. `size`: bytes of all."""

    files: tuple[Path, ...]
    size: int

    def pieces(self) -> Iterator[bytes]:
        """All files, a piece after the other: up to `PIECE` bytes, cut behind a line where there is one.

        Raises `UsageError` for a file that can no longer be read.
        """
        for file in self.files:
            try:
                with file.open("rb") as source:
                    rest = b""
                    while read := source.read(PIECE - len(rest)):
                        whole = rest + read
                        cut = whole.rfind(b"\n") + 1 if len(whole) == PIECE else 0
                        piece, rest = (whole[:cut], whole[cut:]) if cut else (whole, b"")
                        yield piece
                    if rest:
                        yield rest
            except OSError as error:
                raise UsageError(f"{file}: {error.strerror}", "train on files that can be read") from error


def gather(paths: Sequence[Path]) -> Corpus:
    """The files at `paths`, folders with all that is in them. Empty files and links are left out.

    Raises `UsageError` for a path that is not there, and where nothing is left.
    """
    found: dict[Path, int] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder", "name what to train on with --data")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not file.is_symlink() and (size := file.stat().st_size):
                found[file] = size
            if len(found) > FILES_MOST:
                raise UsageError(f"{path}: more than {FILES_MOST} files", "train on fewer, or join them")
    if not found:
        raise UsageError("there is nothing to train on", "give files that are not empty with --data")
    return Corpus(tuple(found), sum(found.values()))
