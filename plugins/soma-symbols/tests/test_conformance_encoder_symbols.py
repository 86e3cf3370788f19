"""encoder-symbols does what every encoder must do, by every strategy."""

from soma_core.testing import EncoderSuite


class TestAsTrained(EncoderSuite):
    plugin = "encoder-symbols"
    bad = (b"",)


class TestFeature(EncoderSuite):
    plugin = "encoder-symbols"
    config = {"strategy": "feature"}  # noqa: RUF012  # as authors write it
    bad = (b"",)


class TestHash(EncoderSuite):
    plugin = "encoder-symbols"
    config = {"strategy": "hash"}  # noqa: RUF012
    bad = (b"",)


class TestHybrid(EncoderSuite):
    plugin = "encoder-symbols"
    config = {"strategy": "hybrid", "max_batch": 1}  # noqa: RUF012
    bad = (b"",)
