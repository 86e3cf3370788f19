"""``soma keys``: what it makes, shows and refuses, and that no secret reaches the screen."""

import io
import json
import stat

import pytest

from soma_core import keystore
from soma_core.cli import main
from soma_core.crypto import SecretKey, address_of
from soma_core.keystore import KeyStore


@pytest.fixture
def soma(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(keystore, "SCRYPT_N", 1 << 14)
    monkeypatch.delenv("SOMA_PASSPHRASE_FILE", raising=False)
    monkeypatch.setenv("SOMA_PASSPHRASE", "for tests")
    monkeypatch.setenv("SOMA_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments):
        status = main(["keys", *arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "data")


def test_keys_are_made_listed_and_shown(soma, store):
    assert soma() == (
        0,
        "",
        f"no keys in {store.data_dir}; `soma run` makes those of a development network, `soma keys new ROLE` one\n",
    )
    status, out, err = soma("new", "account")
    key = store.open("account").public
    assert status == 0
    assert key.hex() in out
    assert address_of(key).hex() in out
    assert "sealed by the passphrase from SOMA_PASSPHRASE" in err
    assert "lies beside" not in err
    assert soma("show", "account")[1] == out
    _, out, _ = soma("new", "node", "--json")
    assert json.loads(out) == {
        "role": "node",
        "key": store.open("node").public.hex(),
        "address": address_of(store.open("node").public).hex(),
        "file": str(store.path("node")),
    }
    _, out, _ = soma("list", "--json")
    assert soma("--json")[1] == out
    assert [k["role"] for k in json.loads(out)["keys"]] == ["account", "node"]
    _, out, _ = soma("list")
    assert [line.split()[0] for line in out.splitlines()] == ["role", "account", "node"]


def test_a_passphrase_beside_the_key_is_said(soma, monkeypatch):
    monkeypatch.delenv("SOMA_PASSPHRASE")
    _, _, err = soma("new", "account")
    assert "lies beside the key: good for development" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("new", "root"), "'root' is not a role; roles are account"),
        (("show", "encoder"), "make one with `soma keys new encoder`"),
        (("export", "encoder", "x", "--yes"), "make one with `soma keys new encoder`"),
        (("import", "encoder", "absent"), "absent: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(soma, arguments, text):
    status, out, err = soma(*arguments)
    assert (status, out) == (1, "")
    assert text in err
    assert err.count("\n") == 1


def test_a_key_goes_out_and_in_again(soma, store, tmp_path):
    soma("new", "encoder")
    secret = store.open("encoder")
    file = tmp_path / "secret"
    status, out, err = soma("export", "encoder", str(file), "--yes")
    assert (status, out) == (0, "")
    assert "move it to where it is safe" in err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == secret.expose().hex() + "\n"
    assert soma("export", "encoder", str(file), "--yes")[0] == 1  # never overwritten
    assert soma("import", "encoder", str(file))[0] == 1  # nor is a key
    store.path("encoder").unlink()
    status, out, err = soma("import", "encoder", str(file))
    assert status == 0
    assert secret.public.hex() in out
    assert KeyStore(store.data_dir).open("encoder") == secret
    assert secret.expose().hex() not in out + err


def test_nothing_is_exported_unasked(soma, store, tmp_path, monkeypatch):
    soma("new", "account")
    for said in ("", "n\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        status, out, err = soma("export", "account", str(tmp_path / "out"))
        assert (status, out) == (2, "")
        assert "nothing was written; say --yes" in err
        assert not (tmp_path / "out").exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert soma("export", "account", str(tmp_path / "out"))[:2] == (0, "")
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 32, "11" * 31, "\xff"])
def test_only_a_secret_can_be_imported(soma, store, tmp_path, text):
    file = tmp_path / "in"
    file.write_text(text, "latin-1")
    file.chmod(0o644)
    assert "chmod 600" in soma("import", "account", str(file))[2]
    file.chmod(0o600)
    status, _, err = soma("import", "account", str(file))
    assert status == 1
    assert "secret" in err
    assert store.list() == ()


def test_the_secret_is_nowhere_in_the_clear(soma, store):
    soma("import", "account", str(_written(store, SecretKey.generate())))
    secret = store.open("account").expose()
    for file in store.directory.iterdir():
        assert secret not in file.read_bytes()
        assert secret.hex().encode() not in file.read_bytes()


def _written(store, secret):
    path = store.data_dir.parent / "in"
    keystore.write_private(path, secret.expose().hex().encode())
    return path
