import logging

import numpy as np
import pytest
import torch

from soma_core.api import EncoderContext
from soma_core.errors import SettingsError, UnwantedError
from soma_core.model import ReferenceTransformer, load_weights, write_tensors
from soma_torch import Config, open_encoder, soma_encoder

ITEMS = [b"a", b"two cats", b"x" * 256, b"two cats sat on a mat\n" * 40, bytes(range(256)) * 5, b"x" * 2000, b"\x00"]
TOLERANCE = 1e-6


@pytest.fixture
def opened(tmp_path):
    def open_(**config):
        config = {"weights": "text", **config}
        return open_encoder(Config(**config), EncoderContext("encoder-torch", tmp_path, logging.getLogger("test")))

    return open_


@pytest.fixture(scope="module")
def truth():
    weights = load_weights("text")
    return ReferenceTransformer(weights.config, weights.tensors, np.float64)


def test_info_says_what_it_is(opened):
    weights = load_weights("text")
    info = opened().info
    assert (info.dim, info.weights, info.frame) == (128, weights.digest, weights.frame)
    assert (info.architecture, info.numeric, info.max_batch) == ("byte-transformer-1", "f32", 64)
    assert opened(dtype="bf16").info.numeric == "bf16"
    assert soma_encoder().features == {"loss", "gradient", "export", "forward"}


def test_the_module_imports_no_framework():
    import subprocess
    import sys

    code = "import sys, soma_torch; sys.exit(sorted({'numpy', 'torch', 'trio', 'sqlite3'} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("name", ["text", "audio", "generalist"])
def test_results_are_those_of_float64(opened, name):
    weights = load_weights(name)
    truth = ReferenceTransformer(weights.config, weights.tensors, np.float64)
    evaluation = opened(weights=name).evaluate(ITEMS, b"")
    for vector, bits, item in zip(evaluation.vectors, evaluation.bits_per_byte, ITEMS, strict=True):
        reading = truth.read(item)
        assert np.abs(vector - reading.vector).max() <= TOLERANCE
        assert abs(bits - reading.bits_per_byte) <= 2 * TOLERANCE


def test_a_row_does_not_depend_on_its_batch(opened):
    encoder = opened()
    whole = encoder.evaluate(ITEMS, b"")
    for place, item in enumerate(ITEMS):
        alone = encoder.evaluate([item], b"seed")
        assert np.abs(alone.vectors[0] - whole.vectors[place]).max() <= TOLERANCE
        assert abs(alone.bits_per_byte[0] - whole.bits_per_byte[place]) <= 2 * TOLERANCE
    few = opened(tokens=1).evaluate(ITEMS, b"")
    assert np.abs(few.vectors - whole.vectors).max() <= TOLERANCE


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 4e-5), ("f64", 2e-9), ("bf16", 0.25)])
def test_it_says_of_tokens_what_the_referee_says(opened, truth, dtype, tolerance):
    """Of one position, before any mean is taken."""
    ids = np.random.default_rng(3).integers(0, 258, (3, 40), np.int32)
    targets = np.roll(ids, -1, 1)
    targets[:, -1] = 256
    positions = np.arange(40) + np.array([[0], [1000], [123456]])
    reps, nats = opened(dtype=dtype).forward(ids, positions, targets)
    wanted, charged = truth.forward(ids, positions, targets)
    assert reps.dtype == (np.float64 if dtype == "f64" else np.float32)
    assert np.abs(reps - wanted).max() <= tolerance
    assert np.abs(nats - charged).max() <= tolerance


def test_bf16_keeps_the_direction(opened, truth):
    for vector, item in zip(opened(dtype="bf16").encode(ITEMS), ITEMS, strict=True):
        wanted = truth.read(item).vector
        cosine = float(vector @ wanted / np.linalg.norm(vector) / np.linalg.norm(wanted))
        assert cosine >= 0.9999


def test_the_gradient_is_the_slope(opened, truth):
    items = [b"two cats sat on a mat", b"x"]
    gradient = opened(dtype="f64").gradient(items, b"")
    draw = np.random.default_rng(5)
    weights = load_weights("text")
    for name in ("embedding.weight", "encoder.layers.1.attention.query.weight", "predictor.bias", "final_norm.gamma"):
        step = draw.standard_normal(weights.tensors[name].shape)
        step /= np.linalg.norm(step)
        both = []
        for sign in (1, -1):
            moved = {**weights.tensors, name: weights.tensors[name].astype(np.float64) + sign * 1e-4 * step}
            model = ReferenceTransformer(weights.config, moved, np.float64)
            both.append(sum(model.read(item).bits / len(item) for item in items))
        assert (both[0] - both[1]) / 2e-4 == pytest.approx(float((gradient[name] * step).sum()), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(
    ("device", "says"), [("warp", "no such device"), ("cuda", "no CUDA device"), ("meta", "it is not here")]
)
def test_a_device_that_is_not_there_is_said_in_a_line(opened, device, says):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SettingsError, match=says) as caught:
        opened(device=device)
    assert "\n" not in str(caught.value)


def test_a_bad_item_is_named_by_its_place(opened):
    with pytest.raises(ValueError, match="item 1: empty"):
        opened().encode([b"a", b""])


def test_a_written_file_is_the_one_that_was_read(opened):
    weights = load_weights("text")
    assert opened().export("safetensors") == write_tensors(weights.tensors)


def test_a_batch_that_nobody_waits_for_is_given_up(tmp_path):
    context = EncoderContext("encoder-torch", tmp_path, logging.getLogger("test"), cancelled=lambda: True)
    with pytest.raises(UnwantedError):
        open_encoder(Config(weights="text"), context).encode([b"two cats"])
