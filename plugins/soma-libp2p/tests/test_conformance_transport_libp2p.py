"""`transport-libp2p` is held to what every transport is held to."""

from soma_core.testing import TransportSuite


class TestTransportLibp2p(TransportSuite):
    plugin = "transport-libp2p"
