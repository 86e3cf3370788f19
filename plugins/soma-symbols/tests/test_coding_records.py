"""Whole records of every stream and profile come back equal from packed bytes."""

import numpy as np
import pytest

from soma_core.api import Coder
from soma_symbols.coding import CoderConfig, open_coder
from soma_symbols.coding.records import Source, pack_records, records_of, unpack_records
from soma_symbols.tokens import Config, open_tokenizer

DOCUMENT = "Hello, world!  The singing-thing 2x\n你好 世界 café aaa bbb aaa bbb\n".encode() + b"\xff\xfe\n" + bytes(9)
COLUMNS = ("uids", "previous", "following", "contents", "shorts", "globals")
STREAMS = {profile: tuple(open_tokenizer(Config(profile=profile)).streams) for profile in ("strict", "compat")}


@pytest.fixture(scope="module")
def coder() -> Coder:
    return open_coder(CoderConfig(method="frequency"))


def source(profile: str, stream: str) -> Source:
    return Source(stream, profile, session=(12345).to_bytes(8, "little"))


@pytest.mark.parametrize(("profile", "stream"), [(profile, s) for profile, streams in STREAMS.items() for s in streams])
def test_records_come_back_equal(profile: str, stream: str, coder: Coder) -> None:
    packed = pack_records(source(profile, stream), DOCUMENT, coder)
    again, document, made = unpack_records(packed, coder)
    assert (again, document) == (source(profile, stream), DOCUMENT)
    expected = records_of(source(profile, stream), DOCUMENT)
    assert len(expected) == len(made) > 0
    for one, other in zip(expected, made, strict=True):
        assert np.array_equal(one.tokens.bounds, other.tokens.bounds)
        assert np.array_equal(one.tokens.kinds, other.tokens.kinds)
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)


def test_an_empty_document_has_records_too(coder: Coder) -> None:
    assert unpack_records(pack_records(Source("word"), b"", coder), coder)[1] == b""


def test_what_was_changed_is_refused(coder: Coder) -> None:
    packed = pack_records(source("strict", "word"), DOCUMENT, coder)
    for bit in range(0, 8 * len(packed), 3):
        changed = bytearray(packed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
            unpack_records(bytes(changed), coder)
    for cut in range(len(packed)):
        with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
            unpack_records(packed[:cut], coder)


@pytest.mark.parametrize(
    "bad",
    [Source("words"), Source("word", "lax"), Source("word", vocabulary="none"), Source("word", session=bytes(65))],
)
def test_what_there_is_not_is_refused(bad: Source, coder: Coder) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        pack_records(bad, DOCUMENT, coder)
