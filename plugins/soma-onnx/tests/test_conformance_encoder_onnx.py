"""encoder-onnx does what every encoder must do."""

from soma_core.testing import EncoderSuite


class TestEncoder(EncoderSuite):
    plugin = "encoder-onnx"
    config = {"weights": "text"}  # noqa: RUF012  # as authors write it
    bad = (b"",)
