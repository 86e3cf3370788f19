"""``soma encoder export``: files that say which version of a model they are."""

import json
from pathlib import Path

import pytest

import soma_core
from soma_core.cli import main
from soma_core.model import load_weights


@pytest.fixture
def soma(capsys):
    def run(*words):
        status = main(["encoder", "export", *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_weights_come_out_as_they_went_in_named_by_their_digest(soma, tmp_path):
    status, out, _ = soma("--weights", "text", "--out", tmp_path, "--json")
    told, bundled = json.loads(out), load_weights("text")
    assert status == 0
    assert told["weights"] == bundled.digest.hex()
    named = f"text-{bundled.digest.hex()[:12]}"
    assert told["files"] == [str(tmp_path / f"{named}{suffix}") for suffix in (".safetensors", ".json", ".frame")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{named}{s}" for s in (".safetensors", ".json", ".frame")
    )
    again = load_weights(tmp_path / f"{named}.safetensors")
    assert (again.digest, again.frame) == (bundled.digest, bundled.frame)
    with (
        soma_core.load("encoder-numpy", weights=told["files"][0]) as one,
        soma_core.load("encoder-numpy", weights="text") as other,
    ):
        assert (one.quantise([b"two cats"]) == other.quantise([b"two cats"])).all()


def test_what_is_there_is_left_as_it_is(soma, tmp_path):
    _, out, _ = soma("--weights", "code", "--out", tmp_path, "--json")
    config = Path(json.loads(out)["files"][1])
    assert soma("--weights", "code", "--out", tmp_path)[0] == 0
    config.write_text(config.read_text() + " ")
    status, _, err = soma("--weights", "code", "--out", tmp_path)
    assert status == 2
    assert "exists, and is another file; choose another --out" in err
    assert config.read_text().endswith(" ")


def test_a_graph_is_named_by_the_weights_it_was_made_of(soma, tmp_path):
    import onnx

    status, out, _ = soma("--weights", "text", "--out", tmp_path, "--form", "onnx", "--json")
    told = json.loads(out)
    assert status == 0
    assert told["weights"] == load_weights("text").digest.hex()
    assert told["files"][0] == str(tmp_path / f"text-{told['weights'][:12]}.onnx")
    onnx.checker.check_model(onnx.load(told["files"][0]))


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--weights", "text", "--out", "nowhere"), "nowhere: no such folder; make it"),
        (("--weights", "tex"), "did you mean text?"),
        (("--weights", "text", "--plugin", "encoder-numpy"), "it does not export its model; name another"),
    ],
)
def test_what_cannot_be_exported_is_said(soma, tmp_path, monkeypatch, words, what):
    monkeypatch.chdir(tmp_path)
    status, _, err = soma(*words)
    assert status != 0
    assert what in err
    assert not list(tmp_path.iterdir())
