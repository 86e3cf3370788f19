"""Decoders of files: keys, signed slots, an engine's records, weights, frame maps, packs, settings."""

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from attrs import frozen
from decoder import Decoder, NotCanonicalError, same

from soma_consensus_solo import Config, _record, open_engine
from soma_core import codec, keystore
from soma_core.api import NoParams, option
from soma_core.cli._address import parse_address
from soma_core.cli._money import shannons, soma
from soma_core.cli._toml import toml
from soma_core.config import Options, gather, plain
from soma_core.crypto import SecretKey
from soma_core.errors import ConfigError, CorruptionError, DecodeError, KeyStoreError, UsageError
from soma_core.genesis import SHANNONS
from soma_core.model import (
    ModelConfig,
    ModelFiles,
    ReferenceSymbols,
    Shape,
    SymbolsConfig,
    _frame,
    _items,
    _safetensors,
    read_config,
)
from soma_core.model._weights import weights_digest
from soma_core.node._slots import _FORMAT, SignedSlot, SignedSlots, _checksum
from soma_core.records import pack, unpack
from soma_core.testing.committee import setup_of


@cache
def _directory() -> Path:
    home = Path(tempfile.mkdtemp(prefix="soma-fuzz-"))
    keystore.keys_directory(home).mkdir(mode=0o700)
    return home


# Keys -----------------------------------------------------------------------------------------------------------------


def _key_file(data: bytes) -> tuple[keystore.KeyEntry, SecretKey]:
    """The key in a file; stretching takes no time here, whatever the file asks for."""
    store = keystore.KeyStore(_directory())
    path = store.path("account")
    path.write_bytes(data)
    path.chmod(0o600)
    with quick_scrypt():
        return store.list()[0], store.open("account")


@contextmanager
def quick_scrypt() -> Iterator[None]:
    def stretched(passphrase: bytes, *, salt: bytes, n: int, r: int, p: int, maxmem: int, dklen: int) -> bytes:
        assert 128 * n * r <= keystore.SCRYPT_MEMORY_MAX
        assert n & (n - 1) == 0
        return hashlib.blake2b(passphrase + salt, digest_size=dklen).digest()

    with patch.object(keystore, "scrypt", stretched), patch.dict(os.environ, SOMA_PASSPHRASE="fuzz"):
        yield


def _key_again(found: tuple[keystore.KeyEntry, SecretKey], _data: bytes) -> None:
    same(found[1].public, found[0].key)


@cache
def _key_files() -> list[bytes]:
    home = Path(tempfile.mkdtemp(prefix="soma-fuzz-"))
    with quick_scrypt():
        return [keystore.KeyStore(home).create("account").path.read_bytes()]


def _slots(data: bytes) -> dict[Any, SignedSlot]:
    """Rows of any values, in a table that forbids none."""
    rows = codec.decode(data)
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise DecodeError("no rows")
    path = _directory() / "signed.sqlite"
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)
    _fill(path, rows)
    held = SignedSlots(path)
    try:
        return held._slots
    finally:
        held.close()


def _fill(path: Path, rows: Sequence[list[Any]]) -> None:
    columns = ["key", "domain", "chain", "epoch", "slot", "digest", "signature", "checksum"]
    columns += [f"more{n}" for n in range(len(columns), max((len(row) for row in rows), default=0))]
    file = sqlite3.connect(path, isolation_level=None)
    try:
        file.execute("PRAGMA synchronous = OFF")
        file.execute(f"PRAGMA user_version = {_FORMAT}")
        file.execute(f"CREATE TABLE signed ({', '.join(columns)})")
        for row in rows:
            names = columns[: len(row)] or columns[:1]
            file.execute(
                f"INSERT INTO signed ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", row or [None]
            )
    except (sqlite3.Error, OverflowError) as error:
        raise DecodeError(f"not rows of SQLite: {error}") from error
    finally:
        file.close()


def _slots_again(slots: dict[Any, SignedSlot], data: bytes) -> None:
    for row in codec.decode(data):  # type: ignore[union-attr]
        slot = SignedSlot(*row[:7])  # type: ignore[index]
        assert _checksum(slot) == row[7]  # type: ignore[index]
        assert slots[slot.series]


def _slot_rows() -> list[bytes]:
    slots = [SignedSlot(bytes(32), "soma/block", bytes(32), 1, number, bytes(32), bytes(64)) for number in (2, 3)]
    rows = [[*slot.series, slot.epoch, slot.slot, slot.digest, slot.signature, _checksum(slot)] for slot in slots]
    return [codec.encode([row]) for row in rows]


# consensus-solo -------------------------------------------------------------------------------------------------------


