"""``soma encoder eval`` on real weights with the real engines."""

import json

import numpy as np
import pytest
from model.models import ruled_tensors
from vectors import load

from soma_core.cli import main
from soma_core.model import ModelConfig, load_weights, write_tensors

CASES = load("policies.json")
MODEL = load("model.json")["models"][0]["config"]


def evaluated(capsys, *arguments):
    status = main(["encoder", "eval", "--json", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out)


@pytest.fixture
def files(tmp_path):
    """Weights in the live network's layout, a config by its names, and data."""
    case = next(case for case in CASES["cases"] if case["model"] == 0 and case["policy"] == "v1-chain")
    weights, config, data = tmp_path / "model.safetensors", tmp_path / "config.json", tmp_path / "data"
    weights.write_bytes(write_tensors(ruled_tensors(ModelConfig(**MODEL))))
    config.write_text(json.dumps(MODEL | {f"sig_{name}": value for name, value in CASES["regulariser"].items()}))
    data.write_bytes(bytes.fromhex(case["data"]))
    return case, weights, config, data


@pytest.mark.parametrize("engine", ["numpy", "jax"])
def test_the_live_networks_weights_give_the_live_networks_numbers(capsys, files, engine):
    case, weights, config, data = files
    options = ("--policy", case["policy"], "--batch", case["batch"], "--seed", case["seed"], "--engine", engine)
    answer = evaluated(capsys, "--weights", weights, "--config", config, "--data", data, *options)
    assert answer["loss"] == pytest.approx(case["ce"] + case["reg"], abs=2e-6)
    assert np.abs(np.subtract(answer["embedding"], case["embedding"])).max() <= 1e-6
    assert (answer["batches"], answer["numeric_class"]) == (case["batches"], "f32")
    assert not weights.with_suffix(".json").exists(), "nothing is written beside the weights"


def test_bundled_weights_under_our_policy(capsys, files):
    *_, data = files
    data.write_bytes(b"two cats sat on a mat\n" * 30)
    answer = evaluated(capsys, "--weights", "text", "--data", data, "--dtype", "f64")
    assert answer.keys() == {"loss", "ce", "reg", "embedding", "batches", "numeric_class"}
    assert answer["numeric_class"] == "f64"
    assert len(answer["embedding"]) == load_weights("text").config.dim
    assert 0 < answer["loss"] < 8
    assert main(["encoder", "eval", "--weights", "text", "--data", str(data)]) == 0
    assert "bits/byte" in capsys.readouterr().out


def test_what_cannot_be_evaluated_is_said(capsys, files):
    _, weights, config, data = files

    def refused(*arguments):
        assert main(["encoder", "eval", *map(str, arguments)]) != 0
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.strip().splitlines()) <= 2
        return err

    data.write_bytes(b"")
    assert "empty" in refused("--weights", weights, "--config", config, "--data", data)
    data.write_bytes(b"x")
    assert "no such file" in refused("--weights", weights.with_name("other"), "--config", config, "--data", data)
    assert "encoder-nothing" in refused("--weights", "text", "--engine", "nothing", "--data", data)
    assert "'bf16' is not one of" in refused("--weights", "text", "--dtype", "bf16", "--data", data)
    config.write_text('{"dim": 9}')
    assert "heads" in refused("--weights", weights, "--config", config, "--data", data)
    config.write_text(json.dumps(MODEL | {"dim": 16}))
    assert "has shape" in refused("--weights", weights, "--config", config, "--data", data)
    weights.write_bytes(weights.read_bytes()[:100])
    assert "header" in refused("--weights", weights, "--config", config, "--data", data)
