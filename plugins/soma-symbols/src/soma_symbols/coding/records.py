"""Whole records of tokens, packed: what they are made of, and a check that the same come back. Rule CZ47."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from attrs import frozen

from soma_core.api import Coder, Document, Records
from soma_symbols.tokens import Config, open_tokenizer

from ._reader import Reader

FORM: Final = 1
MAX_NAME: Final = 255
_CHECK: Final = 8
_COLUMNS: Final = ("uids", "previous", "following", "contents", "globals", "shorts")


@frozen
class Source:
    """What records are made of, beside the bytes of their document. Texts and `session` have at most 255 bytes."""

    stream: str
    profile: str = "strict"
    vocabulary: str = "python"
    session: bytes = b""


def records_of(source: Source, document: bytes) -> list[Records]:
    """The records of `document`. Raises `ValueError` for a profile, vocabulary, stream or session that there is not."""
    if source.profile not in {"strict", "compat"}:
        raise ValueError(f"there is no profile {source.profile!r}; there are strict, compat")
    tokenizer = open_tokenizer(Config(profile=source.profile, vocabulary=source.vocabulary))  # type: ignore[arg-type]
    return list(tokenizer.records(source.stream, [document], Document.of(source.session, [document])))


def pack_records(source: Source, document: bytes, coder: Coder) -> bytes:
    """The records of `document`, at most `MAX_BLOCK` bytes: packed, with all that makes them. Raises `ValueError`."""
    made = records_of(source, document)
    parts = (source.stream.encode(), source.profile.encode(), source.vocabulary.encode(), source.session)
    for part in parts:
        if len(part) > MAX_NAME:
            raise ValueError(f"a name or session of {len(part)} bytes; at most {MAX_NAME}")
    head = b"".join(bytes([len(part)]) + part for part in parts)
    return bytes([FORM]) + head + _check(made) + coder.compress(document)


def unpack_records(packed: bytes, coder: Coder) -> tuple[Source, bytes, list[Records]]:
    """What the records are made of, their document, and the records: equal to those that were packed.

    Raises `ValueError` for anything else, also where this tokenizer would make other records of the document.
    """
    reader = Reader(packed)
    if reader.byte() != FORM:
        raise ValueError("packed records: of a form that is not known here")
    stream, profile, vocabulary, session = (reader.take(reader.byte()) for _ in range(4))
    source = Source(stream.decode(), profile.decode(), vocabulary.decode(), session)
    check = reader.take(_CHECK)
    document = coder.decompress(reader.rest())
    made = records_of(source, document)
    if _check(made) != check:
        raise ValueError("packed records: this tokenizer makes other records of the document than were packed")
    return source, document, made


def _check(made: Sequence[Records]) -> bytes:
    """8 bytes of all columns, wherever they are cut."""
    state = hashlib.blake2b(digest_size=_CHECK, person=b"soma/packed")
    columns: list[list[np.ndarray[Any, Any]]] = [
        [one.tokens.bounds[1:] for one in made],
        [one.tokens.kinds for one in made],
        *([getattr(one, name) for one in made] for name in _COLUMNS),
    ]
    for column in columns:
        for part in column:
            state.update(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).tobytes())
    return state.digest()
