"""Numbers that the older system writes beside a token, and what it does to a text before (chapter 80, TK32).

They carry no information that a token and its place do not; they are here so that its files can be read and compared.
Its faults are kept: the frontend digit depends on a hash alone, and a backend number has more than 64 bits.
"""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Final

BASES: Final = {
    "space": 3,
    "word": 7,
    "char": 11,
    "grammar": 5,
    "subword": 17,
    "subword_bpe": 19,
    "subword_syllable": 23,
    "subword_frequency": 29,
    "byte": 13,
}
"""Stream → what the ordinal of a distinct token is multiplied with for its digit."""
SCALE: Final = 100_000


def weighted_sum(token: str) -> int:
    """Each code point times its position, counted from 1."""
    return sum(place * ord(letter) for place, letter in enumerate(token, 1))


def runs(token: str) -> list[tuple[str, int]]:
    """The code points with how often each is repeated; only ASCII letters are gathered into runs."""
    found: list[tuple[str, int]] = []
    for letter, group in groupby(token):
        count = len(list(group))
        found += [(letter, count)] if letter.isascii() and letter.isalpha() else [(letter, 1)] * count
    return found


def run_weighted_sum(token: str) -> int:
    """As `weighted_sum`, with a run of one letter at one position, times its length."""
    return sum(place * ord(letter) * count for place, (letter, count) in enumerate(runs(token), 1))


def alphabetic_sum(token: str) -> int:
    """1 to 9 for A to I, J to R and S to Z, whatever the case; 0 for anything else."""
    return sum((ord(letter) & 31) % 9 or 9 for letter in token if letter.isascii() and letter.isalpha())


def hash31(token: str) -> int:
    """A polynomial in 31 over the code points, without bound."""
    state = 0
    for letter in token:
        state = 31 * state + ord(letter)
    return state


def digital_root(number: int) -> int:
    """1 to 9; 9 for what is not above 0."""
    return 9 if number <= 0 else (number - 1) % 9 + 1


def frontend(token: str, *, embedding: bool = False) -> int:
    """1 to 9. The weighted sum is multiplied by 9 modulo 9: only the hash is left."""
    weight = digital_root(weighted_sum(token))
    if embedding:
        weight = digital_root(weight + 1)
    return (9 * weight + hash31(token) % 10) % 9 + 1


def backend(
    token: str, place: int, uid: int, previous: int, following: int, *, embedding: bool = False, by_runs: bool = False
) -> int:
    """Of the token at ordinal `place`; `previous` and `following`: the neighbours' UIDs, 0 for none. Without bound.

    `by_runs`: how texts are counted whose repeated letters were to be collapsed to one.
    """
    weight, length = weighted_sum(token), len(token)
    if by_runs:
        gathered = runs(token)
        letters = sum(count for letter, count in gathered if letter.isascii() and letter.isalpha())
        weight, length = run_weighted_sum(token) + letters, len(gathered)
    return ((weight * length + place + alphabetic_sum(token)) ^ uid) + previous + following + embedding


def digits(stream: str, tokens: Iterable[str]) -> list[int]:
    """0 to 9 for each token: the ordinal at which its text was first seen, from 1, times the stream's base."""
    known: dict[str, int] = {}
    return [known.setdefault(token, len(known) + 1) * BASES[stream] % 10 for token in tokens]


def sanitized(text: str, *, lower: bool = False, drop_specials: bool = False, longest_run: int = 0) -> str:
    """What the older system reads instead of `text`: runs of its four spaces are one, and none is at the begin.

    `lower`: ASCII letters only. `drop_specials`: all but ASCII letters, digits and the four spaces. `longest_run`: of
    one repeated ASCII letter, 0 for any; 1 changes nothing here and asks for `by_runs` of `backend`.
    """
    if lower:
        text = re.sub("[A-Z]+", lambda found: found[0].lower(), text)
    if drop_specials:
        text = re.sub("[^A-Za-z0-9 \t\n\r]+", "", text)
    text = re.sub("[ \t\n\r]+", " ", text).removeprefix(" ")
    if longest_run > 1:
        text = re.sub(rf"([A-Za-z])\1{{{longest_run},}}", lambda found: found[1] * longest_run, text)
    return text
