"""Breaks are Unicode's, and a block's length changes no token."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_symbols.tokens import Config, _blocks, open_tokenizer
from soma_symbols.tokens._blocks import Cutter, cut
from soma_symbols.tokens._breaks import HOLD, REACH
from soma_symbols.tokens._compat import compat_cutters
from soma_symbols.tokens._properties import FINE
from soma_symbols.tokens._strict import LONGEST, strict_cutters
from soma_symbols.tokens._vocabulary import read_vocabulary

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[3] / "specs" / "vectors" / "unicode_breaks.json").read_text("utf-8")
)
CUTTERS: Final = {
    **{f"strict {name}": cutter for name, cutter in strict_cutters(read_vocabulary("python")).items()},
    **{f"compat {name}": cutter for name, cutter in compat_cutters().items()},
}
ODD: Final = (
    *("a", "b1", " ", "  ", "\r\n", "\n", "\t", ".", ",", "'", '"', ":", "_", "3.14", "e\u0301", "\u0308", "\u200d"),
    *("\u00ad", "👩‍🚀", "🇫🇷", "🇩", "\u0600", "א", 'א"א', "カ", "ー", "你", "각", "\u1100\u1161\u11a8", "क्षि", "hiser"),
)
TEXTS: Final = st.lists(st.sampled_from(ODD) | st.text(max_size=3), max_size=60).map("".join)


def tokens(cutter: Cutter, document: bytes, size: int = _blocks.BLOCK) -> list[bytes]:
    return [
        one.data[begin:end] for one in cut(cutter, [document], size) for begin, end in pairwise(one.bounds.tolist())
    ]


@pytest.mark.parametrize(("stream", "key"), [("char", "grapheme"), ("word", "word"), ("grammar", "word")])
def test_every_test_string_of_unicode(stream: str, key: str) -> None:
    cases = VECTORS[key]
    assert len(cases) == {"grapheme": 602, "word": 1823}[key]
    for case in cases:
        parts = ["".join(chr(int(point, 16)) for point in part.split()).encode() for part in case.split("|")]
        assert tokens(CUTTERS[f"strict {stream}"], b"".join(parts)) == parts, case


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, size=st.sampled_from([40, 64, 200]))
@pytest.mark.parametrize("name", CUTTERS)
def test_the_length_of_a_block_changes_no_token(name: str, text: str, size: int) -> None:
    document = text.encode("utf-8", "surrogatepass")
    assert tokens(CUTTERS[name], document, size) == tokens(CUTTERS[name], document)


@pytest.mark.parametrize("name", CUTTERS)
def test_any_token_can_begin_a_document(name: str) -> None:
    document = "".join(ODD).encode() * 2
    whole = tokens(CUTTERS[name], document)
    if name in {"strict space", "strict word", "strict grammar", "strict char", "compat word", "compat char"}:
        for place in range(len(whole)):
            assert tokens(CUTTERS[name], b"".join(whole[place:])) == whole[place:]


@pytest.mark.parametrize("run", [b"x", b" ", "é".encode(), b"e" + "\u0301".encode() * 5, b"\xcc\x81", "🇫".encode()])
@pytest.mark.parametrize("name", [name for name in CUTTERS if name.startswith("strict")])
def test_a_token_is_never_longer_than_the_bound(name: str, run: bytes) -> None:
    document = run * (40_000 // len(run))
    whole = tokens(CUTTERS[name], document)
    assert b"".join(whole) == document
    assert max(map(len, whole)) <= LONGEST
    assert tokens(CUTTERS[name], document, 3 * LONGEST) == whole
    for token in whole if "bpe" not in name and "frequency" not in name and "byte" not in name else ():
        token.decode()  # no code point is cut


def test_marks_are_passed_over_so_far_and_no_further() -> None:
    near, far = ("a:" + "\u0308" * count + "b" for count in (REACH, REACH + 1))
    assert [len(tokens(CUTTERS["strict word"], text.encode())) for text in (near, far)] == [1, 3]
    padded = ("x " * 200 + near + " y" * 200).encode()
    for size in range(300, 500, 7):
        assert tokens(CUTTERS["strict word"], padded, size) == tokens(CUTTERS["strict word"], padded)
    assert HOLD == REACH + 2


def test_every_code_point_is_given_back() -> None:
    """All 1,112,064 of them, and every byte that is none."""
    document = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)])).encode() + bytes(range(128, 256))
    for name, cutter in CUTTERS.items():
        end = 0
        for one in cut(cutter, [document]):
            assert one.begun + int(one.bounds[0]) == end, name
            assert (np.diff(one.bounds) > 0).all()
            end = one.begun + int(one.bounds[-1])
        assert end == len(document), name


def test_kinds_follow_the_first_code_point() -> None:
    tokenizer = open_tokenizer(Config())
    text = "ab 1 カ 你 _ \n . + 😀 \u0301 \x01 \U000e0fff"
    (found,) = tokenizer.tokenize("grammar", [text.encode() + b" \xff"])
    kinds = [FINE[kind] for kind in found.kinds.tolist()]
    said = [kind for kind in kinds if kind != "space"]
    expected = "letter number kana ideograph connector line punctuation symbol emoji control unassigned invalid"
    assert said == expected.split()
