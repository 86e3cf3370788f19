"""What is Torch's own: gradients in float64, and devices that are not there."""

import logging

import numpy as np
import pytest
import torch

from soma_core.api import EncoderContext
from soma_core.errors import SettingsError
from soma_core.model import ReferenceTransformer, load_weights
from soma_torch import Config, open_encoder


@pytest.fixture
def opened(tmp_path):
    def open_(**config):
        config = {"weights": "text", **config}
        return open_encoder(Config(**config), EncoderContext("encoder-torch", tmp_path, logging.getLogger("test")))

    return open_


def test_gradient_in_float64_is_the_slope(opened):
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
