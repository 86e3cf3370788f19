import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model.models import PlainTransformer, ruled_tensors
from vectors import load

from soma_core.model import MAX_LOSS, PAD, ModelConfig, ReferenceTransformer, erf, gelu, weights_digest, write_tensors

MODELS = load("model.json")["models"]


def built(case, dtype):
    config = ModelConfig(**case["config"])
    return ReferenceTransformer(config, ruled_tensors(config), dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-6)])
@pytest.mark.parametrize("case", MODELS, ids=["two-layers", "three-heads"])
def test_losses_and_vectors_are_those_of_the_vectors(case, dtype, tolerance):
    model = built(case, dtype)
    for item in case["items"]:
        reading = model.read(bytes.fromhex(item["data"]))
        assert reading.bits_per_byte == pytest.approx(item["bits_per_byte"], abs=tolerance)
        assert np.abs(reading.vector - item["vector"]).max() <= tolerance
        assert reading.vector.dtype == dtype


@pytest.mark.parametrize("case", MODELS, ids=["two-layers", "three-heads"])
def test_plain_python_from_the_spec_agrees(case):
    config = ModelConfig(**case["config"])
    plain = PlainTransformer(config, ruled_tensors(config))
    for item in case["items"][:4]:
        bits, vector = plain.read(bytes.fromhex(item["data"]))
        assert bits == pytest.approx(item["bits_per_byte"], abs=1e-10)
        assert vector == pytest.approx(item["vector"], abs=1e-10)


@pytest.mark.parametrize("case", MODELS, ids=["two-layers", "three-heads"])
def test_file_and_weights_digests_are_those_of_the_vectors(case):
    config = ModelConfig(**case["config"])
    file = write_tensors(ruled_tensors(config))
    assert hashlib.blake2b(file, digest_size=32).hexdigest() == case["file_blake2b"]
    assert weights_digest(config, file).hex() == case["weights_digest"]


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=1, max_size=8), st.binary(max_size=8))
def test_no_position_sees_what_follows_it(start, rest):
    model = built(MODELS[0], np.float64)
    whole = (start + rest)[:8]
    shorter, longer = (np.frombuffer(data, np.uint8)[None].astype(np.int32) for data in (start, whole))
    places = np.arange(len(whole))[None]
    reps, _ = model.forward(shorter, places[:, : len(start)], np.full_like(shorter, PAD))
    more, _ = model.forward(longer, places, np.full_like(longer, PAD))
    assert np.allclose(reps, more[:, : len(start)], atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=4), st.binary(max_size=7))
def test_an_item_is_the_mean_of_its_chunks_by_bytes(full, last):
    model = built(MODELS[0], np.float64)
    pieces = [*full, *([last] if last else [])]
    parts = [model.read(piece) for piece in pieces]
    whole = model.read(b"".join(pieces))
    size = sum(map(len, pieces))
    assert whole.bytes == size
    assert whole.bits == pytest.approx(sum(part.bits for part in parts))
    expected = sum(part.vector * part.bytes for part in parts) / size
    assert np.allclose(whole.vector, expected, atol=1e-12)


def test_a_long_item_is_read_at_evenly_spaced_chunks():
    model = built(MODELS[0], np.float64)
    data = bytes(i * i % 251 for i in range(80))
    assert model.read(data, max_chunks=3).bytes == 24
    assert model.read(data, max_chunks=3).bits == model.read(data[:8] + data[32:40] + data[72:]).bits


def test_one_byte_costs_eight_bits_and_nothing_costs_more_than_the_largest_loss():
    case = MODELS[0]
    assert built(case, np.float32).read(b"\xff").bits_per_byte == 8
    config = ModelConfig(**case["config"])
    tensors = ruled_tensors(config)
    tensors["predictor.bias"] = np.where(np.arange(264) == 0, 60, 0).astype(np.float32)
    reading = ReferenceTransformer(config, tensors).read(b"\xff" * 8)
    assert reading.bits / reading.bytes > MAX_LOSS
    assert reading.bits_per_byte == MAX_LOSS


def test_empty_data_is_refused():
    with pytest.raises(ValueError, match="empty"):
        built(MODELS[0], np.float32).read(b"")


def test_erf_is_the_error_function():
    x = np.concatenate([np.linspace(-7, 7, 20_001), [0.0, 0.46875, 4.0, 1e-300, -1e-9, 30.0]])
    true = np.array([math.erf(v) for v in x])
    assert np.abs(erf(x) - true).max() <= 1e-15
    single = x.astype(np.float32)
    true = np.array([math.erf(v) for v in single.tolist()])
    assert erf(single).dtype == np.float32
    assert np.abs(erf(single).astype(np.float64) - true).max() < 1e-7


def test_gelu_is_exact_not_its_tanh_likeness():
    x = np.linspace(-5, 5, 1001)
    true = np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x])
    assert np.abs(gelu(x) - true).max() <= 1e-14
