"""A gigabyte of random bytes through every stream of ``tokenizer-soma``, in both profiles: ``nox -s symbols``.

SOMA_TOKEN_MB: megabytes of it, 20 if it is not set; with it a results file is written.
"""

import os
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pytest
import results

from soma_core.api import Tokenizer, Tokens
from soma_symbols.tokens import Config, open_tokenizer

MEGABYTES: Final = int(os.environ.get("SOMA_TOKEN_MB", "0"))
SIZE: Final = (MEGABYTES or 20) * 1_000_000
SEED: Final = 2026
PROFILES: Final = ("strict", "compat")

_found: list[dict[str, Any]] = []


def document() -> Iterator[bytes]:
    """Random bytes in pieces of random lengths, always the same ones."""
    random, left = np.random.default_rng(SEED), SIZE
    while left:
        piece = random.bytes(min(left, int(random.integers(1, 1 << 18))))
        left -= len(piece)
        yield piece


class Given:
    """The document, and the digest of what was read of it: kept only as long as tokens of it are outstanding."""

    def __init__(self) -> None:
        self.held = bytearray()

    def pieces(self) -> Iterator[bytes]:
        for piece in document():
            self.held += piece
            yield piece

    def take(self, tokens: Tokens) -> bytes:
        """The bytes of `tokens`, each cut out by its own bounds, joined again."""
        first, last = int(tokens.bounds[0]), int(tokens.bounds[-1])
        data = bytes(self.held[: last - first])
        del self.held[: last - first]
        # A sample is cut out one by one; the rest is without gap by its bounds, which ascend.
        edges = (tokens.bounds - first).tolist()[:2000]
        assert b"".join(data[edges[i] : edges[i + 1]] for i in range(len(edges) - 1)) == data[: edges[-1]]
        return data


@pytest.mark.parametrize("profile", PROFILES)
def test_random_bytes_are_given_back(profile: str) -> None:
    tokenizer: Tokenizer = open_tokenizer(Config(profile=profile))  # type: ignore[arg-type]
    for stream in tokenizer.streams:
        begun = time.perf_counter()
        given, end, count, longest = Given(), 0, 0, 0
        for tokens in tokenizer.tokenize(stream, given.pieces()):
            widths = np.diff(tokens.bounds)
            assert int(tokens.bounds[0]) == end
            assert int(widths.min()) > 0
            end += len(given.take(tokens))
            assert int(tokens.bounds[-1]) == end
            count += len(tokens)
            longest = max(longest, int(widths.max()))
        assert end == SIZE
        assert not given.held
        _found.append(
            {
                "profile": profile,
                "stream": stream,
                "bytes": end,
                "tokens": count,
                "longest": longest,
                "seconds": round(time.perf_counter() - begun),
            }
        )


def test_the_figures_are_kept() -> None:
    assert len(_found) == 18
    if MEGABYTES:
        results.write(
            "tokens",
            "random bytes through every stream of tokenizer-soma, in pieces of random lengths: given back by the"
            " tokens' bounds, without gap, overlap or rest",
            SEED,
            streams=_found,
        )
