"""What is ONNX's own: the graph, and a device that is not there."""

import logging

import onnx
import onnxruntime
import pytest

from soma_core.api import EncoderContext
from soma_core.errors import SettingsError
from soma_core.model import load_weights, onnx_model
from soma_onnx import Config, open_encoder


def test_a_device_that_is_not_there_is_said_in_a_line(tmp_path):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is one")
    context = EncoderContext("encoder-onnx", tmp_path, logging.getLogger("test"))
    with pytest.raises(SettingsError, match="has no CUDAExecutionProvider") as caught:
        open_encoder(Config(weights="text", device="cuda"), context)
    assert "\n" not in str(caught.value)


def test_the_graph_is_what_the_standard_says():
    weights = load_weights("text")
    data = onnx_model(weights.config, weights.tensors, ("representations", "pooled", "nats"))
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert data == onnx_model(weights.config, weights.tensors, ("representations", "pooled", "nats"))
