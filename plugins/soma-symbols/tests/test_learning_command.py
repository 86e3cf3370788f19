"""``soma symbols train | embed | info``: what they print, write and refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from soma_core.errors import UsageError
from soma_core.model import load_model, referee
from soma_symbols.command import soma_command
from soma_symbols.learning import BUNDLED

SMALL = ("--dim=16", "--tokens=64", "--grams=16", "--slots=256", "--least=1", "--window=2", "--seq=64")


def run(*arguments: str | Path, given: bytes | None = None) -> Result:
    command = soma_command().open()
    return CliRunner().invoke(command, [str(each) for each in arguments], input=given, catch_exceptions=True)


def refused(*arguments: str | Path) -> str:
    done = run(*arguments)
    assert isinstance(done.exception, UsageError), done.output
    assert "\n" not in str(done.exception)
    return str(done.exception)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("the ship sails to the harbour and the harbour waits\n" * 40)
    out = tmp_path / "mine.safetensors"
    done = run("train", "--data", tmp_path / "data", "--out", out, *SMALL, "--epochs=1", "--strategy=hybrid")
    assert done.exit_code == 0, done.output
    return out


def test_training_writes_weights_and_their_config_and_says_how_far_it_is(trained: Path) -> None:
    weights = load_model(trained)
    assert json.loads(weights.config.to_json())["strategy"] == "hybrid"
    assert sorted(path.name for path in trained.parent.iterdir()) == ["data", "mine.json", "mine.safetensors"]
    again = run("train", "--data", trained.parent / "data", "--out", trained, *SMALL, "--overwrite", "--json")
    assert again.exit_code == 0
    said = json.loads(again.stdout)
    assert said["digest"] == load_model(trained).digest.hex()
    assert said["tokens_read"] == 400
    assert said["tokens_known"] == 7
    assert said["counts_short_by"] == {"tokens": 0, "pairs": 0}
    assert "counting neighbours: 100 %" in again.stderr


def test_what_cannot_be_trained_is_refused_and_nothing_is_written(trained: Path) -> None:
    folder, before = trained.parent, trained.read_bytes()
    assert "exists" in refused("train", "--data", folder / "data", "--out", trained)
    assert "no such file" in refused("train", "--data", folder / "none", "--out", folder / "b.safetensors")
    assert "not a .safetensors" in refused("train", "--data", folder / "data", "--out", folder / "b.bin")
    bad = run("train", "--data", folder / "data", "--out", folder / "b.safetensors", "--dim=7")
    assert "dim is 7" in str(bad.exception)
    assert trained.read_bytes() == before
    assert not list(folder.glob("b.*"))


def test_vectors_are_those_of_the_model_in_every_form(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"the harbour")
    (tmp_path / "two").write_bytes(b"\x00\xff" * 200)
    weights = load_model(trained)
    model = referee(weights.config, weights.tensors)
    wanted = [model.read((tmp_path / name).read_bytes()) for name in ("one", "two")]
    chosen = ("embed", "--weights", trained, tmp_path / "one", tmp_path / "two")
    told = json.loads(run(*chosen, "--json").stdout)
    assert (told["dim"], told["weights"]) == (16, weights.digest.hex())
    assert [item["bits_per_byte"] for item in told["items"]] == [each.bits_per_byte for each in wanted]
    vectors = np.array([item["vector"] for item in told["items"]], np.float32)
    assert np.array_equal(vectors, np.stack([each.vector for each in wanted]))
    lines = [line.split("\t") for line in run(*chosen).stdout.splitlines()]
    assert [line[0] for line in lines] == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert np.allclose([[float(x) for x in line[2].split()] for line in lines], vectors, atol=1e-7)
    assert run(*chosen, "--out", tmp_path / "v.npy").exit_code == 0
    assert np.array_equal(np.load(tmp_path / "v.npy"), vectors)
    piped = run("embed", "--weights", trained, "-", "--json", given=b"the harbour")
    assert json.loads(piped.stdout)["items"][0]["vector"] == told["items"][0]["vector"]
    other = json.loads(run(*chosen, "--strategy=feature", "--json").stdout)
    assert other["items"][0]["vector"] != told["items"][0]["vector"]


def test_what_cannot_be_embedded_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert "empty" in refused("embed", tmp_path / "empty")
    assert "none: No such file" in refused("embed", tmp_path / "none")
    assert "not a .npy file" in refused("embed", tmp_path / "empty", "--out", tmp_path / "v.txt")
    assert not (tmp_path / "v.txt").exists()


def test_info_tells_what_weights_are(trained: Path) -> None:
    told = json.loads(run("info", "--json").stdout)
    assert told["weights"] == load_model(Path(BUNDLED)).digest.hex()
    assert (told["architecture"], told["aligned"]) == ("symbols-1", True)
    assert told["tokens_known"] <= told["tokens"]
    mine = json.loads(run("info", trained, "--json").stdout)
    assert (mine["dim"], mine["aligned"], mine["tokens_known"]) == (16, False, 7)
    assert "architecture   symbols-1" in run("info", trained).stdout
