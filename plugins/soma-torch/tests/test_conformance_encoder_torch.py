"""encoder-torch does what every engine of the byte transformer must do."""

from soma_core.testing import TransformerSuite


class TestEncoder(TransformerSuite):
    plugin = "encoder-torch"
    declares = frozenset({"loss", "gradient", "export", "forward"})
    narrow = {"bf16": (0.9999, 0.06)}  # noqa: RUF012  # as authors write it
    positions = {"f32": 4e-5, "f64": 2e-9, "bf16": 0.25}  # noqa: RUF012
