"""``soma encoder try``, with the loader stood in for: what is read, printed and refused."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

from soma_core.api import EncoderInfo, Evaluation
from soma_core.cli import main
from soma_core.crypto import digest
from soma_core.fixed import quantise, vector_bytes

VECTOR = np.array([0.5, -0.5, 0.5, 0.5], np.float32)


class Loaded:
    info = EncoderInfo(dim=4, weights=b"\x01" * 32)
    has_loss = True

    def __init__(self, asked, name, config):
        self.asked = asked
        asked.append((name, config))

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.asked.append("closed")

    def encode(self, items):
        self.asked.append(items)
        if items == [b"bad"]:
            raise ValueError("item 0: it is bad")
        return VECTOR[None]

    def quantise(self, items):
        return quantise(VECTOR)[None]

    def evaluate(self, items):
        return Evaluation(VECTOR[None], np.array([2.5]))


@pytest.fixture
def asked(monkeypatch):
    seen = []
    loading = ModuleType("soma_core.loading")
    loading.load = lambda name, **config: Loaded(seen, name, config)
    monkeypatch.setitem(sys.modules, "soma_core.loading", loading)
    return seen


def test_one_file_gives_one_answer(asked, tmp_path, capsys):
    file = tmp_path / "note.txt"
    file.write_bytes(b"two cats")
    assert main(["encoder", "try", str(file), "--plugin", "encoder-x", "--weights", "text", "--json"]) == 0
    assert asked == [("encoder-x", {"weights": "text"}), [b"two cats"], "closed"]
    assert json.loads(capsys.readouterr().out) == {
        "path": str(file),
        "plugin": "encoder-x",
        "bytes": 8,
        "bits_per_byte": 2.5,
        "dim": 4,
        "vector_digest": digest("soma/vector", vector_bytes(quantise(VECTOR))).hex(),
        "weights": "01" * 32,
        "vector": [0.5, -0.5, 0.5, 0.5],
    }


def test_people_read_loss_and_first_components(asked, tmp_path, capsys):
    file = tmp_path / "note.txt"
    file.write_bytes(b"two cats")
    assert main(["encoder", "try", str(file)]) == 0
    assert asked[0] == ("encoder-jax", {})
    said = capsys.readouterr().out
    assert "8 bytes · encoder-jax · weights 010101010101" in said
    assert "2.5000 bits/byte" in said
    assert "+0.5000  -0.5000  +0.5000  +0.5000" in said


def test_an_encoder_without_a_loss_is_tried_all_the_same(asked, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Loaded, "has_loss", False)
    file = tmp_path / "note.txt"
    file.write_bytes(b"two cats")
    assert main(["encoder", "try", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bits_per_byte"] is None


def test_what_cannot_be_read_is_refused_before_an_encoder_is_opened(asked, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.touch()
    for path, why in (
        (empty, "empty; give a file"),
        (tmp_path / "none", "cannot be read: No such"),
        (tmp_path, "cannot"),
    ):
        assert main(["encoder", "try", str(path)]) == 2
        assert why in capsys.readouterr().err
    assert asked == []


def test_what_the_encoder_refuses_is_said_of_the_file(asked, tmp_path, capsys):
    file = tmp_path / "bad"
    file.write_bytes(b"bad")
    assert main(["encoder", "try", str(file)]) == 1
    assert "item 0: it is bad" in capsys.readouterr().err
    assert asked[-1] == "closed"
