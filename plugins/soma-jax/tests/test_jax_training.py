import hashlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

from soma_core.cli import main
from soma_core.errors import UsageError
from soma_core.model import ModelConfig, ReferenceTransformer, load_weights
from soma_jax._training import HELD_OUT_SHARE, Plan, adamw, fresh, read_corpus, train, train_file

SMALL = ModelConfig(dim=16, ffn=16, layers=1, heads=2, seq=16, rope_base=10000, rope_scale=1)


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    for number in range(60):
        (data / "deep" / f"{number:02}.txt").write_text(f"{number} green bottles hanging on the wall. " * 4)
    return data


def is_held_out(data):
    return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "big") % HELD_OUT_SHARE == 0


def test_one_file_of_twenty_is_held_out_by_its_digest(folder):
    corpus = read_corpus([folder])
    assert len(corpus.held_out) + len(corpus.sources[0]) == 60
    assert corpus.held_out
    assert all(map(is_held_out, corpus.held_out))
    assert not any(map(is_held_out, corpus.sources[0]))


def test_of_a_single_file_the_end_is_held_out(tmp_path):
    path = tmp_path / "one.txt"
    path.write_bytes(bytes(range(200)))
    corpus = read_corpus([path])
    assert corpus.sources == ((bytes(range(190)),),)
    assert corpus.held_out == (bytes(range(190, 200)),)


def test_each_path_is_a_source_and_bad_ones_are_named(folder, tmp_path):
    assert len(read_corpus([folder, folder]).sources) == 2
    with pytest.raises(UsageError, match="nowhere: no such file"):
        read_corpus([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: nothing to train on"):
        read_corpus([tmp_path / "empty"])


def test_the_first_step_of_adamw_moves_by_the_rate_and_decays_matrices_only():
    plan = Plan(steps=100, rate=0.1, decay=0.5, warmup=1)
    start = {"matrix": jnp.full((2, 2), 2.0), "vector": jnp.full(2, 2.0)}
    slope = {name: jnp.full_like(p, 3.0) for name, p in start.items()}
    zero = {name: jnp.zeros_like(p) for name, p in start.items()}
    moved, first, second = adamw(plan, start, slope, zero, zero, jnp.float32(0), jnp.float32(1))
    assert np.allclose(moved["vector"], 2 - 0.1, atol=1e-6)
    assert np.allclose(moved["matrix"], 2 - 0.1 * (1 + 0.5 * 2), atol=1e-6)
    assert np.allclose(first["vector"], 0.3)
    assert np.allclose(second["vector"], 0.02 * 9)
    still, _, _ = adamw(plan, start, slope, zero, zero, jnp.float32(99.9999), jnp.float32(0))
    assert np.allclose(still["vector"], 2.0)


def test_training_learns_and_says_what_held_out_data_cost(folder):
    corpus, heard = read_corpus([folder]), []
    tensors = train(fresh(SMALL, 1), SMALL, corpus, Plan(steps=120, batch=8, warmup=10), heard.append)
    assert [p.step for p in heard] == [50, 100, 120]
    assert heard[-1].held_out < 4.5
    held = corpus.held_out
    model = ReferenceTransformer(SMALL, tensors)
    readings = [model.read(item) for item in held]
    truth = sum(r.bits for r in readings) / sum(r.bytes for r in readings)
    assert heard[-1].held_out == pytest.approx(truth, abs=1e-4)


def test_the_same_seed_gives_the_same_weights_and_time_ends_it(folder, tmp_path):
    plan = Plan(steps=20, batch=2, seed=5)
    one, two = (
        train_file([folder], tmp_path / f"{name}.safetensors", start=SMALL, plan=plan, report=lambda _p: None)
        for name in "ab"
    )
    assert one == two == load_weights(tmp_path / "a.safetensors").digest
    heard = []
    train(fresh(SMALL, 1), SMALL, read_corpus([folder]), Plan(steps=10**6, minutes=1e-9), heard.append)
    assert [p.step for p in heard] == [1]


def test_the_command_trains_goes_on_and_refuses(folder, tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    shape = ["--dim=16", "--ffn=16", "--layers=1", "--heads=2", "--seq=16"]
    begin = ["train", f"--data={folder}", f"--out={out}", "--steps=2", "--batch=2"]
    assert main([*begin, *shape, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["digest"] == load_weights(out).digest.hex()
    assert said["steps"] == 2
    assert main(begin) == 2
    assert "exists; choose another --out" in capsys.readouterr().err
    assert main([*begin, "--overwrite", f"--init={out}", "--dim=8"]) == 2
    assert "--dim beside --init" in capsys.readouterr().err
    assert main([*begin, "--overwrite", f"--init={out}"]) == 0
    said = capsys.readouterr()
    assert "held out" in said.err
    assert load_weights(out).digest.hex()[:12] in said.out
    assert load_weights(out).config.dim == 16


def test_without_the_trainer_the_command_says_what_to_install(folder, tmp_path, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soma_jax", None)
    assert main(["train", f"--data={folder}", f"--out={tmp_path}/x.safetensors"]) == 3
    assert "the trainer is not installed; python3 -m pip install soma-jax" in capsys.readouterr().err
