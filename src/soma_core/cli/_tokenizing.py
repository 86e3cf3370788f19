"""What ``soma tokenize`` reads and writes: documents that are read several times, and tokens as text."""

import codecs
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import chain, pairwise
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final

from attrs import frozen

from soma_core.api import Document, HasRecords, Records, Tokenizer, Tokens
from soma_core.config import Options
from soma_core.errors import PluginError, SomaError, UsageError

from . import _choosing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT: Final = "tokenizer-soma"
STANDARD: Final = "-"
PIECE: Final = 1 << 18
"""Bytes that are read at once."""
HELD: Final = 1 << 24
"""Bytes of standard input that are held in memory; more of it waits on the disk."""
BYTE: Final = "byte"
"""The stream whose tokens are written as numbers: a byte alone is no text."""


@frozen
class Chosen:
    """A tokenizer, ready, under its plugin's name."""

    name: str
    tokenizer: Tokenizer
    identifies: bool

    def identifying(self) -> HasRecords:
        """The same, if it gives records. Raises `UsageError`."""
        if not self.identifies:
            raise UsageError(f"{self.name} gives no records", "leave --records away")
        known: Any = self.tokenizer
        found: HasRecords = known
        return found


def choose(options: Options, profile: str | None) -> Chosen:
    """The tokenizer that `options` name, else `DEFAULT`. Raises `UsageError`, `SettingsError` or `PluginError`."""
    settings = {} if profile is None else {"profile": profile}
    opened = _choosing.choose(options, "tokenizer", DEFAULT, settings)
    return Chosen(opened.name, opened.component, "records" in opened.spec.features)


@frozen
class Source:
    """A document that can be read from its begin as often as is needed. `size`: bytes, when it was opened."""

    name: str
    stream: IO[bytes]
    size: int

    def pieces(self, step: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
        """All of it, in pieces; `step` is told how much was read before each. Several may go on side by side."""
        done = 0
        while True:
            self.stream.seek(done)
            piece = self.stream.read(PIECE)
            if not piece:
                return
            step(done)
            done += len(piece)
            yield piece


@contextmanager
def opened(file: str) -> Iterator[Source]:
    """FILE, or standard input for ``-``. What cannot be read twice is put aside first. Raises `UsageError`."""
    with ExitStack() as stack:
        try:
            if file != STANDARD and Path(file).is_file():
                stream: IO[bytes] = stack.enter_context(Path(file).open("rb"))
                size = Path(file).stat().st_size
            else:
                stream = stack.enter_context(SpooledTemporaryFile(max_size=HELD))
                with nullcontext(sys.stdin.buffer) if file == STANDARD else Path(file).open("rb") as given:
                    shutil.copyfileobj(given, stream, PIECE)
                size = stream.tell()
        except OSError as error:
            raise UsageError(f"{file}: cannot be read: {error.strerror or error}", "give a readable file") from error
        yield Source(file, stream, size)


def cut(chosen: Chosen, stream: str, pieces: Iterator[bytes]) -> Iterator[Tokens]:
    """The tokens. Raises `PluginError` if the plugin breaks down."""
    return _guarded(chosen, chosen.tokenizer.tokenize(stream, pieces))


def identified(chosen: Chosen, stream: str, pieces: Iterator[bytes], document: Document) -> Iterator[Records]:
    """The tokens with their identities. Raises `UsageError`, or `PluginError` if the plugin breaks down."""
    return _guarded(chosen, chosen.identifying().records(stream, pieces, document))


def _guarded(chosen: Chosen, results: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from results
    except (SomaError, OSError):
        raise
    except Exception as error:
        raise PluginError(f"{chosen.name} broke down: {error}", "report it to its author, with the file") from error


class Texts:
    """Tokens of a document as text, in the order in which they come."""

    def __init__(self, source: Source, stream: str) -> None:
        self._source, self._stream = source, stream
        self._held = b""
        self._begun = 0
        self._pieces = source.pieces()

    def of(self, tokens: Tokens) -> list[str]:
        """A byte that is no UTF-8 becomes U+DC00 and its value, as Python's ``surrogateescape`` has it."""
        bounds = tokens.bounds.tolist()
        while self._begun + len(self._held) < bounds[-1]:
            self._held += next(self._pieces)
        data, begun = self._held, self._begun
        self._held, self._begun = data[bounds[-1] - begun :], bounds[-1]
        if self._stream == BYTE:
            return [str(value) for value in data[: bounds[-1] - begun]]
        return [data[one - begun : two - begun].decode("utf-8", "surrogateescape") for one, two in pairwise(bounds)]


class Places:
    """Which code point of a document each token begins with or in, counted from 0."""

    def __init__(self, source: Source) -> None:
        import numpy as np

        self._known = _starts(source.pieces())
        self._starts: NDArray[np.int64] = np.zeros(0, np.int64)
        self._before = 0

    def of(self, tokens: Tokens) -> list[int]:
        """In the order in which the tokens come."""
        import numpy as np

        begins = tokens.bounds[:-1]
        last = int(begins[-1])
        while not len(self._starts) or self._starts[-1] <= last:
            more = next(self._known, None)
            if more is None:
                break
            self._starts = np.concatenate([self._starts, more])
        places = np.searchsorted(self._starts, begins, "right") - 1
        found: list[int] = (places + self._before).tolist()
        passed = int(places[-1])
        self._starts, self._before = self._starts[passed:], self._before + passed
        return found


def _starts(pieces: Iterator[bytes]) -> "Iterator[NDArray[np.int64]]":
    """The bytes at which code points begin; a byte that is no UTF-8 is one of its own."""
    import numpy as np

    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    begun = 0
    for piece in chain(pieces, [b""]):
        text = decode(piece, not piece)
        if text:
            points = np.array([text]).view(np.uint32)
            widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
            widths[(points >= 0xDC80) & (points < 0xDD00)] = 1
            ends = begun + np.cumsum(widths)
            yield ends - widths
            begun = int(ends[-1])


def quoted(text: str) -> str:
    """`text` as JSON in ASCII: what is no UTF-8 can be printed so, and is read back as it was."""
    return json.dumps(text)
