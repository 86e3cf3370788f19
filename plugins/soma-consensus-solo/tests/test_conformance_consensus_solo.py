"""`consensus-solo` is held to what every engine is held to."""

from soma_core.testing import ConsensusSuite


class TestConsensusSolo(ConsensusSuite):
    plugin = "consensus-solo"
