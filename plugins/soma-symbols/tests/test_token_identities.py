"""Identities of profile ``strict`` are those of rules TK22 to TK28, written here once more, one token at a time."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_core.api import MAX_SESSION, Document, Records
from soma_symbols.tokens import Config, open_tokenizer
from soma_symbols.tokens._identities import strict_contents

CASES: Final[list[dict[str, Any]]] = json.loads(
    (Path(__file__).resolve().parents[3] / "specs" / "vectors" / "tokens.json").read_text("utf-8")
)["strict"]
TOKENIZER: Final = open_tokenizer(Config())
COMPAT: Final = open_tokenizer(Config(profile="compat"))
WORD: Final = 2**64 - 1
G0, G1 = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
TEXTS: Final = st.lists(
    st.sampled_from(["a", "word", " ", "é", "a much longer word than sixteen", "\x00"]), max_size=20
)


def mixed(x: int) -> int:
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & WORD
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & WORD
    return x ^ x >> 31


def expected(session: bytes, content: bytes, stream: str, tokens: list[bytes]) -> list[dict[str, int]]:
    digest = hashlib.blake2b(content, digest_size=32, person=b"soma/document").digest()
    given_ = bytes([len(session)]) + session + digest + stream.encode()
    keys = hashlib.blake2b(given_, digest_size=24, person=b"soma/tokens").digest()
    state, first, second = (int.from_bytes(keys[place : place + 8], "little") for place in (0, 8, 16))
    state = state or G0
    rows, begin = [], 0
    for token in tokens:
        state ^= state >> 12
        state ^= state << 25 & WORD
        state ^= state >> 27
        named = hashlib.blake2b(token, digest_size=16, key=b"soma symbols: content ids, 1").digest()
        low, high = int.from_bytes(named[:8], "little"), int.from_bytes(named[8:], "little")
        f = mixed((begin + first) * G0 & WORD ^ low)
        begin += len(token)
        lower = mixed((begin + second) * G1 & WORD ^ high ^ f)
        rows.append(
            {
                "uid": state * 2685821657736338717 & WORD,
                "content_id": high << 64 | low,
                "global_id": mixed(f + lower * G0 & WORD) << 64 | lower,
            }
        )
    return rows


def found(stream: str, content: bytes, session: bytes) -> tuple[list[bytes], list[dict[str, int]], list[Records]]:
    tokens, rows = [], []
    records = list(TOKENIZER.records(stream, [content], Document.of(session, [content])))
    for one in records:
        tokens += [content[begin:end] for begin, end in pairwise(one.tokens.bounds.tolist())]
        for uid, named, whole in zip(one.uids.tolist(), one.contents.tolist(), one.globals.tolist(), strict=True):
            rows.append({"uid": uid, "content_id": named[0] << 64 | named[1], "global_id": whole[0] << 64 | whole[1]})
    return tokens, rows, records


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["stream"])
def test_vectors(case: dict[str, Any]) -> None:
    session, content = bytes.fromhex(case["session"]), case["text"].encode()
    tokens, rows, _ = found(case["stream"], content, session)
    assert [token.decode() for token in tokens] == [row["text"] for row in case["rows"]]
    assert rows == [{key: int(row[key]) for key in ("uid", "content_id", "global_id")} for row in case["rows"]]
    assert rows == expected(session, content, case["stream"], tokens)


@settings(max_examples=40, deadline=None)
@given(parts=TEXTS, session=st.binary(max_size=MAX_SESSION), stream=st.sampled_from(list(TOKENIZER.streams)))
def test_every_record_is_as_the_rules_say(parts: list[str], session: bytes, stream: str) -> None:
    content = "".join(parts).encode()
    tokens, rows, _ = found(stream, content, session)
    assert rows == expected(session, content, stream, tokens)


def test_links_go_on_from_block_to_block() -> None:
    content = b"one two, three. " * 20_000
    tokens, rows, records = found("word", content, b"")
    assert len(records) > 2
    uids = [row["uid"] for row in rows]
    assert np.concatenate([one.previous for one in records]).tolist() == [0, *uids[:-1]]
    assert np.concatenate([one.following for one in records]).tolist() == [*uids[1:], 0]
    assert len({row["global_id"] for row in rows}) == len({row["uid"] for row in rows}) == len(tokens)
    assert len({row["content_id"] for row in rows}) == len(set(tokens))
    assert rows[-50:] == expected(b"", content, "word", tokens)[-50:]


def test_streams_documents_and_sessions_share_no_identity_but_that_of_content() -> None:
    whole: list[tuple[int, int]] = []
    for session in (b"", b"a", b"b"):
        for content in (b"some words", b"some words more"):
            for stream in ("word", "grammar", "char"):
                whole += [(row["uid"], row["global_id"]) for row in found(stream, content, session)[1]]
    assert len({uid for uid, _ in whole}) == len({global_ for _, global_ in whole}) == len(whole)


def test_content_ids_of_many_tokens_differ() -> None:
    """A hundred thousand; 2^-95 is the chance that two of them are alike."""
    tokens = [b"token %d" % number for number in range(100_000)]
    edges = np.cumsum([0, *map(len, tokens)])
    high, low, shorts = strict_contents().look_up(b"".join(tokens), edges[:-1], np.diff(edges))
    assert len(set(zip(high.tolist(), low.tolist(), strict=True))) == 100_000
    assert len(set(shorts.tolist())) < 80_000, "those of the older system are often alike"


def test_sessions_that_are_none() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        Document(bytes(65), bytes(32))
    with pytest.raises(ValueError, match="not 32"):
        Document(b"", bytes(31))
    with pytest.raises(ValueError, match="8 bytes, not 3"):
        COMPAT.records("word", [b"x"], Document(b"abc", bytes(32)))
    with pytest.raises(ValueError, match="no stream 'words'"):
        COMPAT.records("words", [b"x"], Document(bytes(8), bytes(32)))
