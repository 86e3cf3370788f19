"""Amounts, shares and owners as people write them, and keys that prove whose they are."""

import json
from pathlib import Path

import pytest

from soma_core import keystore
from soma_core.api import control, standing
from soma_core.cli import _acting, main
from soma_core.crypto import signing_digest, verify
from soma_core.errors import RefusedError, SettingsError, UsageError
from soma_core.genesis import read
from soma_core.keystore import KeyStore
from soma_core.node.wallet import accounts_of


@pytest.mark.parametrize(
    ("text", "parts"), [("0", 0), ("2.5", 250), ("2.50%", 250), ("100", 10_000), ("0.01", 1), ("7", 700)]
)
def test_a_commission_is_written_in_per_cent(text: str, parts: int) -> None:
    assert _acting.parse_share(text) == parts
    assert _acting.parse_share(_acting.per_cent(parts).replace(" ", "")) == parts


@pytest.mark.parametrize("text", ["", "-1", "100.01", "0.001", "half", "NaN", "Infinity", "1e-9"])
def test_what_is_no_commission_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no commission"):
        _acting.parse_share(text)


def test_what_the_chain_refuses_is_said_with_the_fee_that_is_gone() -> None:
    done = control.Done(transaction=bytes(32), code="pool", text="no pool", fee=10_000)
    with pytest.raises(
        RefusedError, match=r"set commission: refused: no pool \(the fee of 0\.000010000 SOMA is gone\)"
    ):
        _acting.accepted("set_commission", done)


class Known:
    """A node that knows one encoder and one validator."""

    def ask(self, operation: object, _request: object) -> object:
        if operation is control.ENCODERS:
            encoder = control.RegisteredEncoder(name="e", address=b"\1" * 32, stake=1, architecture="opaque", gate=0)
            return control.Encoders((encoder,))
        assert operation is control.VALIDATORS
        entry = standing.ValidatorEntry(
            name="v",
            account=b"\2" * 32,
            key=bytes(32),
            power=1,
            stake=1,
            state="seated",
            misses=0,
            failures=0,
            reports=(),
        )
        return standing.Validators(epoch=0, validators=(entry,))


def test_an_owner_is_a_name_or_an_address() -> None:
    node = Known()
    assert _acting.find_owner(node, "e") == b"\1" * 32  # type: ignore[arg-type]
    assert _acting.find_owner(node, "v") == b"\2" * 32  # type: ignore[arg-type]
    assert _acting.find_owner(node, "ab" * 32) == b"\xab" * 32  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there are e, v"):
        _acting.find_owner(node, "x")  # type: ignore[arg-type]


def test_accounts_that_keys_act_for_are_settings() -> None:
    assert accounts_of(()) == {}
    assert accounts_of([f"account={'ab' * 32}", f"encoder-x={'cd' * 32}"]) == {
        "account": b"\xab" * 32,
        "encoder-x": b"\xcd" * 32,
    }
    for wrong in ("account", "account=ab", f"account={'AB' * 32}", "=" + "ab" * 31):
        with pytest.raises(SettingsError, match="ROLE=ADDRESS"):
            accounts_of([wrong])


def test_a_key_proves_to_an_account_that_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keystore, "SCRYPT_N", 1 << 14)
    monkeypatch.setenv("SOMA_PASSPHRASE", "for tests")
    data_dir, account = str(tmp_path / "data"), "ab" * 32
    founded = tmp_path / "founded"
    assert main(["genesis", "new", "--plugin", "consensus-solo", "--data-dir", str(founded)]) == 0
    genesis = founded / "genesis.cbor"
    assert main(["keys", "new", "account", "--data-dir", data_dir]) == 0
    capsys.readouterr()
    words = ["keys", "prove", "account", account, "--data-dir", data_dir]
    assert main([*words, "--genesis", str(genesis), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    key = KeyStore(Path(data_dir)).open("account").public
    signed = signing_digest("soma/possession", read(genesis).chain, 0, bytes.fromhex(account))
    assert said["key"] == key.hex()
    assert verify(key, signed, bytes.fromhex(said["proof"]))
    assert main(words) == 4  # no genesis there
    assert main(["keys", "prove", "account", "ab", "--data-dir", data_dir, "--genesis", str(genesis)]) == 2
    capsys.readouterr()
