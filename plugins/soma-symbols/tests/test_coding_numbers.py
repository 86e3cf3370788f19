"""Numbers in bits, tokens in numbers, grammars in rules: all come back, and nothing false is believed."""

from contextlib import suppress
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_symbols.coding._grammar import Grammar, infer
from soma_symbols.coding._numbers import LONGEST, _codes, _lengths, read_numbers, write_numbers
from soma_symbols.coding._reader import Reader, varint
from soma_symbols.coding._tokenwise import Frequency, Patterns, Runs, Tokenwise
from soma_symbols.coding._vocabulary import read_tokens, split, write_tokens

ONE_LINE = r"\A[^\n]+\Z"
NUMBERS = st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**31 - 2)), max_size=60)


def bytes_cut(block: bytes) -> np.ndarray:
    return np.arange(len(block) + 1)


@given(number=st.integers(0, 2**40))
def test_a_number_comes_back(number: int) -> None:
    reader = Reader(varint(number))
    assert reader.varint(number) == number
    reader.end()


@pytest.mark.parametrize("bad", [b"", b"\x80", b"\x80\x00", b"\xff" * 12, b"\x05"])
def test_a_number_that_is_none_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match=ONE_LINE):
        Reader(bad).varint(4)


@settings(max_examples=80, deadline=None)
@given(numbers=NUMBERS)
def test_numbers_come_back(numbers: list[int]) -> None:
    reader = Reader(write_numbers(np.array(numbers, np.int64)))
    assert read_numbers(reader, len(numbers), 2**31) == numbers
    reader.end()


def test_frequent_numbers_take_few_bits() -> None:
    numbers = np.zeros(8000, np.int64)
    numbers[::100] = 1000
    assert len(write_numbers(numbers)) < 1300


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 2**40), min_size=32, max_size=32))
def test_codes_are_no_beginnings_of_others(counts: list[int]) -> None:
    lengths = _lengths(counts)
    assert [bool(length) for length in lengths] == [bool(count) for count in counts]
    assert max(lengths) <= LONGEST
    texts = [format(code, f"0{length}b") for code, length in zip(_codes(lengths), lengths, strict=True) if length]
    assert not any(a != b and b.startswith(a) for a in texts for b in texts)
    assert len(set(texts)) == len(texts)


def test_steep_counts_get_no_long_codes() -> None:
    assert max(_lengths([2**n for n in range(32)])) == LONGEST


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=80), most=st.integers(0, 50), below=st.integers(1, 2**31))
def test_any_bytes_give_numbers_in_range_or_an_error(data: bytes, most: int, below: int) -> None:
    with suppress(ValueError):
        found = read_numbers(Reader(data), most, below)
        assert len(found) <= most
        assert all(0 <= number < below for number in found)


def test_bits_that_nobody_needs_are_refused() -> None:
    data = write_numbers(np.array([3, 1]))
    count, table, rest = data[:1], data[1:17], data[18:]
    with pytest.raises(ValueError, match="behind the last"):
        read_numbers(Reader(count + table + bytes([len(rest) + 1]) + rest + b"\0"), 2, 9)
    with pytest.raises(ValueError, match="cut short"):
        read_numbers(Reader(count + table + bytes([0])), 2, 9)
    with pytest.raises(ValueError, match="no codes have"):
        read_numbers(Reader(count + b"\x11" * 16 + bytes([len(rest)]) + rest), 2, 9)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.sampled_from([b"a", b"bc", b" ", b"\x00\xff"]), min_size=1, max_size=40))
def test_tokens_come_back_the_most_frequent_first(parts: list[bytes]) -> None:
    block = b"".join(parts)
    text = split(block, np.cumsum([0, *map(len, parts)]))
    assert b"".join(text.tokens[place] for place in text.places) == block
    counts = np.bincount(text.places)
    assert (np.diff(counts) <= 0).all()
    reader = Reader(write_tokens(text.tokens))
    assert read_tokens(reader, len(block)) == text.tokens
    reader.end()


SEQUENCES = st.lists(st.integers(0, 3), min_size=1, max_size=200)


@settings(max_examples=100, deadline=None)
@given(sequence=SEQUENCES)
def test_a_grammar_makes_its_sequence(sequence: list[int]) -> None:
    grammar = infer(np.array(sequence), 4)
    assert grammar.expand([1] * 4, len(sequence)) == sequence
    assert len(grammar.axiom) + 2 * len(grammar.left) <= len(sequence)


def test_what_repeats_becomes_few_rules() -> None:
    for sequence in ([0] * 4096, [0, 1, 2, 3] * 1024):
        grammar = infer(np.array(sequence), 4)
        assert len(grammar.axiom) + 2 * len(grammar.left) < 50
        assert grammar.expand([1] * 4, 4096) == sequence


def test_overlaps_go_to_the_more_frequent() -> None:
    grammar = infer(np.array([0, 1, 2] * 3 + [0, 1] * 3), 3)
    assert (grammar.left[0], grammar.right[0]) == (0, 1)


@pytest.mark.parametrize(
    ("left", "right", "axiom"),
    [
        ([1], [0], [1]),  # of itself
        ([2, 0], [0, 0], [1]),  # of a later one
        ([0], [], [0]),
        ([0], [0], [1]),  # makes 2 of 3
        ([0], [0], [1, 1]),  # makes 4 of 3
        (list(range(60)), list(range(60)), [60]),  # 2^60
    ],
)
def test_a_grammar_of_too_much_is_refused_before_it_grows(left: list[int], right: list[int], axiom: list[int]) -> None:
    with pytest.raises(ValueError, match=ONE_LINE):
        Grammar(1, np.array(left), np.array(right), np.array(axiom)).expand([1], 3)


@pytest.mark.parametrize("form", [Frequency(), Runs(), Patterns()])
def test_payloads_that_were_changed_are_refused_or_stay_within_their_size(form: Frequency) -> None:
    """Behind the envelope's check, which a forger can compute as well."""
    method = Tokenwise(form, bytes_cut)
    block = b"one two one two one one two one two\n" * 3 + b"aaaaaaaaaaaaaaaaaaaaaa"
    payload = method.pack(block)
    assert method.unpack(payload, len(block)) == block
    random = Random(3)
    for _ in range(1500):
        changed = bytearray(payload)
        for _ in range(random.randrange(1, 4)):
            changed[random.randrange(len(changed))] = random.randrange(256)
        with suppress(ValueError):
            assert len(method.unpack(bytes(changed), len(block))) == len(block)
    for cut in range(len(payload)):
        with pytest.raises(ValueError, match=ONE_LINE):
            method.unpack(payload[:cut], len(block))


def test_runs_that_claim_much_are_refused_before_they_grow() -> None:
    payload = write_tokens([b"a"]) + write_numbers(np.array([0] * 3)) + write_numbers(np.array([2**24 - 1] * 3))
    with pytest.raises(ValueError, match="do not fill"):
        Tokenwise(Runs(), bytes_cut).unpack(payload, 1 << 24)
