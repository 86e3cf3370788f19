"""What an encoder is good at, kept beside its weights (rule Y9)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import frozen

import soma_encoders
from soma_core import chain, fixed
from soma_core.api import EncoderInfo, EncoderSpec
from soma_core.cli import main
from soma_core.cli._aligning import align, engine_for, engine_installed
from soma_core.crypto import digest
from soma_core.errors import DecodeError, UsageError
from soma_core.model import (
    ModelConfig,
    Speciality,
    bundled_anchors,
    load_model,
    load_weights,
    read_frame,
    write_tensors,
)
from soma_core.records import pack
from soma_symbols.learning import BUNDLED

SMALL = ModelConfig(dim=16, ffn=16, layers=1, heads=2, seq=32, rope_base=10_000, rope_scale=1)


def small_weights(folder: Path, seed: int = 3) -> Path:
    random = np.random.default_rng(seed)
    tensors = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in SMALL.shapes().items()}
    path = folder / "small.safetensors"
    path.write_bytes(write_tensors(tensors))
    path.with_suffix(".json").write_text(SMALL.to_json())
    return path


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Every twelfth anchor, so that a test does not wait for all of them."""
    from soma_core import model

    anchors, references = model.network_frame()
    items = bundled_anchors()[::12]
    monkeypatch.setattr(model, "bundled_anchors", lambda: items)
    monkeypatch.setattr(model, "network_frame", lambda: (anchors, references[::12]))
    return len(items)


@pytest.mark.parametrize("name", soma_encoders.names())
def test_each_bundled_encoder_says_what_it_is_best_at(name: str) -> None:
    digest = load_weights(name).digest
    found = Speciality.beside(name, digest)
    assert found is not None
    best = np.unpackbits(np.frombuffer(found.best, np.uint8))
    anchors = bundled_anchors()
    assert best.sum() == len(anchors) // 4
    position = fixed.vector_from_bytes(found.position, 128)
    assert fixed.is_vector(position, 128)
    if name != "generalist":
        kinds = [item.kind for item, is_best in zip(anchors, best[: len(anchors)], strict=True) if is_best]
        assert kinds.count(name) == max(map(kinds.count, set(kinds))), "a specialist is best at its own kind"


