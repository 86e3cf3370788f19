"""encoder-numpy does what every engine of the byte transformer must do."""

from soma_core.testing import TransformerSuite


class TestEncoder(TransformerSuite):
    plugin = "encoder-numpy"
    steady = 0  # bit for bit
    slabs = ()  # an item after the other
    positions = {"f32": 4e-5, "f64": 0}  # noqa: RUF012  # as authors write it
