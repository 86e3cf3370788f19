"""The bundled byte models as coders: near the referee, the same engine everywhere, found by their digests."""

import math

import numpy as np
import pytest

import soma_encoders
from soma_core.model import ReferenceTransformer, load_weights
from soma_symbols.coding import CoderConfig, open_coder
from soma_symbols.coding._engine import IntegerTransformer

TEXT = soma_encoders.samples()[1].read_bytes()[:512]


@pytest.fixture(scope="module")
def code() -> IntegerTransformer:
    weights = load_weights("code")
    return IntegerTransformer(weights.config, weights.tensors)


def test_the_engine_is_the_one_that_packed_blocks_name(code: IntegerTransformer) -> None:
    """To change it is to refuse what was packed: then `VERSION` goes up, and with it this."""
    assert code.digest.hex() == "1e6e782a1a8d11f4"


def test_it_predicts_as_the_referee_does(code: IntegerTransformer) -> None:
    weights = load_weights("code")
    referee = ReferenceTransformer(weights.config, weights.tensors)
    rows = np.frombuffer(TEXT, np.uint8).reshape(-1, 64).astype(np.int64)
    cache, ours = code.cache(len(rows)), 0.0
    for place in range(63):
        chances = code.predict(cache, rows[:, place : place + 1], place)
        said = chances[np.arange(len(rows)), rows[:, place + 1]] / chances.sum(1)
        ours -= float(np.log2(said).sum())
    theirs = math.fsum(referee.read(row.astype(np.uint8).tobytes()).bits - 8 for row in rows)
    assert ours == pytest.approx(theirs, rel=0.002)


def test_blocks_come_back_shorter_and_without_naming_the_model() -> None:
    with_model, without = open_coder(CoderConfig(model="code")), open_coder(CoderConfig())
    packed = with_model.compress(TEXT)
    assert len(packed) < len(without.compress(TEXT)) * 0.9
    assert without.decompress(packed) == TEXT
