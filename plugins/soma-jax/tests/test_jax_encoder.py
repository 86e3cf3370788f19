import logging
from pathlib import Path

import numpy as np
import pytest

from soma_core.api import EncoderContext
from soma_core.errors import SettingsError, UnwantedError
from soma_core.model import ReferenceTransformer, load_weights, write_tensors
from soma_jax import Config, open_encoder, soma_encoder

TOLERANCE = 1e-6
ITEMS = [b"a", b"two cats", b"x" * 256, b"two cats sat on a mat\n" * 40, bytes(range(256)) * 5, b"x" * 2000, b"\x00"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("encoder"), weights="text")


def opened(folder: Path, **config):
    return open_encoder(Config(**config), EncoderContext("encoder-jax", folder, logging.getLogger("test")))


def test_info_says_what_it_is(encoder):
    weights = load_weights("text")
    info = encoder.info
    assert (info.dim, info.weights, info.frame) == (128, weights.digest, weights.frame)
    assert (info.architecture, info.numeric, info.max_batch) == ("byte-transformer-1", "f32", 64)
    assert info.modalities == {"text"}


def test_the_module_imports_no_framework():
    import subprocess
    import sys

    code = "import sys, soma_jax; sys.exit(sorted({'numpy', 'jax', 'trio', 'sqlite3'} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_features_are_what_the_encoder_has(encoder):
    assert soma_encoder().features == {"loss", "gradient", "export", "forward"}
    assert hasattr(encoder, "evaluate")
    assert hasattr(encoder, "gradient") is True


def test_a_row_does_not_depend_on_its_batch(encoder):
    whole = encoder.evaluate(ITEMS, b"")
    assert whole.vectors.shape == (len(ITEMS), 128)
    assert (whole.vectors.dtype, whole.bits_per_byte.dtype) == (np.float32, np.float64)
    for place, item in enumerate(ITEMS):
        alone = encoder.evaluate([item], b"seed")
        assert np.abs(alone.vectors[0] - whole.vectors[place]).max() <= TOLERANCE
        assert abs(alone.bits_per_byte[0] - whole.bits_per_byte[place]) <= 2 * TOLERANCE
    assert np.array_equal(encoder.encode(ITEMS), whole.vectors)


@pytest.mark.parametrize("name", ["text", "audio", "generalist"])
def test_results_are_those_of_float64(tmp_path, name):
    weights = load_weights(name)
    truth = ReferenceTransformer(weights.config, weights.tensors, np.float64)
    found = opened(tmp_path, weights=name).evaluate(ITEMS, b"")
    for place, item in enumerate(ITEMS):
        reading = truth.read(item)
        assert abs(found.bits_per_byte[place] - reading.bits_per_byte) <= 2e-6
        assert np.abs(found.vectors[place] - reading.vector).max() <= 1e-6


def test_short_chunks_share_a_row(encoder, monkeypatch):
    calls = shapes_of(encoder, monkeypatch)
    encoder.encode([bytes([i]) * 16 for i in range(32)])
    assert calls == [(2, 256)], "what they hold, and no padding"


@pytest.mark.parametrize("tokens", [1, 2048])
def test_tokens_change_no_result(encoder, tmp_path, tokens):
    whole, other = encoder.evaluate(ITEMS, b""), opened(tmp_path, weights="text", tokens=tokens).evaluate(ITEMS, b"")
    assert np.abs(whole.vectors - other.vectors).max() <= TOLERANCE
    assert np.abs(whole.bits_per_byte - other.bits_per_byte).max() <= 2 * TOLERANCE


@pytest.mark.parametrize("name", ["text", "audio", "generalist"])
def test_bf16_keeps_the_direction(tmp_path, name):
    weights = load_weights(name)
    truth = ReferenceTransformer(weights.config, weights.tensors, np.float64)
    narrow = opened(tmp_path, weights=name, dtype="bf16")
    assert narrow.info.numeric == "bf16"
    found = narrow.evaluate(ITEMS, b"")
    for vector, bits, item in zip(found.vectors, found.bits_per_byte, ITEMS, strict=True):
        reading = truth.read(item)
        assert vector @ reading.vector / np.linalg.norm(vector) / np.linalg.norm(reading.vector) >= 0.9999
        assert abs(bits - reading.bits_per_byte) <= 0.01


def test_no_items_give_no_rows(encoder):
    assert encoder.encode([]).shape == (0, 128)


def test_a_bad_item_is_named_by_its_position(encoder):
    with pytest.raises(ValueError, match="item 1: empty"):
        encoder.encode([b"a", b"", b"b"])
    with pytest.raises(ValueError, match="item 0: empty"):
        encoder.evaluate([b""], b"")


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(SettingsError, match="weights txet: no encoder of this name is bundled; did you mean text"):
        opened(tmp_path, weights="txet")
    with pytest.raises(SettingsError, match="no such file"):
        opened(tmp_path, weights="./none.safetensors")


