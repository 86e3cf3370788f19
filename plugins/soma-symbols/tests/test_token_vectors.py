"""``specs/vectors/tokens.json``: everything that is known of the older system, bit for bit."""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from soma_core.api import Document, HasRecords, tokenizer
from soma_symbols.tokens import (
    Config,
    _breaks,
    _compat,
    _counts,
    _identities,
    _pairs,
    _strict,
    _uids,
    _vocabulary,
    numbers,
    open_tokenizer,
)
from soma_symbols.tokens._identities import compat_content_ids
from soma_symbols.tokens._uids import GOLDEN, CompatChain, StandardChain

VECTORS_FOLDER: Final = Path(__file__).resolve().parents[3] / "specs" / "vectors"
VECTORS: Final[dict[str, Any]] = json.loads((VECTORS_FOLDER / "tokens.json").read_text("utf-8"))
COMPAT: Final[HasRecords] = open_tokenizer(Config(profile="compat"))


def texts(stream: str, document: bytes) -> list[str]:
    """Texts as the older system writes them: a byte is its value in decimal."""
    found = []
    for tokens in COMPAT.tokenize(stream, [document]):
        bounds = tokens.bounds.tolist()
        found += [document[begin:end] for begin, end in pairwise(bounds)]
    return [str(token[0]) if stream == "byte" else token.decode() for token in found]


def whole(numbers_: Iterable[int | str]) -> list[int]:
    """Numbers of 2^53 and more are strings in the file."""
    return [int(number) for number in numbers_]


@pytest.mark.parametrize("case", VECTORS["streams"], ids=lambda case: case["text"] or "empty")
def test_streams(case: Mapping[str, Any]) -> None:
    for stream, expected in case["streams"].items():
        assert texts(stream, case["text"].encode()) == expected, stream


@pytest.mark.parametrize("case", VECTORS["counts"], ids=lambda case: repr(case["text"]))
def test_counts(case: Mapping[str, Any]) -> None:
    assert {stream: len(texts(stream, case["text"].encode())) for stream in case["counts"]} == case["counts"]


@pytest.mark.parametrize("case", VECTORS["bytes"], ids=lambda case: case["hex"])
def test_bytes_that_are_no_text(case: Mapping[str, Any]) -> None:
    assert texts("byte", bytes.fromhex(case["hex"])) == case["byte"]


def test_a_line_end_of_two_is_one_space_of_its_own_kind() -> None:
    (found,) = COMPAT.tokenize("space", [b" a\tb\r\nc\n"])
    assert [COMPAT.streams["space"][kind] for kind in found.kinds.tolist()] == [
        *("space", "content", "tab", "content", "carriage_return", "content", "newline")
    ]


@pytest.mark.parametrize("case", VECTORS["uids"], ids=lambda case: str(case["seed"]))
def test_uids(case: Mapping[str, Any]) -> None:
    compat, standard = whole(case["compat"]), whole(case["standard"])
    assert CompatChain(case["seed"]).draw(0, len(compat), None).tolist() == compat
    assert StandardChain(case["seed"]).draw(len(standard)).tolist() == standard


def test_content_ids() -> None:
    for key in ("contents", "stream_ids"):
        assert compat_content_ids(list(VECTORS[key])).tolist() == list(VECTORS[key].values())
    assert list(VECTORS["stream_ids"]) == list(COMPAT.streams)


def test_sessions() -> None:
    for seed, session in VECTORS["sessions"].items():
        assert int(seed) ^ GOLDEN == int(session)


@pytest.mark.parametrize("case", VECTORS["records"], ids=lambda case: case["stream"])
def test_records(case: Mapping[str, Any]) -> None:
    document = Document(case["seed"].to_bytes(8, "little"), bytes(32))
    (found,) = COMPAT.records(case["stream"], [case["text"].encode()], document)
    for place, row in enumerate(case["rows"]):
        told = {
            "text": texts(case["stream"], case["text"].encode())[place],
            "uid": int(found.uids[place]),
            "previous": int(found.previous[place]),
            "next": int(found.following[place]),
            "content_id": int(found.contents[place, 1]),
            "global_id": int(found.globals[place, 1]),
        }
        told["frontend"] = numbers.frontend(told["text"])
        told["backend"] = numbers.backend(told["text"], place, told["uid"], told["previous"], told["next"])
        expected = {key: value if key == "text" else int(value) for key, value in row.items()}
        assert {key: told[key] for key in expected} == expected
    assert not found.contents[:, 0].any()
    assert not found.globals[:, 0].any()
    assert found.shorts.tolist() == found.contents[:, 1].tolist()


@pytest.mark.parametrize("case", VECTORS["numbers"], ids=lambda case: case["text"])
def test_numbers(case: Mapping[str, Any]) -> None:
    text = case["text"]
    assert numbers.weighted_sum(text) == case["weighted"]
    assert numbers.run_weighted_sum(text) == case["by_runs"]
    assert numbers.alphabetic_sum(text) == case["alphabetic"]
    assert numbers.hash31(text) == case["hash31"]
    assert numbers.frontend(text) == numbers.frontend(text, embedding=True) == case["frontend"]


def test_constants_are_those_of_the_chapter() -> None:
    chapter = VECTORS_FOLDER.parent / "80-tokens.md"
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", chapter.read_text("utf-8"), re.MULTILINE)
    written = {name: int(value) for name, value in rows}
    modules = (_strict, _breaks, _pairs, _counts, _vocabulary, _compat, _identities, _uids, tokenizer)
    in_code = {name: value for module in modules for name, value in vars(module).items() if name in written}
    assert in_code == written
    assert len(written) == 18


def test_digits() -> None:
    case = VECTORS["digits"]
    for stream, expected in case["streams"].items():
        assert numbers.digits(stream, texts(stream, case["text"].encode())) == expected, stream


def test_the_embedding_bit_and_runs_change_a_backend_number() -> None:
    plain = numbers.backend("aab!", 3, 0, 5, 7)
    assert plain == (97 + 2 * 97 + 3 * 98 + 4 * 33) * 4 + 3 + 4 + 12
    assert numbers.backend("aab!", 3, 0, 5, 7, embedding=True) == plain + 1
    assert numbers.backend("aab!", 3, 0, 5, 7, by_runs=True) == (2 * 97 + 2 * 98 + 3 * 33 + 3) * 3 + 3 + 4 + 12
    assert numbers.backend("", 0, 0, 0, 0) == 0


@pytest.mark.parametrize(
    ("given", "expected", "options"),
    [
        (" \t a\r\n b ", "a b ", {}),
        ("ÀB\u00a0c", "Àb\u00a0c", {"lower": True}),
        ("a-b_c é1!", "abc 1", {"drop_specials": True}),
        ("aaabbb111", "aabb111", {"longest_run": 2}),
        ("aaab", "aaab", {"longest_run": 1}),
    ],
)
def test_what_is_read_instead_of_a_text(given: str, expected: str, options: dict[str, Any]) -> None:
    assert numbers.sanitized(given, **options) == expected