def _solo_record(data: bytes) -> bytes:
    commit = _record.unpack(data[:9], data[9:])
    assert {type(number) for number in (commit.index, commit.time, commit.round, commit.leader)} == {int}
    return data[:9] + _record.pack(commit)


def _solo_records() -> list[bytes]:
    commit = _record.make(7, 1_000_000, 3, 0, (b"a", b""), b"system")
    return [_record.key_of(7) + _record.pack(commit)]


def _snapshot(data: bytes) -> bytes:
    engine = open_engine(Config(), NoParams(), setup_of(1, 0, 1))
    engine.restore(data)
    return engine.snapshot()


def _snapshots() -> list[bytes]:
    return [open_engine(Config(), NoParams(), setup_of(1, 0, 1)).snapshot()]


# Models ---------------------------------------------------------------------------------------------------------------


def _tensors_again(tensors: dict[str, Any], data: bytes) -> None:
    """One file may hold metadata and spaces, so the law is that of the tensors: they come back to the bit."""
    again = _safetensors.read_tensors(_safetensors.write_tensors(tensors))
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        same(again[name].tobytes(), tensor.tobytes())
        assert again[name].shape == tensor.shape
    assert sum(tensor.nbytes for tensor in tensors.values()) < len(data)


def _weights() -> list[bytes]:
    tensors = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(1, np.float32)}
    header = b'{"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}  '
    return [_safetensors.write_tensors(tensors), len(header).to_bytes(8, "little") + header + bytes(4)]


def _maps() -> list[bytes]:
    random = np.random.default_rng(5)
    return [
        _frame.store(bytes(32), random.normal(size=raw), random.normal(size=(raw, dim))).encoded()
        for raw, dim in ((1, 1), (3, 8))
    ]


def _items_again(items: tuple[_items.Item, ...], data: bytes) -> None:
    same(_items.write_pack(items), data)


def _packs() -> list[bytes]:
    return [_items.write_pack([_items.Item("text", "a.txt", b"one"), _items.Item("code", "é", b"two")])]


def _model_again(config: Shape, data: bytes) -> None:
    assert read_config(config.to_json()) == config
    written = json.loads(data.decode("utf-8"), object_pairs_hook=sorted)
    if written != json.loads(config.to_json(), object_pairs_hook=sorted):
        raise NotCanonicalError(data.hex()[:200])
    config.encoded()
    assert config.dtypes.keys() <= config.shapes().keys()


def _models() -> list[bytes]:
    config = ModelConfig(dim=8, ffn=16, layers=1, heads=2, seq=64, rope_base=10_000, rope_scale=1)
    return [config.to_json().encode(), _SYMBOLS.to_json().encode()]


_SYMBOLS = SymbolsConfig(strategy="hybrid", dim=8, tokens=16, grams=16, slots=256, seq=64)


def _symbol_weights(data: bytes) -> dict[str, Any]:
    return _safetensors.read_tensors(data, _SYMBOLS.dtypes)


def _symbol_weights_again(tensors: dict[str, Any], data: bytes) -> None:
    """As with float32; and whatever numbers there are, an encoder of this shape gives a vector of length 1."""
    dtypes = {name: dtype for name, dtype in _SYMBOLS.dtypes.items() if name in tensors}
    again = _safetensors.read_tensors(_safetensors.write_tensors(tensors, dtypes), dtypes)
    for name, tensor in tensors.items():
        same(again[name].tobytes(), tensor.tobytes())
    if {name: tensor.shape for name, tensor in tensors.items()} == _SYMBOLS.shapes():
        reading = ReferenceSymbols(_SYMBOLS, tensors).read(data)
        assert abs(float(np.linalg.norm(reading.vector)) - 1) < 1e-5
        assert 0 <= reading.bits_per_byte <= 16


def _symbol_models() -> list[bytes]:
    random = np.random.default_rng(7)
    code = {"I8": np.int8, "U8": np.uint8, "U16": np.uint16}
    drawn = {
        name: random.integers(-100 if dtype == "I8" else 0, 100, _SYMBOLS.shapes()[name]).astype(code[dtype])
        for name, dtype in _SYMBOLS.dtypes.items()
    }
    return [_safetensors.write_tensors(drawn, _SYMBOLS.dtypes)]


def _model_files(data: bytes) -> ModelFiles:
    """As an auditor takes them, whatever digests their encoder has registered."""
    files = unpack(ModelFiles, data)
    weights = weights_digest(read_config(files.config), files.weights)
    files.check(weights, _frame.read_frame(files.frame).digest())
    return files


@cache
def _whole_models() -> list[bytes]:
    config, random = _models()[0].decode(), np.random.default_rng(6)
    weights = _weights()[0]
    digest = weights_digest(read_config(config), weights)
    frame = _frame.store(digest, random.normal(size=2), random.normal(size=(2, 3)))
    return [pack(ModelFiles(config=config, weights=weights, frame=frame.encoded()))]


