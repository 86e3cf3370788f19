import logging

import numpy as np
import onnx
import onnxruntime
import pytest

from soma_core.api import EncoderContext
from soma_core.errors import SettingsError, UnwantedError
from soma_core.model import ReferenceTransformer, load_weights, onnx_model
from soma_onnx import Config, open_encoder, soma_encoder

ITEMS = [b"a", b"two cats", b"x" * 256, b"two cats sat on a mat\n" * 40, bytes(range(256)) * 5, b"x" * 2000, b"\x00"]
TOLERANCE = 5e-6


@pytest.fixture
def opened(tmp_path):
    def open_(**config):
        config = {"weights": "text", **config}
        return open_encoder(Config(**config), EncoderContext("encoder-onnx", tmp_path, logging.getLogger("test")))

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
    assert soma_encoder().features == {"loss", "forward"}


def test_the_module_imports_no_framework():
    import subprocess
    import sys

    heavy = {"numpy", "onnx", "onnxruntime", "trio", "sqlite3"}
    code = f"import sys, soma_onnx; sys.exit(sorted({heavy} & set(sys.modules)) or 0)"
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


def test_it_says_of_tokens_what_the_referee_says(opened, truth):
    """Of one position, before any mean is taken."""
    ids = np.random.default_rng(3).integers(0, 258, (3, 40), np.int32)
    targets = np.roll(ids, -1, 1)
    targets[:, -1] = 256
    positions = np.arange(40) + np.array([[0], [1000], [123456]])
    reps, nats = opened().forward(ids, positions, targets)
    wanted, charged = truth.forward(ids, positions, targets)
    assert np.abs(reps - wanted).max() <= 4e-5
    assert np.abs(nats - charged).max() <= 4e-5


@pytest.mark.parametrize("name", ["text", "code", "image", "audio", "generalist"])
def test_int8_keeps_the_direction(opened, name):
    weights = load_weights(name)
    truth = ReferenceTransformer(weights.config, weights.tensors, np.float64)
    encoder = opened(weights=name, dtype="int8")
    assert encoder.info.numeric == "int8"
    for vector, item in zip(encoder.encode(ITEMS), ITEMS, strict=True):
        wanted = truth.read(item).vector
        assert float(vector @ wanted / np.linalg.norm(vector) / np.linalg.norm(wanted)) >= 0.999


def test_a_device_that_is_not_there_is_said_in_a_line(opened):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is one")
    with pytest.raises(SettingsError, match="has no CUDAExecutionProvider") as caught:
        opened(device="cuda")
    assert "\n" not in str(caught.value)


def test_a_bad_item_is_named_by_its_place(opened):
    with pytest.raises(ValueError, match="item 1: empty"):
        opened().encode([b"a", b""])


def test_the_graph_is_what_the_standard_says():
    weights = load_weights("text")
    data = onnx_model(weights.config, weights.tensors, ("representations", "pooled", "nats"))
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert data == onnx_model(weights.config, weights.tensors, ("representations", "pooled", "nats"))


def test_a_batch_that_nobody_waits_for_is_given_up(tmp_path):
    context = EncoderContext("encoder-onnx", tmp_path, logging.getLogger("test"), cancelled=lambda: True)
    with pytest.raises(UnwantedError):
        open_encoder(Config(weights="text"), context).encode([b"two cats"])
