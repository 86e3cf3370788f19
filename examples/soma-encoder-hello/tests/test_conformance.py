from soma_core.testing import EncoderSuite


class TestHello(EncoderSuite):
    plugin = "encoder-hello"
