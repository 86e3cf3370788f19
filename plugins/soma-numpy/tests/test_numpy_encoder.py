import logging
from pathlib import Path

import numpy as np
import pytest

from soma_core.api import EncoderContext
from soma_core.errors import SettingsError, UnwantedError
from soma_core.model import ReferenceTransformer, load_weights
from soma_numpy import Config, open_encoder, soma_encoder

TOLERANCE = 0  # bit for bit
ITEMS = [b"a", b"two cats", b"x" * 256, b"two cats sat on a mat\n" * 40, bytes(range(256)) * 5, b"x" * 2000, b"\x00"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("encoder"), weights="text")


def opened(folder: Path, **config):
    return open_encoder(Config(**config), EncoderContext("encoder-numpy", folder, logging.getLogger("test")))


def test_info_says_what_it_is(encoder):
    weights = load_weights("text")
    info = encoder.info
    assert (info.dim, info.weights, info.frame) == (128, weights.digest, weights.frame)
    assert (info.architecture, info.numeric, info.max_batch) == ("byte-transformer-1", "f32", 64)
    assert info.modalities == {"text"}


def test_the_module_imports_no_framework():
    import subprocess
    import sys

    code = "import sys, soma_numpy; sys.exit(sorted({'numpy', 'jax', 'trio', 'sqlite3'} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_features_are_what_the_encoder_has(encoder):
    assert soma_encoder().features == {"loss", "forward"}
    assert hasattr(encoder, "evaluate")
    assert hasattr(encoder, "gradient") is False
    assert not hasattr(encoder, "export")


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


def test_a_batch_that_nobody_waits_for_is_given_up(tmp_path):
    context = EncoderContext("encoder-numpy", tmp_path, logging.getLogger("test"), cancelled=lambda: True)
    with pytest.raises(UnwantedError):
        open_encoder(Config(weights="text"), context).encode([b"two cats"])
