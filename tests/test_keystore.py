"""Key files: round trips, wrong passphrases, damaged, foreign and loose files, and writers that were killed."""

import os
import stat
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soma_core import keystore
from soma_core.crypto import SecretKey, address_of
from soma_core.errors import KeyStoreError
from soma_core.keystore import KeyFile, KeyStore, find_passphrase
from soma_core.records import pack, unpack


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setattr(keystore, "SCRYPT_N", 1 << 14)  # the least a file may ask for: 50 ms
    monkeypatch.delenv("SOMA_PASSPHRASE", raising=False)
    monkeypatch.delenv("SOMA_PASSPHRASE_FILE", raising=False)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SOMA_PASSPHRASE", "correct horse")
    return KeyStore(tmp_path / "data")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_comes_back_as_it_was_stored(store):
    secret = SecretKey.generate()
    entry = store.create("account", secret)
    assert entry.key == secret.public
    assert entry.address == address_of(secret.public)
    assert KeyStore(store.data_dir).open("account") == secret
    assert store.list() == (entry,)
    assert mode(entry.path) == 0o600
    assert mode(store.directory) == 0o700
    assert secret.expose() not in entry.path.read_bytes()
    assert sorted(p.name for p in store.directory.iterdir()) == ["account.key"]


def test_missing_keys_are_made_and_present_ones_kept(store):
    kept = store.create("node")
    entries = store.ensure(("account", "node", "encoder"))
    assert [e.role for e in entries] == ["account", "node", "encoder"]
    assert entries[1] == kept
    assert len({e.key for e in entries}) == 3
    assert [e.role for e in store.list()] == ["account", "node", "encoder"]


def test_keys_of_one_store_are_opened_with_one_stretching(store, monkeypatch):
    store.ensure(keystore.ROLES)
    calls = []
    real = keystore.scrypt
    monkeypatch.setattr(keystore, "scrypt", lambda *a, **k: calls.append(1) or real(*a, **k))
    fresh = KeyStore(store.data_dir)
    assert len({fresh.open(role).expose() for role in keystore.ROLES}) == 4
    assert len(calls) == 1


def test_a_key_is_never_overwritten(store):
    first = store.create("account")
    before = first.path.read_bytes()
    with pytest.raises(KeyStoreError, match="already; move the file away"):
        store.create("account")
    assert first.path.read_bytes() == before


def test_what_a_killed_writer_left_is_no_key_and_no_obstacle(store):
    store.create("node")
    (store.directory / ".account.key.draft").write_bytes(b"half a ke")
    assert [e.role for e in store.list()] == ["node"]
    entry = store.create("account")
    assert store.open("account").public == entry.key


def test_a_wrong_passphrase_is_said(store, monkeypatch):
    store.create("account")
    monkeypatch.setenv("SOMA_PASSPHRASE", "incorrect horse")
    with pytest.raises(KeyStoreError, match="from SOMA_PASSPHRASE does not open it") as caught:
        KeyStore(store.data_dir).open("account")
    assert "horse" not in str(caught.value)


def test_roles_are_closed_and_missing_keys_have_a_remedy(store):
    with pytest.raises(KeyStoreError, match="'root' is not a role; roles are account, validator, node, encoder"):
        store.open("root")
    with pytest.raises(KeyStoreError, match="make one with `soma keys new validator`"):
        store.open("validator")
    assert store.list() == ()


def test_every_damaged_byte_is_noticed(store):
    entry = store.create("account")
    whole = entry.path.read_bytes()
    for place in range(0, len(whole), 5):
        entry.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(KeyStoreError):
            store.open("account")
    entry.path.write_bytes(whole)
    assert store.open("account").public == entry.key


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_truncated_files_are_no_key_files(store, cut):
    entry = store.create("account")
    entry.path.write_bytes(entry.path.read_bytes()[:cut])
    with pytest.raises(KeyStoreError, match="not a key file"):
        KeyStore(store.data_dir).open("account")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=1500))
def test_foreign_files_are_no_key_files(store, data):
    store.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = store.path("node")
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeyStoreError):
        store.open("node")
    with pytest.raises(KeyStoreError):
        store.list()


