"""Identities of tokens, in columns: rules TK22 to TK31 of ``specs/80-tokens.md``.

What depends on the bytes of a token alone is computed once for equal tokens and kept; what depends on the place is
arithmetic over whole columns.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, Protocol

import numpy as np

from soma_core.api import Document, Records, Tokens

from ._blocks import Cut
from ._distinct import Distinct, Words
from ._uids import GOLDEN, CompatChain, StandardChain

CONTENT_KEY: Final = b"soma symbols: content ids, 1"
"""The key of the BLAKE2b that names content; it is no secret."""
FNV: Final = 1469598103934665603
FNV_PRIME: Final = 1099511628211
MIX: Final = 0xFF51AFD7ED558CCD
SHORTS: Final = 150_000
FIRST_SHORT: Final = 13
SLOTS: Final = 1 << 17
"""Distinct tokens whose contents are kept at once: 5 MiB."""
_WORD: Final = 0xFFFFFFFFFFFFFFFF
_ODD: Final = np.array([GOLDEN, 0xD6E8FEB86659FD93], np.uint64)


def compat_content_ids(texts: list[str]) -> Words:
    """The older system's, from 13 to 150,012: FNV-1a over code points with another basis, mixed; uint64 [n].

    Of ten thousand distinct words, some three hundred share theirs.
    """
    widths = np.array([len(text) for text in texts], np.int64)
    order = np.argsort(-widths, kind="stable")
    points = np.array(["".join(texts)]).view(np.uint32) if widths.any() else np.zeros(0, np.uint32)
    begins = (np.cumsum(widths) - widths)[order]
    reaching = np.searchsorted(-widths[order], -np.arange(1, int(widths.max(initial=0)) + 1), "right")
    states = np.full(len(texts), FNV, np.uint64)
    for place, count in enumerate(reaching.tolist()):  # the longest come first: so many have a code point there
        states[:count] ^= points[begins[:count] + place]
        states[:count] *= np.uint64(FNV_PRIME)
    states ^= states >> np.uint64(33)
    states *= np.uint64(MIX)
    states ^= states >> np.uint64(33)
    found = np.empty_like(states)
    found[order] = states % np.uint64(SHORTS) + np.uint64(FIRST_SHORT)
    return found


class Identifier(Protocol):
    """Gives the identities of a stream's tokens, some at a time and in order."""

    def identify(self, cut: Cut, tokens: Tokens) -> tuple[Words, Words, Words, Words]:
        """UIDs and one more, uint64 [n + 1]; contents [n, 2]; shorts [n]; globals [n, 2]."""
        ...


def records(identifier: Identifier, cuts: Iterable[Cut]) -> Iterator[Records]:
    """The records of a stream. One block waits for the next: the last token of all has no neighbour after it."""
    previous = np.zeros(1, np.uint64)
    held = None
    for cut in cuts:
        if held is not None:
            yield _record(held[0], held[1], previous, last=False)
            previous = held[1][0][-2:-1]
        tokens = Tokens(cut.bounds + cut.begun, cut.kinds)
        held = tokens, identifier.identify(cut, tokens)
    if held is not None:
        yield _record(held[0], held[1], previous, last=True)


def _record(tokens: Tokens, found: tuple[Words, Words, Words, Words], before: Words, *, last: bool) -> Records:
    uids, contents, shorts, globals_ = found
    following = uids[1:].copy()
    if last:
        following[-1] = 0
    return Records(
        tokens=tokens,
        uids=uids[:-1],
        previous=np.concatenate([before, uids[:-2]]),
        following=following,
        contents=contents,
        shorts=shorts,
        globals=globals_,
    )


