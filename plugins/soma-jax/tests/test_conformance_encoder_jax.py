"""encoder-jax does what every engine of the byte transformer must do."""

from soma_core.testing import TransformerSuite


class TestEncoder(TransformerSuite):
    plugin = "encoder-jax"
    declares = frozenset({"loss", "gradient", "export", "forward"})
    narrow = {"bf16": (0.9999, 0.03)}  # noqa: RUF012  # as authors write it
