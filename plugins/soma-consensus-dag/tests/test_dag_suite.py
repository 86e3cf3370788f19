"""`consensus-dag` is held to what every engine is held to, in committees of several sizes."""

import pytest

from soma_core.testing import ConsensusSuite


class TestFour(ConsensusSuite):
    plugin = "consensus-dag"


class TestOne(ConsensusSuite):
    """Nobody to catch up with, and nobody to lie."""

    plugin = "consensus-dag"
    members = 1
    test_catch_up_as_declared = None
    test_byzantine_as_declared = None


@pytest.mark.slow
class TestSeven(ConsensusSuite):
    plugin = "consensus-dag"
    members = 7
