"""What a person or a file says is understood exactly, or refused; and it is shown, not obeyed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soma_core.cli._address import parse_address
from soma_core.cli._errors import line_of
from soma_core.cli._money import shannons
from soma_core.crypto import digest
from soma_core.errors import ConfigError, DecodeError, UsageError
from soma_core.genesis import SUPPLY_MOST
from soma_core.model import _references
from soma_core.model._items import Item, read_pack, write_pack
from soma_core.node import signer
from soma_core.records import structure


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("12.5", 12_500_000_000),
        (".000000001", 1),
        ("1,000.", None),
        ("1,000", 10**12),
        ("1_000.1", 1_000_100_000_000),
        ("4611686018.427387903", SUPPLY_MOST - 1),
        ("4611686018.427387904", None),
        ("0", None),
        ("", None),
        (".", None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("1e999999", None),
        ("nan", None),
        ("Infinity", None),
        ("\u0661", None),
        ("0.0000000001", None),
        ("1.0000000000000000000000000000001", None),
        ("9" * 10_000, None),
    ],
)
def test_amounts(text: str, amount: int | None) -> None:
    if amount is not None:
        assert shannons(text) == amount
        return
    with pytest.raises(UsageError, match="nine decimals") as refused:
        shannons(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "text", ["", "5a" * 31, "5a" * 33, "5a " * 32, " " + "5a" * 32, "5a" * 32 + "\n", "0x" + "5a" * 31]
)
def test_addresses(text: str) -> None:
    assert parse_address("5A" * 32) == b"\x5a" * 32
    with pytest.raises(UsageError, match="64 hex digits"):
        parse_address(text)


def test_an_error_is_shown_and_not_obeyed() -> None:
    assert line_of(DecodeError("\x1b[2J\rgone", "a\x07")) == "soma: ?[2J?gone; a?"
    assert line_of(ConfigError(["a: \x1b", "b"])) == "a: ?\nb"


def test_the_name_of_no_field_is_shown_shortly() -> None:
    for name, shown in (("extra", "extra"), ("\x1b[2J", r"'\\x1b\[2J'"), ("x y" * 500, "'x yx y")):
        with pytest.raises(DecodeError, match=shown) as refused:
            structure(signer.Link, {"epoch": 0, "round": 1, name: 0})
        assert len(str(refused.value)) < 200


def test_the_name_of_an_item_is_shown_shortly() -> None:
    whole = write_pack([Item("k", "\x1b" * 500, b"data")])
    with pytest.raises(DecodeError, match="is not what its digest says") as refused:
        read_pack(whole[:-1] + b"b")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("size", [0, 1, 15, 17, 18])
def test_references_that_are_no_vectors(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anchors, references = tmp_path / "anchors", tmp_path / "references"
    anchors.write_bytes(write_pack([Item("k", "n", b"x")] * 4))
    references.write_bytes(bytes(size))
    bundle: Any = SimpleNamespace(anchors=lambda: anchors, references=lambda: references)
    monkeypatch.setattr(_references, "_bundle", lambda: bundle)
    with pytest.raises(DecodeError, match=f"{size} bytes are no vectors for 4 anchors"):
        _references.network_frame()
    references.write_bytes(bytes(16))
    named, vectors = _references.network_frame()
    assert named == digest("soma/anchor", anchors.read_bytes())
    assert vectors.shape == (4, 2)


@pytest.mark.parametrize("value", [[True, "sign", {}], [-1, "sign", {}], [0, "none", {}], [0, [], {}], {}, None])
def test_what_is_no_request_of_the_signer(value: Any) -> None:
    with pytest.raises(DecodeError, match="is no request"):
        signer._request(value)
