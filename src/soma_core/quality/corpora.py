"""What encoders are tried on: only what comes with Python, with the bundled encoders and with scikit-learn.

Rules EQ1 to EQ7 of ``specs/61-report.md``. Nothing is fetched, and the same files give the same items everywhere.
"""

import ast
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from soma_core.errors import UsageError
from soma_core.model import bundled_held_out

PARAPHRASES: Final = Path(__file__).with_name("paraphrases.tsv")
"""Ours, for this: a pair a line, two English sentences that say the same in other words, a tab between them."""
ALL: Final = "all"
"""What all kinds together are called."""
FROM_A_MODULE: Final = 8
"""Functions at most, so that a large module does not stand for all."""
DOCSTRING_LEAST: Final = 24
BODY_LEAST: Final = 64
NAMES_MOST: Final = 100_000
"""Entries of a folder that are looked at."""

_LEFT_OUT: Final = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__"})


@frozen(kw_only=True)
class Sizes:
    """At most so many of each, 0 for none. `items`: of each kind of data. `bytes_most`: of an item; the rest is cut."""

    items: int = 24
    functions: int = 200
    digits: int = 300
    pairs: int = 64
    bytes_most: int = 1024


@frozen
class Functions:
    """Functions of the standard library: row i of `docstrings` says what row i of `bodies` does."""

    docstrings: Sequence[bytes] = ()
    bodies: Sequence[bytes] = ()


@frozen(eq=False)
class Digits:
    """Handwritten digits: `items` as PGM files, 8 by 8; `labels` 0 to 9, [N]; `pixels` 0 to 16, [N, 64]."""

    items: Sequence[bytes] = ()
    labels: NDArray[Any] = field(factory=lambda: np.empty(0, np.int64))
    pixels: NDArray[Any] = field(factory=lambda: np.empty((0, 64)))


@frozen
class Pairs:
    """Row i of both says the same."""

    ones: Sequence[bytes] = ()
    others: Sequence[bytes] = ()


@frozen(eq=False, kw_only=True)
class Corpora:
    """All that encoders are tried on. `kinds`: items by kind. `own`: which kinds are folders that somebody named."""

    kinds: Mapping[str, Sequence[bytes]]
    own: Sequence[str] = ()
    functions: Functions = field(factory=Functions)
    digits: Digits = field(factory=Digits)
    pairs: Pairs = field(factory=Pairs)

    def parts(self) -> dict[str, Sequence[bytes]]:
        """Everything that an encoder reads, by a name of its own; nothing that is empty."""
        every: dict[str, Sequence[bytes]] = {f"kind {name}": items for name, items in self.kinds.items()}
        every |= {"docstrings": self.functions.docstrings, "bodies": self.functions.bodies}
        every |= {"digits": self.digits.items, "ones": self.pairs.ones, "others": self.pairs.others}
        return {name: items for name, items in every.items() if items}


def gather(sizes: Sizes, folders: Sequence[Path] = ()) -> Corpora:
    """Everything, as much as `sizes` say. Raises `UsageError` for what is not there, and says how to do without."""
    kinds = held_out(sizes.items, sizes.bytes_most) if sizes.items else {}
    packed = len(kinds)
    for folder in folders:
        name = folder.name if folder.name not in {"", ALL, *kinds} else str(folder)
        kinds[name] = own(folder, sizes.items or Sizes().items, sizes.bytes_most)
    found = Corpora(
        kinds=kinds,
        own=tuple(kinds)[packed:],
        functions=functions(sizes.functions, sizes.bytes_most) if sizes.functions else Functions(),
        digits=digits(sizes.digits) if sizes.digits else Digits(),
        pairs=pairs(sizes.pairs) if sizes.pairs else Pairs(),
    )
    if not found.parts():
        raise UsageError("nothing is left to try encoders on", "ask for some --items, --functions, --digits or --pairs")
    return found


def held_out(most: int, bytes_most: int) -> dict[str, Sequence[bytes]]:
    """Items that no bundled encoder was trained on, by kind; of more than `most`, evenly chosen."""
    every: dict[str, list[bytes]] = {}
    for item in bundled_held_out():
        every.setdefault(item.kind, []).append(item.data[:bytes_most])
    return {kind: [items[i] for i in _evenly(len(items), most)] for kind, items in every.items()}


def own(folder: Path, most: int, bytes_most: int) -> Sequence[bytes]:
    """The beginnings of files in `folder`, with all that is in it but hidden and empty files; evenly chosen by name."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no folder", "give --data a folder with files")
    inside = islice(folder.rglob("*"), NAMES_MOST)
    files = sorted(
        path
        for path in inside
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.is_symlink()
        and path.is_file()
        and path.stat().st_size
    )
    if len(files) < 2:
        raise UsageError(f"{folder}: {len(files)} files that are not empty", "give --data a folder with two and more")
    return [_beginning(files[i], bytes_most) for i in _evenly(len(files), most)]


def functions(most: int, bytes_most: int, root: Path | None = None) -> Functions:
    """`most` functions of the standard library, modules and functions in the order of their names' digests.

    `root`: the folder of the library. Raises `UsageError` where this Python comes without sources.
    """
    top = root or Path(sysconfig.get_path("stdlib"))
    paths = {
        path.relative_to(top).as_posix(): path
        for path in top.rglob("*.py")
        if not _LEFT_OUT & set(path.relative_to(top).parts)
    }
    found: list[tuple[bytes, bytes]] = []
    for name in sorted(paths, key=_draw):
        chosen = sorted(documented(paths[name].read_bytes()), key=lambda pair: _draw(pair[0].decode()))
        found += [(doc[:bytes_most], body[:bytes_most]) for doc, body in chosen[:FROM_A_MODULE]]
        if len(found) >= most:
            break
    if len(found) < 2:
        raise UsageError(f"{top}: no sources of the standard library", "leave them out: --functions 0")
    docstrings, bodies = zip(*found[:most], strict=True)
    return Functions(docstrings, bodies)


def documented(source: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Docstring and code of each function of a module that has both; the statement that is the docstring is taken out.

    The code has the function's first line and its comments. Nothing for a module that this Python cannot read.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    lines = source.splitlines(keepends=True)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or len(node.body) < 2:
            continue
        text, first, end = ast.get_docstring(node), node.body[0], node.end_lineno
        if text is None or end is None or first.end_lineno is None:
            continue
        if not node.lineno < first.lineno <= first.end_lineno < node.body[1].lineno:
            continue  # it shares a line with code
        body = b"".join(lines[node.lineno - 1 : first.lineno - 1] + lines[first.end_lineno : end])
        if len(text) >= DOCSTRING_LEAST and len(body) >= BODY_LEAST:
            yield text.encode("utf-8", "replace"), body


def digits(most: int) -> Digits:
    """Of scikit-learn's 1,797, `most`, evenly chosen. Raises `UsageError` without it."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UsageError(
            "the digits need scikit-learn", 'python3 -m pip install "soma-core[report]", or leave them out: --digits 0'
        ) from error
    loaded = load_digits()
    chosen = _evenly(len(loaded.data), most)
    pixels = np.asarray(loaded.data, np.float64)[chosen]
    grey = np.rint(pixels * (255 / 16)).astype(np.uint8)
    return Digits([b"P5\n8 8\n255\n" + row.tobytes() for row in grey], np.asarray(loaded.target)[chosen], pixels)


def pairs(most: int) -> Pairs:
    """Our own sentences."""
    lines = PARAPHRASES.read_bytes().splitlines()[:most]
    ones, others = zip(*(line.split(b"\t") for line in lines), strict=True)
    return Pairs(ones, others)


def _evenly(count: int, most: int) -> list[int]:
    """Places of at most `most` of `count` things, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [i * (count - 1) // (most - 1) for i in range(most)] if most > 1 else [0]


def _draw(name: str) -> bytes:
    return blake2b(name.encode("utf-8"), digest_size=16).digest()


def _beginning(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give --data files that you can read") from error
