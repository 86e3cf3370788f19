import pytest
from ledger_world import World


@pytest.fixture
def world() -> World:
    return World()
