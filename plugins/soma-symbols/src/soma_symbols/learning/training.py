"""From files to weights: tokens are counted, then their neighbours, factored, refined by skip-gram, and packed.

Each pass reads the files anew, a piece at a time; what is counted is bounded. The same data, plan and NumPy give the
same weights on one machine.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from attrs.validators import ge, in_, le
from numpy.typing import NDArray

from soma_core.model import (
    STRATEGIES,
    ReferenceSymbols,
    Strategy,
    SymbolsConfig,
    symbols,
    weights_digest,
    write_tensors,
)

from ._bytes import ByteLearner
from ._corpus import Corpus, gather
from ._factors import factors
from ._neighbours import Neighbours
from ._skipgram import RATE, SkipGram
from ._tables import COMMON_SIZE, Spellings, learned, tables
from ._vocabulary import Tally, Vocabulary, tokens_of

__all__ = ["Corpus", "Plan", "Trained", "gather", "train"]

Told = Callable[[str], None]


@frozen(kw_only=True)
class Plan:
    """`epochs`: passes of skip-gram; with 0 the factors stand. `window`: tokens to either side. `shift`: of PPMI.

    `learned`: tokens that get vectors; the most frequent of them stand in the table, all of them teach the grams.
    `least`: times a token must be seen. `byte_passes`: over the data, of the byte model; `byte_share`: every so many-th
    chunk is read for it.
    """

    strategy: Strategy = field(default="semantic", validator=in_(STRATEGIES))
    dim: int = 128
    tokens: int = 1 << 14
    grams: int = 1 << 10
    slots: int = 1 << 18
    seq: int = 1024
    epochs: int = field(default=0, validator=[ge(0), le(100)])
    window: int = field(default=8, validator=[ge(1), le(64)])
    shift: float = field(default=1.0, validator=[ge(1.0), le(100.0)])
    learned: int = field(default=30_000, validator=[ge(1), le(1 << 21)])
    least: int = field(default=5, validator=ge(1))
    byte_passes: int = field(default=1, validator=[ge(0), le(100)])
    byte_share: int = field(default=1, validator=ge(1))
    seed: int = field(default=0, validator=ge(0))

    def config(self) -> SymbolsConfig:
        """The shape of what it makes. Raises `DecodeError` for sizes that cannot be."""
        return SymbolsConfig(
            strategy=self.strategy,
            dim=self.dim,
            tokens=self.tokens,
            grams=self.grams,
            slots=self.slots,
            seq=self.seq,
        )


@frozen(kw_only=True)
class Trained:
    """`digest`: of the weights. `known`: tokens in the table. `read`: tokens in the data.

    `short`: by how much counts of tokens and of pairs may be too low, because rare ones were forgotten.
    """

    digest: bytes
    known: int
    read: int
    short: tuple[int, int]
    seconds: float


def train(corpus: Corpus, out: Path, plan: Plan, told: Told) -> Trained:
    """Learn from `corpus` and write `out` and its config beside it. Raises `SomaError`; nothing is written then."""
    started = time.monotonic()
    config = plan.config()
    tally = Tally()
    for piece in _watched(corpus, told, "counting tokens"):
        tally.add(tokens_of(piece))
    vocabulary = Vocabulary.of(tally, plan.learned, plan.least)
    told(f"{tally.total} tokens, {len(vocabulary.ids)} of them learned")
    vectors, short = _vectors(corpus, vocabulary, plan, told)
    spellings, byte_learner = Spellings(vocabulary), ByteLearner(plan.slots)
    found = learned(vocabulary, vectors, _items(corpus))
    for turn in range(max(1, plan.byte_passes)):
        chunk_number = 0
        for piece in _watched(corpus, told, f"bytes, pass {turn + 1} of {plan.byte_passes}"):
            if turn == 0:
                spellings.add(symbols(piece))
            for start in range(0, len(piece), plan.seq):
                if plan.byte_passes and chunk_number % plan.byte_share == turn % plan.byte_share:
                    byte_learner.add(piece[start : start + plan.seq])
                chunk_number += 1
    tensors: dict[str, NDArray[Any]] = {**tables(found, config, spellings), "bytes.entries": byte_learner.entries()}
    ReferenceSymbols(config, tensors).read(b"tried once")
    weights = write_tensors(tensors, config.dtypes)
    part = out.with_name(f".{out.name}.part")
    part.write_bytes(weights)
    out.with_suffix(".json").write_text(config.to_json(), "utf-8")
    part.replace(out)
    return Trained(
        digest=weights_digest(config, weights),
        known=int((tensors["tokens.prints"] > 0).sum()),
        read=tally.total,
        short=(tally.short, short),
        seconds=time.monotonic() - started,
    )


def _vectors(corpus: Corpus, vocabulary: Vocabulary, plan: Plan, told: Told) -> tuple[NDArray[np.float32], int]:
    """Of each token [V, dim], and by how much a pair's count may be too low."""
    if not len(vocabulary.ids):
        return np.zeros((0, plan.dim), np.float32), 0
    neighbours = Neighbours(len(vocabulary.ids), plan.window)
    rng = np.random.default_rng([plan.seed, 1])
    for piece in _watched(corpus, told, "counting neighbours"):
        neighbours.add(vocabulary.sequence(piece, rng))
    matrix = neighbours.information(plan.shift)
    told(f"{len(matrix.values)} pairs say something")
    vectors = factors(matrix, plan.dim, np.random.default_rng([plan.seed, 2]), told)
    if not plan.epochs:
        return vectors, neighbours.short
    rng = np.random.default_rng([plan.seed, 3])
    refined = SkipGram(_leveled(vectors), vocabulary.counts, rng)
    for turn in range(plan.epochs):
        rate = RATE * (1 - turn / plan.epochs)
        for piece in _watched(corpus, told, f"skip-gram, pass {turn + 1} of {plan.epochs}"):
            refined.add(vocabulary.sequence(piece, rng), plan.window, rate)
        refined.flush(rate)
        told(f"skip-gram: {refined.loss:.4f} nats a pair")
    return refined.vectors, neighbours.short


def _leveled(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of a mean length of 1: where skip-gram's logarithms of odds begin."""
    length = np.linalg.norm(vectors, axis=1)
    return vectors / np.float32(length.mean() or 1)


def _items(corpus: Corpus) -> Iterator[bytes]:
    """The beginnings of pieces, all over the data."""
    return (piece[:COMMON_SIZE] for piece in corpus.pieces())


def _watched(corpus: Corpus, told: Told, what: str) -> Iterator[bytes]:
    """The pieces, with word of them every tenth of the way."""
    done, said = 0, 0
    for piece in corpus.pieces():
        yield piece
        done += len(piece)
        if done * 10 // max(1, corpus.size) > said:
            said = done * 10 // max(1, corpus.size)
            told(f"{what}: {min(100, said * 10)} %")
