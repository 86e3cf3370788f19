import pytest
from ledger_world import World
from worker_world import FAKE, install_fake

from soma_core import keystore
from soma_core.keystore import KeyStore


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


@pytest.fixture(scope="session")
def master_keys(tmp_path_factory):
    """Key files made once; every test copies them."""
    data = tmp_path_factory.mktemp("master")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keystore, "SCRYPT_N", 1 << 14)
        patch.setenv("SOMA_PASSPHRASE", "for tests")
        KeyStore(data).ensure(keystore.ROLES)
    return data


@pytest.fixture
def home(master_keys, tmp_path, monkeypatch):
    """A data directory with a key of every role, for this test alone."""
    monkeypatch.setenv("SOMA_PASSPHRASE", "for tests")
    monkeypatch.delenv("SOMA_PASSPHRASE_FILE", raising=False)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for file in (master_keys / "keys").glob("*.key"):
        (keys / file.name).write_bytes(file.read_bytes())
        (keys / file.name).chmod(0o600)
    return tmp_path