def test_alignment_is_that_of_the_anchors_and_is_not_made_twice_unasked(
    tmp_path: Path, few: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_weights(tmp_path)
    assert main(["encoder", "align", str(path), "--plugin", "encoder-numpy", "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    digest = load_weights(path).digest
    frame = read_frame(path.with_suffix(".frame").read_bytes(), digest)
    assert (said["weights"], said["frame"]) == (digest.hex(), frame.digest().hex())
    assert (frame.raw_dim, frame.dim) == (16, 128)
    found = Speciality.beside(path, digest)
    assert found is not None
    assert len(found.best) == -(-few // 8)
    assert int.from_bytes(found.best, "big").bit_count() == few // 4
    before = path.with_suffix(".frame").read_bytes()
    assert main(["encoder", "align", str(path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    path.with_suffix(".frame").write_bytes(b"of other weights")
    assert main(["encoder", "align", str(path), "--plugin", "encoder-numpy", "--overwrite"]) == 0
    assert path.with_suffix(".frame").read_bytes() == before
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".frame", ".json", ".safetensors", ".speciality"]


def test_an_alignment_that_fails_leaves_the_old_map(tmp_path: Path, few: int) -> None:
    path = small_weights(tmp_path)
    path.with_suffix(".frame").write_bytes(b"old")
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(DecodeError):
        align(path, "encoder-numpy", lambda _done, _of: None)
    assert path.with_suffix(".frame").read_bytes() == b"old"
    assert not path.with_suffix(".speciality").exists()


def test_what_belongs_to_other_weights_is_refused(tmp_path: Path) -> None:
    path = small_weights(tmp_path)
    digest = load_weights(path).digest
    assert Speciality.beside(path, digest) is None
    Speciality(weights=bytes(32), best=b"\xf0\x00", position=b"").write(path)
    with pytest.raises(DecodeError, match="other weights"):
        Speciality.beside(path, digest)
    path.with_suffix(".speciality").write_bytes(pack({"weights": digest}))
    with pytest.raises(DecodeError):
        Speciality.beside(path, digest)
    path.with_suffix(".speciality").unlink()
    path.with_suffix(".speciality").mkdir()
    with pytest.raises(Exception, match="align the encoder again"):
        Speciality.beside(path, digest)


def test_the_faster_engine_is_taken_and_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from soma_core import plugins

    assert engine_installed() in ("encoder-jax", "encoder-numpy")
    monkeypatch.setattr(plugins, "scan", tuple)
    with pytest.raises(UsageError, match="no engine"):
        engine_installed()


def test_weights_are_aligned_by_an_engine_of_their_architecture(
    tmp_path: Path, few: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "words.safetensors"
    for suffix in (".safetensors", ".json"):
        path.with_suffix(suffix).write_bytes(Path(BUNDLED).with_suffix(suffix).read_bytes())
    assert engine_for(path) == engine_installed("symbols-1") == "encoder-symbols"
    assert main(["encoder", "align", str(path), "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert said["weights"] == load_model(path).digest.hex()
    refereed = align(path, "encoder-numpy", lambda _done, _of: None)
    assert refereed.frame.digest().hex() == said["frame"], "the referee's vectors are those of the encoder, to the bit"
    assert refereed.anchors == few
    assert main(["encoder", "eval", "--weights", str(path), "--data", str(path.with_suffix(".json"))]) != 0
    assert "their architecture is symbols-1, not byte-transformer-1" in capsys.readouterr().err


def test_the_template_is_written_once_and_names_the_plugin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["encoder", "new", "my-own", "--into", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["plugin"] == "encoder-my-own"
    assert all(Path(file).is_file() for file in said["files"])
    assert (folder / "src" / "soma_encoder_my_own" / "__init__.py").is_file()
    assert 'encoder-my-own = "soma_encoder_my_own"' in (folder / "pyproject.toml").read_text()
    assert "$" not in "".join(Path(file).read_text() for file in said["files"])
    assert main(["encoder", "new", "my-own", "--into", str(folder)]) == 2
    assert "there already" in capsys.readouterr().err
    for wrong in ("My", "a_b", "a--b", ""):
        assert main(["encoder", "new", wrong, "--into", str(tmp_path / "wrong")]) == 2
        assert "no name of a plugin" in capsys.readouterr().err
    assert not (tmp_path / "wrong").exists()


def test_the_best_anchors_are_the_quarter_of_lowest_loss() -> None:
    assert chain.best_anchors([5, 1, 3, 1, 9, 9, 9, 9]) == bytes([0b01010000])


def test_the_setting_that_names_the_file_is_the_plugins_own(
    tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign model may be a .safetensors file, too: its plugin has `file` where ours have `weights`."""

    @frozen(kw_only=True)
    class Config:
        file: Path

    class Encoder:
        info = EncoderInfo(dim=16, weights=bytes(32))

        def __init__(self, config: Config, _context: object) -> None:
            assert config.file == path

        def encode(self, batch: list[bytes]) -> Any:
            return np.stack([np.frombuffer(digest("soma/anchor", item)[:16], np.uint8) for item in batch]).astype("f4")

    spec = EncoderSpec(api=1, config=Config, open=Encoder)
    monkeypatch.setattr("soma_core.plugins.Plugins.spec", lambda *_: spec)
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(b"somebody's")
    found = align(path, "encoder-numpy", lambda *_: None)
    assert (found.speciality, found.anchors, found.frame.raw_dim) == (None, few, 16)
    assert path.with_suffix(".frame").exists()
    assert not path.with_suffix(".speciality").exists()
