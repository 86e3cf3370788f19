"""encoder-onnx does what every engine of the byte transformer must do."""

from soma_core.testing import TransformerSuite


class TestEncoder(TransformerSuite):
    plugin = "encoder-onnx"
    tolerance = steady = 5e-6
    narrow = {"int8": (0.999, 0.05)}  # noqa: RUF012  # as authors write it