@pytest.mark.parametrize("name", ["text", "code", "image", "audio", "generalist"])
def test_results_are_those_of_the_referee(tmp_path, name):
    weights = load_weights(name)
    referee = ReferenceTransformer(weights.config, weights.tensors)
    found = opened(tmp_path, weights=name).evaluate(ITEMS, b"")
    for place, item in enumerate(ITEMS):
        reading = referee.read(item)
        assert abs(found.bits_per_byte[place] - reading.bits_per_byte) <= 2e-6
        assert np.abs(found.vectors[place] - reading.vector).max() <= 1e-6


def test_nothing_is_compiled_after_opening(tmp_path):
    import jax

    fresh = opened(tmp_path, weights="text")
    seen = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: seen.append(event))
    try:
        for size in (1, 3, 200):
            fresh.evaluate([bytes([i]) * (1 + 3 * i) for i in range(size)], b"")
        assert not [event for event in seen if "compile" in event]
    finally:
        jax.monitoring.clear_event_listeners()


def shapes_of(encoder, monkeypatch):
    """Of what is computed from now on."""
    calls = []
    read = encoder._read
    monkeypatch.setattr(encoder, "_read", lambda p, *slab: calls.append(slab[0].shape) or read(p, *slab))
    return calls


def test_equal_chunks_are_computed_once(encoder, monkeypatch):
    calls = shapes_of(encoder, monkeypatch)
    many = encoder.evaluate([b"y" * 256 * 100, b"y" * 256], b"")
    assert calls == [(2, 256)]
    assert np.array_equal(many.vectors[0], many.vectors[1])
    assert many.bits_per_byte[0] == pytest.approx(many.bits_per_byte[1], abs=1e-12)


def test_the_gradient_is_that_of_the_summed_losses(encoder):
    weights = load_weights("text")
    items = [b"two cats", b"the end of a longer piece of text. " * 12]
    slopes = encoder.gradient(items, b"")
    assert {name: slope.shape for name, slope in slopes.items()} == weights.config.shapes()
    rng = np.random.default_rng(4)
    for name in (
        "embedding.weight",
        "encoder.layers.0.attention.key.weight",
        "encoder.layers.1.pwff.linear_inner.bias",
    ):
        direction = rng.normal(size=slopes[name].shape)
        step = 1e-5 / np.abs(direction).max()
        up, down = (
            sum(shifted(weights, name, sign * step * direction).read(item).bits_per_byte for item in items)
            for sign in (1, -1)
        )
        measured = (up - down) / (2 * step)
        assert measured == pytest.approx(float((slopes[name] * direction).sum()), rel=1e-3, abs=1e-5)


def shifted(weights, name, change):
    model = ReferenceTransformer(weights.config, weights.tensors, np.float64)
    model._tensors[name] = model._tensors[name] + change
    return model


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 2e-6), ("f64", 1e-10)])
def test_it_says_of_tokens_what_the_referee_says(tmp_path, dtype, tolerance):
    """In a process of its own: float64 is switched on for all of JAX."""
    import subprocess
    import sys

    code = f"""
import logging, pathlib
import numpy as np
from soma_core.api import EncoderContext
from soma_core.model import ReferenceTransformer, load_weights, write_tensors
from soma_jax import Config, open_encoder
context = EncoderContext("encoder-jax", pathlib.Path({str(tmp_path)!r}), logging.getLogger("test"))
encoder = open_encoder(Config(weights="text", dtype={dtype!r}), context)
weights = load_weights("text")
ids = np.random.default_rng(3).integers(0, 258, (3, 40), np.int32)
targets = np.roll(ids, -1, 1)
targets[:, -1] = 256
positions = np.arange(40) + np.array([[0], [1000], [123456]])
reps, nats = encoder.forward(ids, positions, targets)
truth, charged = ReferenceTransformer(weights.config, weights.tensors, np.float64).forward(ids, positions, targets)
assert encoder.info.numeric == {dtype!r}
assert reps.dtype.name == {"float" + dtype[1:]!r}
print(np.abs(reps - truth).max(), np.abs(nats - charged).max())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert max(map(float, done.stdout.split())) <= 20 * tolerance, "of one position, before any mean is taken"


def test_a_written_file_is_the_one_that_was_read(encoder):
    weights = load_weights("text")
    assert encoder.export("safetensors") == write_tensors(weights.tensors)


def test_a_batch_that_nobody_waits_for_is_given_up(tmp_path):
    context = EncoderContext("encoder-jax", tmp_path, logging.getLogger("test"), cancelled=lambda: True)
    with pytest.raises(UnwantedError):
        open_encoder(Config(weights="text"), context).encode([b"two cats"])
