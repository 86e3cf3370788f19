"""Learning a vocabulary from documents, by the Rust library `tokenizers`: the extra ``soma-symbols[train]``.

Bytes stand as the characters U+0000 to U+00FF there, and every word is a text of its own.
"""

import json
import math
from collections.abc import Iterable, Iterator

import numpy as np

from ._blocks import cut
from ._counts import WIDEST
from ._pairs import TOGETHER
from ._strict import WORD, word_cutter
from ._vocabulary import SCALE, Vocabulary, read_vocabulary, write_vocabulary

__all__ = ["Vocabulary", "learn_vocabulary", "read_vocabulary", "words", "write_vocabulary"]

MERGES = 8192
PIECES = 8192
RARE = 4
"""Bits that a byte which was not seen costs beyond the dearest piece."""


def words(documents: Iterable[bytes]) -> Iterator[str]:
    """Every word of two bytes and more, as the encoders see it: bytes as characters, in stretches of 64."""
    cutter = word_cutter()
    for document in documents:
        for one in cut(cutter, [document]):
            bounds = one.bounds.tolist()
            for place in np.flatnonzero(one.kinds == WORD).tolist():
                begin, end = bounds[place], bounds[place + 1]
                for at in range(begin, end, TOGETHER) if end - begin > 1 else ():
                    yield one.data[at : min(at + TOGETHER, end)].decode("latin-1")


def learn_vocabulary(documents: list[bytes], merges: int = MERGES, pieces: int = PIECES) -> Vocabulary:
    """A vocabulary of at most so many pairs and pieces. Raises `ModuleNotFoundError` without `tokenizers`."""
    return Vocabulary(_learn_merges(documents, merges), *_learn_pieces(documents, pieces))


def _learn_merges(documents: list[bytes], count: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint16]]":
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

    learner = Tokenizer(BPE())
    letters = [chr(value) for value in range(256)]
    trainer = BpeTrainer(vocab_size=256 + count, initial_alphabet=letters, special_tokens=[], show_progress=False)
    learner.train_from_iterator(words(documents), trainer)
    symbols = {letter: value for value, letter in enumerate(letters)}
    learned = json.loads(learner.to_str())["model"]["merges"]
    found = np.zeros((len(learned), 2), np.uint16)
    for place, (first, second) in enumerate(learned):
        found[place] = symbols[first], symbols[second]
        symbols.setdefault(first + second, 256 + place)
    return found


def _learn_pieces(
    documents: list[bytes], count: int
) -> "tuple[list[bytes], np.ndarray[tuple[int, ...], np.dtype[np.int64]]]":
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.trainers import UnigramTrainer

    learner = Tokenizer(Unigram())
    trainer = UnigramTrainer(vocab_size=count, special_tokens=[], max_piece_length=WIDEST, show_progress=False)
    learner.train_from_iterator(words(documents), trainer)
    learned = json.loads(learner.to_str())["model"]["vocab"]
    costs = {text.encode("latin-1"): max(1, round(-score / math.log(2) * SCALE)) for text, score in learned if text}
    dearest = max(costs.values()) + RARE * SCALE
    costs = {bytes([value]): dearest for value in range(256)} | costs
    ordered = sorted(costs)
    return ordered, np.array([costs[piece] for piece in ordered], np.int64)
