"""The encoder: what it says it is, that it computes what the referee computes, and what it refuses."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from soma_core.api import EncoderContext
from soma_core.errors import DecodeError, SettingsError
from soma_core.model import STRATEGIES, ModelConfig, load_model, referee, write_tensors
from soma_symbols.learning import BUNDLED, Config, open_encoder, soma_encoder

ITEMS = [b"a", b"two cats on a mat\n" * 90, b"def read_file(path): return 1", bytes(range(256)) * 9, "naïve".encode()]


def opened(folder: Path, **config):
    return open_encoder(Config(**config), EncoderContext("encoder-symbols", folder, logging.getLogger("test")))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_computes_what_the_referee_computes_bit_for_bit(tmp_path: Path, strategy: str) -> None:
    weights = load_model(Path(BUNDLED))
    model = referee(evolve(weights.config, strategy=strategy), weights.tensors)
    found = opened(tmp_path, strategy=strategy).evaluate(ITEMS, b"seed")
    for place, item in enumerate(ITEMS):
        reading = model.read(item)
        assert np.array_equal(found.vectors[place], reading.vector)
        assert found.bits_per_byte[place] == reading.bits_per_byte


def test_it_says_what_it_is(tmp_path: Path) -> None:
    weights = load_model(Path(BUNDLED))
    info = opened(tmp_path).info
    assert (info.architecture, info.dim, info.numeric) == ("symbols-1", weights.config.dim, "f32")
    assert (info.weights, info.frame) == (weights.digest, weights.frame)
    assert info.frame, "the model that comes with it is aligned"
    assert soma_encoder().features == {"loss"}


def test_another_strategy_is_another_model_without_a_frame(tmp_path: Path) -> None:
    trained = opened(tmp_path).info
    other = opened(tmp_path, strategy="hash").info
    assert other.weights != trained.weights
    assert other.frame == b""
    same = opened(tmp_path, strategy=load_model(Path(BUNDLED)).config.strategy).info
    assert same == trained


def test_the_bundled_model_is_small_and_costs_less_than_bytes(tmp_path: Path) -> None:
    assert Path(BUNDLED).stat().st_size <= 1_500_000
    text = b"The encoder reads the whole file and returns a list of words, which is then compared with the other one.\n"
    code = b"def read(path: str) -> list[str]:\n    with open(path) as file:\n        return [line for line in file]\n"
    bits = opened(tmp_path).evaluate([text * 4, code * 4, np.random.default_rng(0).bytes(400)], b"").bits_per_byte
    assert bits[0] < 4
    assert bits[1] < 4
    assert bits[2] > 8


def test_words_that_mean_alike_are_near(tmp_path: Path) -> None:
    pairs = [("doctor", "physician"), ("file", "directory"), ("array", "matrix"), ("ship", "boat")]
    encoder = opened(tmp_path)
    ones, others = (encoder.encode([pair[side].encode() for pair in pairs]) for side in (0, 1))
    cosines = ones @ others.T
    assert (cosines.argmax(1) == np.arange(len(pairs))).all()
    assert cosines.diagonal().min() > 0.25


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    config = ModelConfig(dim=8, ffn=8, layers=1, heads=2, seq=8, rope_base=10, rope_scale=1)
    file = tmp_path / "other.safetensors"
    file.write_bytes(write_tensors({name: np.ones(shape, np.float32) for name, shape in config.shapes().items()}))
    file.with_suffix(".json").write_text(config.to_json(), "utf-8")
    with pytest.raises(SettingsError, match="their architecture is byte-transformer-1"):
        opened(tmp_path, weights=str(file))
    with pytest.raises(SettingsError, match="no such file"):
        opened(tmp_path, weights=str(tmp_path / "none.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DecodeError, match="weights file"):
        opened(tmp_path, weights=str(file))


def test_the_modules_import_nothing_heavy() -> None:
    code = (
        "import json, sys, soma_symbols.learning, soma_symbols.command;"
        "print(json.dumps(sorted({'numpy', 'trio', 'sqlite3'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []
