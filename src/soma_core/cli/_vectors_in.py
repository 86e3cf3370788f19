"""Vectors, ids and labels that a person gives: an ``.npy`` file, files of lines, JSON lines."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from attrs import frozen

from soma_core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from soma_core.api import Labels

TOGETHER: Final = 4096
"""Vectors that are given to an index at once."""
LINE_MOST: Final = 1 << 20
"""Bytes of a line, at most: a vector of the greatest length and its labels fit."""
HEX: Final = "hex:"
"""How the text of an id begins whose bytes are no text, or would begin like this."""


@frozen(eq=False)
class Part:
    """Some of what is given: ids (none for queries), float32 [n, dim], labels, and where it begins."""

    ids: list[bytes]
    vectors: "NDArray[np.float32]"
    labels: "list[Labels] | None"
    first: str


def id_of(text: str) -> bytes:
    """The id that `text` stands for. Raises `UsageError`."""
    if not text.startswith(HEX):
        return text.encode("utf-8", "surrogateescape")
    try:
        return bytes.fromhex(text.removeprefix(HEX))
    except ValueError as error:
        raise UsageError(f"{text!r:.80} is no hexadecimal id", "write two digits for each byte") from error


def text_of(id_: bytes) -> str:
    """The text that stands for an id, for no other one."""
    try:
        text = id_.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    return text if text.isprintable() and text and not text.startswith(HEX) else HEX + id_.hex()


def array(path: Path) -> "NDArray[Any]":
    """The array of numbers [n, dim] in an ``.npy`` file, mapped. Raises `UsageError`."""
    import numpy as np

    try:
        stored = np.lib.format.open_memmap(path, mode="r")  # mapped: what its header says is not believed
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or 'cannot be read'}", "name an .npy file") from error
    except (ValueError, TypeError, OverflowError, EOFError, SyntaxError) as error:
        what = " ".join(str(error).split())[:200]
        raise UsageError(f"{path}: no .npy file: {what}", "write one with numpy.save") from error
    if stored.dtype.kind not in "fiu" or stored.ndim != 2:
        raise UsageError(
            f"{path}: {stored.dtype} {list(stored.shape)} are no vectors", "save an array of numbers [n, dim]"
        )
    return stored


def parts_of_array(path: Path, ids: Path | None, labels: Path | None) -> "tuple[int, Iterator[Part]]":
    """How many vectors are in an ``.npy`` file, and the file in parts. Without `ids`, a row's number is its id."""
    stored = array(path)

    def parts() -> Iterator[Part]:
        with _lines(ids) as names, _lines(labels) as told:
            for start in range(0, len(stored), TOGETHER):
                rows = _floats(stored[start : start + TOGETHER])
                count = len(rows)
                own = [b"%d" % row for row in range(start, start + count)]
                given = own if names is None else [id_of(text) for text in islice(names, count)]
                some = None if told is None else [_labels(labels, text) for text in islice(told, count)]
                for file, kept in ((ids, given), (labels, some)):
                    if kept is not None and len(kept) != count:
                        raise UsageError(f"{file}: fewer lines than {path} has vectors", "give one for each")
                yield Part(given, rows, some, f"row {start}")
            for file, rest in ((ids, names), (labels, told)):
                if rest is not None and next(rest, None) is not None:
                    raise UsageError(f"{file}: more lines than {path} has vectors", "all that have one were added")

    return len(stored), parts()


def parts_of_lines() -> Iterator[Part]:
    """Standard input, JSON lines of ``{"id", "vector", "labels"}``, in parts."""
    with _lines(Path("-")) as lines:
        assert lines is not None
        for first, some in _together(lines):
            rows = [_object(text, first + n) for n, text in enumerate(some)]
            ids = [_id(row.get("id"), first + n) for n, row in enumerate(rows)]
            vectors = _matrix([row.get("vector") for row in rows], first)
            yield Part(ids, vectors, [row.get("labels") or {} for row in rows], f"line {first}")


def queries(file: Path | None) -> "Iterator[NDArray[np.float32]]":
    """Queries in parts: of an ``.npy`` file, or JSON lines of ``{"vector"}`` or of bare vectors on standard input."""
    if file is not None and str(file) != "-":
        stored = array(file)
        yield from (_floats(stored[i : i + TOGETHER]) for i in range(0, len(stored), TOGETHER))
        return
    with _lines(Path("-")) as lines:
        assert lines is not None
        for first, some in _together(lines):
            values = [_value(text, first + n) for n, text in enumerate(some)]
            yield _matrix([value.get("vector") if isinstance(value, dict) else value for value in values], first)


def ids_in(file: Path) -> Iterator[list[bytes]]:
    """The ids in a file of lines, in parts; ``-`` is standard input."""
    with _lines(file) as lines:
        assert lines is not None
        while some := [id_of(text) for text in islice(lines, TOGETHER)]:
            yield some


def _together(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Lines in parts, each with the number of its first."""
    numbered = ((n, text) for n, text in enumerate(lines, 1) if text.strip())
    while some := list(islice(numbered, TOGETHER)):
        yield some[0][0], [text for _, text in some]


@contextmanager
def _lines(file: Path | None) -> Iterator[Iterator[str] | None]:
    """The lines of a file as text, without their ends. Raises `UsageError`."""
    if file is None:
        yield None
    elif str(file) == "-":
        yield _read(sys.stdin.buffer, "standard input")
    else:
        try:
            stream = file.open("rb")
        except OSError as error:
            raise UsageError(f"{file}: cannot be read: {error.strerror}", "name a readable file") from error
        with stream:
            yield _read(stream, str(file))


def _read(stream: IO[bytes], name: str) -> Iterator[str]:
    while line := stream.readline(LINE_MOST + 1):
        if len(line) > LINE_MOST:
            raise UsageError(f"{name}: a line of more than {LINE_MOST} bytes", "one line is one vector")
        yield line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def _value(text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"line {line} is not JSON: {str(error)[:100]}", "write one JSON value a line") from error


def _object(text: str, line: int) -> dict[str, Any]:
    value = _value(text, line)
    if not isinstance(value, dict):
        raise UsageError(f"line {line} is no JSON object", 'write {"id": …, "vector": […], "labels": {…}}')
    return value


def _labels(file: Path | None, text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: {text!r:.60} is not JSON", "write one object of labels a line") from error


def _id(value: Any, line: int) -> bytes:
    if not isinstance(value, str):
        raise UsageError(f"line {line} has no id of text", 'write {"id": "…", "vector": […]}')
    return id_of(value)


def _matrix(rows: list[Any], first: int) -> "NDArray[np.float32]":
    import numpy as np

    try:
        matrix = np.array(rows, np.float64)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"from line {first} on: not all vectors are lists of equally many numbers", "look at the lines"
        ) from error
    return _floats(matrix)


def _floats(rows: "NDArray[Any]") -> "NDArray[np.float32]":
    import numpy as np

    with np.errstate(over="ignore"):  # an index refuses what is not finite
        return np.asarray(rows, np.float32)