class StrictIdentifier:
    """UIDs of standard xorshift64* under a seed that session, document and stream share with no other."""

    def __init__(self, contents: Distinct, stream: str, document: Document) -> None:
        seeds = _seeds(document, stream)
        self._contents = contents
        self._chain = StandardChain(int(seeds[0]))
        self._ahead = self._chain.draw(1)
        self._keys = seeds[1:]

    def identify(self, cut: Cut, tokens: Tokens) -> tuple[Words, Words, Words, Words]:
        """As `Identifier.identify`."""
        uids = np.concatenate([self._ahead, self._chain.draw(len(tokens))])
        self._ahead = uids[-1:]
        high, low, shorts = self._contents.look_up(cut.data, cut.bounds[:-1], np.diff(cut.bounds))
        contents = np.stack([high, low], 1)
        begins, ends = tokens.bounds[:-1].view(np.uint64), tokens.bounds[1:].view(np.uint64)
        first = _mixed((begins + self._keys[0]) * _ODD[0] ^ low)
        second = _mixed((ends + self._keys[1]) * _ODD[1] ^ high ^ first)
        return uids, contents, shorts, np.stack([_mixed(first + second * _ODD[0]), second], 1)


class CompatIdentifier:
    """The older system's identities under a seed. Nothing tells documents apart."""

    def __init__(self, contents: Distinct, stream: str, seed: int) -> None:
        self._contents = contents
        self._chain = compat_chain(seed)
        self._salt = compat_content_ids([stream])[0] ^ np.uint64(seed ^ GOLDEN)
        self._done = 0
        self._ahead = self._chain.draw(0, 1, None)

    def identify(self, cut: Cut, tokens: Tokens) -> tuple[Words, Words, Words, Words]:
        """As `Identifier.identify`."""
        count = len(tokens)
        after = self._chain.draw(self._done + 1, count, int(self._ahead[0]))
        uids = np.concatenate([self._ahead, after])
        self._ahead = after[-1:]
        (shorts,) = self._contents.look_up(cut.data, cut.bounds[:-1], np.diff(cut.bounds))
        places = np.arange(self._done, self._done + count, dtype=np.uint64) << np.uint64(17)
        self._done += count
        wide = np.zeros((2, count, 2), np.uint64)
        wide[0, :, 1] = shorts
        wide[1, :, 1] = uids[:-1] ^ shorts ^ places ^ self._salt
        return uids, wide[0], shorts, wide[1]


@lru_cache(maxsize=4)
def compat_chain(seed: int) -> CompatChain:
    """The chain of a seed, which all streams of all documents share."""
    return CompatChain(seed)


def strict_contents() -> Distinct:
    """High and low word of the content id, 128 bits of keyed BLAKE2b, little-endian; and the older system's."""

    def compute(tokens: list[bytes]) -> Words:
        longs = b"".join([hashlib.blake2b(token, digest_size=16, key=CONTENT_KEY).digest() for token in tokens])
        words = np.frombuffer(longs, "<u8").reshape(-1, 2)
        return np.stack([words[:, 1], words[:, 0], compat_content_ids(list(map(_text, tokens)))], 1)

    return Distinct(3, compute, SLOTS)


def compat_contents() -> Distinct:
    """The older system's content id, of text."""
    return Distinct(1, lambda tokens: compat_content_ids(list(map(_text, tokens)))[:, None], SLOTS)


def compat_byte_contents() -> Distinct:
    """The older system's content id of a byte: its text is the decimal value."""
    return Distinct(1, lambda tokens: compat_content_ids([str(token[0]) for token in tokens])[:, None], 1)


def _text(token: bytes) -> str:
    return token.decode("utf-8", "surrogateescape")


def _seeds(document: Document, stream: str) -> Words:
    """The seed of the UIDs, not 0, and two keys of the global ids; uint64 [3]."""
    state = hashlib.blake2b(digest_size=24, person=b"soma/tokens")
    state.update(len(document.session).to_bytes(1, "big") + document.session + document.digest + stream.encode())
    return np.frombuffer(state.digest(), "<u8").astype(np.uint64)


def _mixed(words: Words) -> Words:
    """The finaliser of SplitMix64: a bijection under which every bit touches every other. Works in place."""
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words
