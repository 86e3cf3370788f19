"""Profile ``compat`` against the older system itself, somaya 1.0.5, on random texts: ``nox -s symbols``."""

import random
from itertools import pairwise
from typing import Any, Final

import pytest
from benchmarks.older_tokens import load

from soma_core.api import Document
from soma_symbols.tokens import Config, numbers, open_tokenizer

TEXTS: Final = 1500
PAIRS: Final = "th he in er an re nd en at ou is or ti as to nt ng be we ha hi my by of"
LONGER: Final = "the and ing tion ent for ter hat his con ver all ons nce men queue strength rhythm HELLO Info aaa zz"
PARTS: Final = (
    *PAIRS.split(),
    *LONGER.split(),
    *("a", "T", "7", "42", "_", "-", "!", "'", " ", "  ", "\t", "\n", "\r\n", "\x0b", "\u00a0", "\u2003"),
    *("é", "ß", "你", "界", "👩‍🚀", "🇫🇷", "e\u0301", "ا", "ก", "\x00", "\U0010ffff"),
)


@pytest.fixture(scope="module")
def module() -> Any:
    """The older tokenizer's module."""
    return load()


def drawn(seed: int) -> str:
    choice = random.Random(seed)
    return "".join(choice.choices(PARTS, k=choice.randrange(80)))


def ours(stream: str, document: bytes, seed: int) -> list[dict[str, Any]]:
    tokenizer = open_tokenizer(Config(profile="compat"))
    found = []
    for records in tokenizer.records(stream, [document], Document(seed.to_bytes(8, "little"), bytes(32))):
        columns = (records.uids, records.previous, records.following, records.shorts, records.globals[:, 1])
        tokens = [document[begin:end] for begin, end in pairwise(records.tokens.bounds.tolist())]
        for token, *row in zip(tokens, *(column.tolist() for column in columns), strict=True):
            text = str(token[0]) if stream == "byte" else token.decode()
            found.append(dict(zip(("text", "uid", "prev", "next", "content", "global"), (text, *row), strict=True)))
    return found


def test_streams_and_records(module: Any) -> None:
    tokenizer = open_tokenizer(Config(profile="compat"))
    for seed in range(TEXTS):
        text = drawn(seed)
        theirs = module.TextTokenizer(seed=seed, embedding_bit=False).build(text)
        assert list(theirs) == list(tokenizer.streams)
        for stream, records in theirs.items():
            expected = [
                {
                    "text": record.text,
                    "uid": record.uid,
                    "prev": record.prev_uid or 0,
                    "next": record.next_uid or 0,
                    "content": record.content_id,
                    "global": record.global_id,
                }
                for record in records.tokens
            ]
            found = ours(stream, text.encode(), seed)
            assert found == expected, (seed, stream)
            for place, (row, record) in enumerate(zip(found, records.tokens, strict=True)):
                assert numbers.frontend(row["text"]) == record.frontend
                backend = numbers.backend(row["text"], place, row["uid"], row["prev"], row["next"])
                assert backend == record.backend_huge
                assert backend % numbers.SCALE == record.backend_scaled


def test_digits(module: Any) -> None:
    for seed in range(TEXTS // 5):
        text = drawn(seed)
        for stream, expected in module.run_once_compat(text).items():
            assert numbers.digits(stream, [row["text"] for row in ours(stream, text.encode(), 1)]) == expected


def test_what_is_read_instead_of_a_text(module: Any) -> None:
    for seed in range(TEXTS):
        text = drawn(seed)
        lower, drop, longest = bool(seed & 1), bool(seed & 2), seed % 4
        expected = module.sanitize_text(text, lower, drop, longest)
        assert numbers.sanitized(text, lower=lower, drop_specials=drop, longest_run=longest) == expected
