"""Tokenizers: bytes cut into tokens, several ways at once. Pure: no I/O once it is open, no state between calls."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import attrs
from attrs import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_SESSION: Final = 64
"""Bytes of a session's key, at most."""


@frozen(eq=False)
class Tokens:
    """Consecutive tokens of one stream, in columns: token i is bytes ``bounds[i]:bounds[i + 1]`` of the document.

    `bounds`: int64 [n + 1], offsets in bytes from the beginning of the document, strictly ascending. `kinds`: uint8
    [n], places in the names that `Tokenizer.streams` gives for the stream. Tokens have no gaps by their form.
    """

    bounds: "NDArray[np.int64]"
    kinds: "NDArray[np.uint8]"

    def __len__(self) -> int:
        return len(self.kinds)


class Tokenizer(Protocol):
    """What cuts any bytes into tokens that are exactly those bytes again, in order."""

    streams: Mapping[str, tuple[str, ...]]
    """Name of each way to cut, in a fixed order → names of its kinds of token."""

    def tokenize(self, stream: str, pieces: Iterable[bytes], /) -> Iterator[Tokens]:
        """The tokens of a document that comes in `pieces`; where these are cut changes no token.

        Together the results begin at 0, end at the document's length, and each begins where the one before ended. An
        empty document has no token. What is held meanwhile is bounded, however long the document is. Raises
        `ValueError` for a stream that there is not.
        """
        ...


def _is_session(_: object, __: object, value: bytes) -> None:
    if len(value) > MAX_SESSION:
        raise ValueError(f"the key of a session has {len(value)} bytes; it has at most {MAX_SESSION}")


def _is_digest(_: object, __: object, value: bytes) -> None:
    if len(value) != 32:
        raise ValueError(f"the digest of a document has {len(value)} bytes, not 32")


@frozen
class Document:
    """Whose tokens are identified: `session` is a key of at most 64 bytes that several documents share.

    `digest`: 32 bytes, as `of` computes it. Raises `ValueError` for other lengths.
    """

    session: bytes = attrs.field(validator=_is_session)
    digest: bytes = attrs.field(validator=_is_digest)

    @classmethod
    def of(cls, session: bytes, pieces: Iterable[bytes]) -> "Document":
        """The document that comes in `pieces`: its digest is BLAKE2b-256 with ``soma/document`` as `person`."""
        import hashlib  # only who identifies tokens pays for it

        state = hashlib.blake2b(digest_size=32, person=b"soma/document")
        for piece in pieces:
            state.update(piece)
        return cls(session, state.digest())


@frozen(eq=False)
class Records:
    """Identities of consecutive tokens, in columns of as many rows as `tokens` has.

    `uids`, `previous`, `following`: uint64 [n]; the neighbours' UIDs are 0 where a stream begins and ends. `contents`
    and `globals`: uint64 [n, 2], high word first, of numbers of 128 bits. `shorts`: uint64 [n], the older system's
    content ids, from 13 to 150,012.
    """

    tokens: Tokens
    uids: "NDArray[np.uint64]"
    previous: "NDArray[np.uint64]"
    following: "NDArray[np.uint64]"
    contents: "NDArray[np.uint64]"
    shorts: "NDArray[np.uint64]"
    globals: "NDArray[np.uint64]"


class HasRecords(Tokenizer, Protocol):
    """Feature ``records``: every token has identities."""

    def records(self, stream: str, pieces: Iterable[bytes], document: Document, /) -> Iterator[Records]:
        """The tokens as `Tokenizer.tokenize` gives them, with identities. `document` is taken at its word.

        Equal bytes have equal contents in every document, stream and session. UIDs differ within a stream. Raises
        `ValueError` for a stream that there is not, and for a session that the tokenizer does not take.
        """
        ...
