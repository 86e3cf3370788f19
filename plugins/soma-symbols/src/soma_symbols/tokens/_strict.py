"""The nine streams of profile ``strict``: rules TK7 to TK17 of ``specs/80-tokens.md``."""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from ._blocks import Block, Cutter, read_bytes
from ._breaks import Classes, Mask, Places, cluster_starts, translate, word_starts
from ._counts import CountEncoder
from ._distinct import Distinct, Words
from ._pairs import TOGETHER, PairEncoder
from ._properties import COARSE, FINE, Properties, properties
from ._syllables import syllable_starts
from ._vocabulary import Vocabulary

LONGEST: Final = 8192
"""Bytes of a token: one that would be longer ends at the last code point that fits."""
CLUSTERS: Final = 3
"""Grapheme clusters of a token of `subword`."""
WORD: Final = COARSE.index("word")


def strict_cutters(vocabulary: Vocabulary) -> dict[str, Cutter]:
    """Name of each stream → how it cuts, in order."""
    table = properties()
    bpe = Distinct(1, PairEncoder(vocabulary.merges).encode)
    unigram = Distinct(1, CountEncoder(vocabulary.pieces, vocabulary.costs).encode)

    def stream(names: tuple[str, ...], starts: _Starts, kinds: bytes, parts: _Parts | None = None) -> Cutter:
        return Cutter(names, partial(starts, table), partial(_kinds, table, kinds), LONGEST, parts)

    return {
        "space": stream(("content", "space"), _space_starts, table.space),
        "word": stream(COARSE, _word_starts, table.coarse),
        "char": stream(COARSE, _cluster_starts, table.coarse),
        "grammar": stream(FINE, _word_starts, table.fine),
        "subword": stream(COARSE, _word_starts, table.coarse, partial(_in_clusters, table)),
        "subword_bpe": stream(COARSE, _word_starts, table.coarse, partial(_in_pieces, bpe)),
        "subword_syllable": stream(COARSE, _word_starts, table.coarse, partial(_in_syllables, table)),
        "subword_frequency": stream(COARSE, _word_starts, table.coarse, partial(_in_pieces, unigram)),
        "byte": BYTES,
    }


def word_cutter() -> Cutter:
    """The stream `word` alone, which needs no vocabulary."""
    table = properties()
    return Cutter(COARSE, partial(_word_starts, table), partial(_kinds, table, table.coarse), LONGEST)


_Starts = Callable[[Properties, Block], Mask]
_Parts = Callable[[Block, Places, Classes], tuple[Places, Classes]]


def _records(table: Properties, block: Block) -> Classes:
    if block.at is None:
        return translate(block.points, table.ascii)  # type: ignore[arg-type]  # bytes where `at` is None
    return table.records[block.points]


def _kinds(table: Properties, classes: bytes, block: Block, places: Places) -> Classes:
    return np.frombuffer(classes, np.uint8)[table.records[block.points[places]]]


def _space_starts(table: Properties, block: Block) -> Mask:
    space = translate(_records(table, block), table.space)
    starts = np.ones(len(space), np.bool_)
    np.not_equal(space[1:], space[:-1], out=starts[1:])
    return starts


def _word_starts(table: Properties, block: Block) -> Mask:
    records = _records(table, block)
    return word_starts(translate(records, table.word), translate(records, table.pictograph))


def _cluster_starts(table: Properties, block: Block) -> Mask:
    return cluster_starts(translate(_records(table, block), table.grapheme))


def _every_byte(block: Block) -> Mask:
    return np.ones(len(block.points), np.bool_)


def _one_kind(_: Block, places: Places) -> Classes:
    return np.zeros(len(places), np.uint8)


BYTES: Final = Cutter(("byte",), _every_byte, _one_kind, 1, read=read_bytes)
"""The stream `byte`, of both profiles."""


def _clusters(table: Properties, block: Block, bounds: Places) -> tuple[Classes, Places, Mask]:
    """Of the text up to the last of `bounds`: records, where clusters begin, and which of these begin a word."""
    records = _records(table, block)[: bounds[-1]]
    words = np.zeros(len(records), np.bool_)
    words[bounds[:-1]] = True
    places = np.flatnonzero(cluster_starts(translate(records, table.grapheme), words))
    return records, places, words[places]


def _in_clusters(table: Properties, block: Block, bounds: Places, kinds: Classes) -> tuple[Places, Classes]:
    _, places, words = _clusters(table, block, bounds)
    order = np.arange(len(places), dtype=np.int32)
    counted = order - np.maximum.accumulate(np.where(words, order, np.int32(0)))
    return _chosen(block, bounds, kinds, places, words, counted % CLUSTERS == 0)


def _in_syllables(table: Properties, block: Block, bounds: Places, kinds: Classes) -> tuple[Places, Classes]:
    records, places, words = _clusters(table, block, bounds)
    starts = syllable_starts(translate(records[places], table.sonority), words)
    return _chosen(block, bounds, kinds, places, words, starts)


def _chosen(
    block: Block, bounds: Places, kinds: Classes, places: Places, words: Mask, starts: Mask
) -> tuple[Places, Classes]:
    """Bounds in bytes and kinds of what begins at the `places` of `starts`, inside words only."""
    inherited = kinds[np.cumsum(words) - 1]
    starts = starts & ((inherited == WORD) | words)
    return block.offsets(np.append(places[starts], bounds[-1])), inherited[starts]


def _in_pieces(known: Distinct, block: Block, bounds: Places, kinds: Classes) -> tuple[Places, Classes]:
    edges = block.offsets(bounds)
    chosen = np.flatnonzero((kinds == WORD) & (np.diff(edges) > 1))
    begins, widths = edges[chosen], edges[chosen + 1] - edges[chosen]
    if int(widths.max(initial=0)) > TOGETHER:
        counts = -(-widths // TOGETHER)
        stretch = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        begins = np.repeat(begins, counts) + TOGETHER * stretch
        widths = np.minimum(np.repeat(widths, counts) - TOGETHER * stretch, TOGETHER)
    (masks,) = known.look_up(block.data, begins, widths)
    starts = np.zeros(edges[-1], np.bool_)
    narrow = widths <= 8
    _mark(starts, begins[narrow], masks[narrow], 1)
    _mark(starts, begins[~narrow], masks[~narrow], 8)
    words = np.zeros(edges[-1], np.bool_)
    words[edges[:-1]] = True
    starts |= words
    places = np.flatnonzero(starts)
    return np.append(places, edges[-1]), kinds[np.cumsum(words[places]) - 1]


def _mark(starts: Mask, begins: Places, masks: Words, size: int) -> None:
    """Set `starts` where the bits of `masks` say that a part begins; no bit beyond the first 8 `size` is set."""
    octets = masks.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :size]
    bits = np.flatnonzero(np.unpackbits(octets, axis=1, bitorder="little"))
    starts[begins[bits // (8 * size)] + bits % (8 * size)] = True