def test_a_file_of_another_role_is_refused(store):
    entry = store.create("account")
    entry.path.rename(store.path("validator"))
    with pytest.raises(KeyStoreError, match=r"this is the key for 'account'; call the file account\.key"):
        store.open("validator")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"n": 3 << 14}, "no power of two"),
        ({"n": 1 << 20, "r": 16}, "more than 1 GiB"),
        ({"key": SecretKey.generate().public}, "does not open it"),
        ({"nonce": bytes(12)}, "does not open it"),
        ({"salt": bytes(16)}, "does not open it"),
    ],
)
def test_the_seal_binds_every_field_and_costs_are_bounded(store, change, text):
    entry = store.create("account")
    entry.path.write_bytes(pack(evolve(unpack(KeyFile, entry.path.read_bytes()), **change)))
    with pytest.raises(KeyStoreError, match=text):
        KeyStore(store.data_dir).open("account")


@pytest.mark.parametrize("n", [1 << 13, 1 << 21])
def test_costs_outside_the_bounds_cannot_even_be_written(store, n):
    entry = store.create("account")
    with pytest.raises(ValueError, match="n: "):
        evolve(unpack(KeyFile, entry.path.read_bytes()), n=n)


def test_loose_modes_are_refused_with_the_line_that_mends_them(store):
    entry = store.create("account")
    entry.path.chmod(0o640)
    with pytest.raises(KeyStoreError, match=rf"mode 0640\); chmod 600 {entry.path}"):
        store.open("account")
    entry.path.chmod(0o400)
    store.open("account")
    store.directory.chmod(0o755)
    for use in (lambda: store.open("account"), store.list, lambda: store.create("node")):
        with pytest.raises(KeyStoreError, match=rf"mode 0755\); chmod 700 {store.directory}"):
            use()


def test_a_development_network_gets_a_passphrase_of_its_own(tmp_path):
    with pytest.raises(KeyStoreError, match=r"no passphrase for the keys in .*; set SOMA_PASSPHRASE_FILE"):
        find_passphrase(tmp_path)
    entry = KeyStore(tmp_path).create("account")
    made = find_passphrase(tmp_path)
    assert made.source == str(keystore.passphrase_file(tmp_path))
    assert len(made.value) == 64
    assert mode(keystore.passphrase_file(tmp_path)) == 0o600
    assert made.value.decode() not in repr(made)
    assert KeyStore(tmp_path).open("account").public == entry.key
    keystore.passphrase_file(tmp_path).chmod(0o644)
    with pytest.raises(KeyStoreError, match="chmod 600"):
        find_passphrase(tmp_path)


def test_a_named_file_comes_before_the_variable(store, tmp_path, monkeypatch):
    file = tmp_path / "secret"
    file.write_bytes(b"from a file\n")
    monkeypatch.setenv("SOMA_PASSPHRASE_FILE", str(file))
    assert find_passphrase(store.data_dir).value == b"from a file"
    assert find_passphrase(store.data_dir).source == "SOMA_PASSPHRASE_FILE"
    monkeypatch.setenv("SOMA_PASSPHRASE_FILE", str(tmp_path / "absent"))
    with pytest.raises(KeyStoreError, match="absent: cannot be read"):
        find_passphrase(store.data_dir)


@pytest.mark.parametrize("value", ["", "\n", "x" * 4097])
def test_passphrases_have_a_least_and_a_greatest_length(tmp_path, monkeypatch, value):
    monkeypatch.setenv("SOMA_PASSPHRASE", value)
    with pytest.raises(KeyStoreError, match="not 1 to 4096"):
        find_passphrase(tmp_path)


def test_private_files_are_written_once_and_read_only_if_private(tmp_path):
    path = tmp_path / "out"
    keystore.write_private(path, b"secret")
    assert mode(path) == 0o600
    assert keystore.read_private(path) == b"secret"
    with pytest.raises(KeyStoreError, match="such a file already"):
        keystore.write_private(path, b"other")
    path.chmod(0o604)
    with pytest.raises(KeyStoreError, match="chmod 600"):
        keystore.read_private(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SOMA_PASSPHRASE", "x")
    tmp_path.chmod(0o500)
    with pytest.raises(KeyStoreError, match="cannot be written"):
        KeyStore(tmp_path / "data").create("account")


def test_a_file_in_the_way_of_the_directory_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SOMA_PASSPHRASE", "x")
    (tmp_path / "keys").write_text("not a directory")
    with pytest.raises(KeyStoreError, match="cannot be written"):
        KeyStore(tmp_path).create("account")