# Settings -------------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class _Sample:
    """Every kind of setting."""

    size: int = option(5, "a number", min=1, max=64)
    rate: float = option(0.5, "a part")
    on: bool = option(default=False, help="a switch")
    name: str = option("x", "a word")
    names: tuple[str, ...] = option((), "words")
    pair: tuple[int, str] = option((1, "a"), "two")
    file: Path | None = option(None, "a file")
    secret: str = option("", "never shown", secret=True)


def _rows(options: Options) -> Any:
    spec: Any = SimpleNamespace(config=_Sample)
    return gather(options).resolve({"encoder-sample": spec}, ()).rows


def _settings(data: bytes) -> Any:
    path = _directory() / "soma.toml"
    path.write_bytes(data)
    return _rows(Options(config=path, environ={}))


def _given(data: bytes) -> Any:
    """Lines: the first byte says whether the rest is a variable or an assignment."""
    lines = data.decode("utf-8", "replace").split("\n")
    pairs = [line[1:].partition("=") for line in lines if line[:1] == "e"]
    environ = {f"SOMA_{name}": value for name, mark, value in pairs if mark and name != "CONFIG"}
    assignments = tuple(line[1:] for line in lines if line[:1] == "s")
    return _rows(Options(config=_empty(), environ=environ, assignments=assignments))


def _empty() -> Path:
    path = _directory() / "empty.toml"
    path.touch()
    return path


def _are_shown(rows: Any, _data: bytes) -> None:
    assert {row.section for row in rows} == {"node", "encoder.sample"}
    for row in rows:
        toml(plain(row.value)).encode("utf-8")


def _setting_files() -> list[bytes]:
    return [
        b'plugins = ["encoder-sample"]\n[node]\nopen_timeout = 60\npeers = ["a", "b"]\n[encoder.sample]\nsize = 0x10\n',
        b'[encoder.sample]\nrate = 1e-3\non = true\nname = """x"""\npair = [2, "b"]\nfile = "~/x"\nsecret = \'s\'\n',
        b"node.log_level = 'debug'\n[encoder]\nsample = {size = 1, names = []}\n",
    ]


def _given_lines() -> list[bytes]:
    return [
        b"eENCODER_SAMPLE__SIZE=6\neNODE__PEERS=['a']\nsencoder.sample.name=word\nsnode.log_level=info",
        b"sencoder.sample.pair=[1,'x']\neDATA_DIR=/tmp/x\neENCODER_SAMPLE__RATE=.5e3\nsencoder.sample.rate=2",
    ]


def _written(data: bytes) -> tuple[str, str]:
    """What a person writes on a command line: an address, or an amount."""
    text = data[1:].decode("utf-8", "replace")
    if data[:1] == b"a":
        return parse_address(text).hex(), text.lower()
    amount = shannons(text)
    assert amount == Fraction(text.replace(",", "").replace("_", "")) * SHANNONS
    return soma(shannons(soma(amount))), soma(amount)


def _written_again(pair: tuple[str, str], _data: bytes) -> None:
    same(*(text.encode() for text in pair))


def _words() -> list[bytes]:
    return [b"a" + bytes(range(32)).hex().encode(), b"a" + b"AB" * 32, b"m12.5", b"m1,000.000000001", b"m.5", b"m4_000"]


DECODERS = (
    Decoder("key-file", _key_file, (KeyStoreError,), _key_again, _key_files, 1100),
    Decoder("signed-slots", _slots, (DecodeError, KeyStoreError), _slots_again, _slot_rows),
    Decoder("solo-record", _solo_record, (CorruptionError,), same, _solo_records),
    Decoder("solo-snapshot", _snapshot, (DecodeError,), same, _snapshots),
    Decoder("weights", _safetensors.read_tensors, (DecodeError,), _tensors_again, _weights),
    Decoder("frame-map", _frame.read_frame, (DecodeError,), lambda found, data: same(found.encoded(), data), _maps),
    Decoder("pack", _items.read_pack, (DecodeError,), _items_again, _packs),
    Decoder("symbol-weights", _symbol_weights, (DecodeError,), _symbol_weights_again, _symbol_models),
    Decoder("model-config", read_config, (DecodeError,), _model_again, _models),
    Decoder("model-files", _model_files, (DecodeError,), lambda files, data: same(pack(files), data), _whole_models),
    Decoder("settings", _settings, (ConfigError,), _are_shown, _setting_files),
    Decoder("given", _given, (ConfigError,), _are_shown, _given_lines),
    Decoder("written", _written, (UsageError,), _written_again, _words, 200),
)
