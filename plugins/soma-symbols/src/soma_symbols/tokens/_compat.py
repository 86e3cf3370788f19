"""The nine streams of profile ``compat``, as an older system cuts them: rules TK18 to TK21 of ``specs/80-tokens.md``.

All of it is about ASCII letters, digits and four spaces; any other code point is a token of its own, or goes with what
is no space. Nothing is learned: the lists of letters are the rules.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from ._blocks import Block, Cutter
from ._breaks import Classes, Mask, Places, translate
from ._strict import BYTES

LONGEST_COMPAT: Final = 1 << 20
"""Bytes of a token. The older system has no bound; up to this one nothing differs."""
CHUNK: Final = 3
"""Code points of a token of `subword`."""
WHOLE: Final = 2
"""Code points of a word that `subword_frequency` does not cut."""
PAIRS: Final = "th he in er an re ed nd on en at ou it is or ti as to nt ng"
TRIPLES: Final = "the and ing ion tio ent for ter hat tha ere ate his con res ver all ons nce men"
FREQUENT: Final = PAIRS.removesuffix("nt ng") + "be we ha hi do no if up my go me so us am by of"

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = b"0123456789"
_WORD: Final = bytes(value in _LETTERS + _DIGITS for value in range(256))
_SPACE: Final = bytes(value in b" \t\n\r" for value in range(256))
_VOWEL: Final = bytes(value in b"aeiouAEIOU" for value in range(256))
_FEW: Final = 8
"""So few chains are followed one after the other; arrays would cost more."""

Split = Callable[[Classes, Places, Places], Mask]
"""From text and the begins and ends of words to where tokens begin inside of them, bool [n]; elsewhere false."""


def compat_cutters() -> dict[str, Cutter]:
    """Name of each stream → how it cuts, in order."""
    spaces, grammar = bytearray(256), bytearray([2]) * 256
    for kind, value in enumerate(b" \t\n\r", 1):
        spaces[value] = kind
        grammar[value] = 1
    for value in _LETTERS + _DIGITS:
        grammar[value] = 0
    other = bytes(1 - value for value in _WORD)

    def in_words(split: Split) -> Cutter:
        names = ("subword", "nonword")
        return Cutter(names, _word_starts, partial(_kinds, other), LONGEST_COMPAT, partial(_in_words, split))

    names = ("content", "space", "tab", "newline", "carriage_return")
    return {
        "space": Cutter(names, _space_starts, partial(_kinds, bytes(spaces)), LONGEST_COMPAT),
        "word": Cutter(("word", "non_word"), _word_starts, partial(_kinds, other), LONGEST_COMPAT),
        "char": Cutter(("character",), _every_point, partial(_kinds, bytes(256)), LONGEST_COMPAT),
        "grammar": Cutter(
            ("word", "space", "punctuation"), _word_starts, partial(_kinds, bytes(grammar)), LONGEST_COMPAT
        ),
        "subword": in_words(_chunks),
        "subword_bpe": in_words(partial(_greedy, _pair_table(PAIRS), TRIPLES.split(), 1)),
        "subword_syllable": in_words(_after_vowels),
        "subword_frequency": in_words(partial(_greedy, _pair_table(FREQUENT), [], WHOLE)),
        "byte": BYTES,
    }


def _text(block: Block) -> Classes:
    """The code points, 128 for all that are not ASCII; uint8 [n]."""
    return np.minimum(block.points, 128).astype(np.uint8)


def _kinds(table: bytes, block: Block, places: Places) -> Classes:
    return translate(np.minimum(block.points[places], 128).astype(np.uint8), table)


def _space_starts(block: Block) -> Mask:
    space = translate(_text(block), _SPACE)
    starts = np.ones(len(space), np.bool_)
    np.not_equal(space[1:], space[:-1], out=starts[1:])
    return starts


def _word_starts(block: Block) -> Mask:
    word = translate(_text(block), _WORD)
    starts = np.ones(len(word), np.bool_)
    starts[1:] = (word[1:] & word[:-1]) == 0
    return starts


def _every_point(block: Block) -> Mask:
    return np.ones(len(block.points), np.bool_)


def _in_words(split: Split, block: Block, bounds: Places, kinds: Classes) -> tuple[Places, Classes]:
    text = _text(block)[: bounds[-1]]
    words = np.flatnonzero(kinds == 0)
    starts = split(text, bounds[words], bounds[words + 1])
    whole = np.zeros(len(text), np.bool_)
    whole[bounds[:-1]] = True
    starts |= whole
    places = np.flatnonzero(starts)
    return block.offsets(np.append(places, bounds[-1])), kinds[np.cumsum(whole[places]) - 1]


def _chunks(text: Classes, begins: Places, ends: Places) -> Mask:
    starts = np.zeros(len(text), np.bool_)
    counts = (ends - begins - 1) // CHUNK
    order = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts[np.repeat(begins, counts) + CHUNK * (order + 1)] = True
    return starts


def _after_vowels(text: Classes, begins: Places, _: Places) -> Mask:
    """After every vowel that another one follows in the word: what follows the last goes with the last."""
    starts = np.zeros(len(text), np.bool_)
    vowels = np.flatnonzero(translate(text, _VOWEL))
    word = np.searchsorted(begins, vowels, "right")
    starts[vowels[:-1][word[:-1] == word[1:]] + 1] = True
    return starts


def _pair_table(pairs: str) -> Mask:
    """Whether two letters, the first times 256 and the second, are a pair; bool [65536]."""
    table = np.zeros(1 << 16, np.bool_)
    table[[int.from_bytes(pair.encode(), "big") for pair in pairs.split()]] = True
    return table


def _greedy(pairs: Mask, triples: list[str], whole: int, text: Classes, begins: Places, ends: Places) -> Mask:
    """From left to right: a pair if one is there, else one of `triples`, else one code point.

    Words of at most `whole` code points are not cut. A match of letters is inside one word by its nature.
    """
    starts = translate(text, _WORD).astype(np.bool_)
    if len(text) < 2:
        return starts
    codes = text[:-1].astype(np.uint16) << np.uint16(8) | text[1:]
    matched = pairs[codes]
    long = np.zeros(len(matched), np.bool_)
    for triple in triples:
        first, last = int.from_bytes(triple[:2].encode(), "big"), ord(triple[2])
        if not pairs[first]:  # else the pair is taken before
            found = np.flatnonzero(codes[:-1] == first)
            long[found[text[found + 2] == last]] = True
    places = np.flatnonzero(matched | long)
    steps = 2 + long[places]
    taken = _taken(places, steps)
    starts[places[taken] + 1] = False
    starts[places[taken & (steps == 3)] + 2] = False
    if whole > 1:
        short = begins[ends - begins == whole]
        starts[short + 1] = False
    return starts


def _taken(places: Places, steps: Places) -> Mask:
    """Which of the matches at ascending `places` are taken from left to right, each hiding what begins within it."""
    taken = np.ones(len(places), np.bool_)
    after = np.searchsorted(places, places + steps)  # the match that is next if this one is taken
    if not len(places):
        return taken
    reach = np.maximum.accumulate(places + steps)
    heads = np.concatenate([[True], reach[:-1] <= places[1:]])  # nothing can hide these
    taken[:] = heads
    heads = np.append(heads, True)
    chains = np.flatnonzero(heads[:-1] & ~heads[1:])
    while len(chains) > _FEW:
        chains = after[chains]
        chains = chains[~heads[chains]]
        taken[chains] = True
    for place in chains.tolist():
        following = int(after[place])
        while not heads[following]:
            taken[following] = True
            following = int(after[following])
    return taken
