"""Files below directories, for commands that take many: which can be read, and why the others are skipped."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import field, frozen

FILES_MOST: Final = 100_000
"""Files that are looked at; the rest is left."""


@frozen
class Walk:
    """`files`: path and size, the smallest first. `skipped`: how many, by why."""

    files: tuple[tuple[Path, int], ...]
    skipped: "Counter[str]" = field(factory=Counter)


def walk(roots: Sequence[Path], most: int, *, files_most: int = FILES_MOST) -> Walk:
    """Every regular file of 1 to `most` bytes at or below `roots`, each once. Links are not followed."""
    found: dict[tuple[int, int], tuple[Path, int]] = {}
    skipped: Counter[str] = Counter()
    for number, path in enumerate(_paths(roots, skipped)):
        if number == files_most:
            skipped[f"beyond the first {files_most:,}"] += 1
            break
        try:
            status = path.lstat()
        except OSError as error:
            skipped[f"cannot be read: {error.strerror}"] += 1
            continue
        if stat.S_ISLNK(status.st_mode):
            skipped["a link"] += 1
        elif not stat.S_ISREG(status.st_mode):
            skipped["no regular file"] += 1
        elif not status.st_size:
            skipped["empty"] += 1
        elif status.st_size > most:
            skipped[f"more than {most:,} bytes"] += 1
        else:
            found.setdefault((status.st_dev, status.st_ino), (path, status.st_size))
    return Walk(tuple(sorted(found.values(), key=lambda entry: (entry[1], entry[0]))), skipped)


def _paths(roots: Sequence[Path], skipped: "Counter[str]") -> Iterator[Path]:
    def failed(error: OSError) -> None:
        skipped[f"a directory that cannot be read: {error.strerror}"] += 1

    for root in roots:
        if not root.is_dir():
            yield root
            continue
        for directory, below, names in os.walk(root, onerror=failed):
            below.sort()
            for name in sorted(names):
                yield Path(directory, name)
