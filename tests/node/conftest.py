import pytest
from ledger_world import World
from worker_world import FAKE, install_fake


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def fake_site(tmp_path_factory):
    """A folder with the encoder of `worker_world`."""
    return install_fake(tmp_path_factory.mktemp("site"))


@pytest.fixture
def fake(fake_site, monkeypatch):
    """That encoder, on the path of every child."""
    monkeypatch.setenv("PYTHONPATH", str(fake_site))
    return FAKE
