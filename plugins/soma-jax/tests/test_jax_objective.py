import jax
import jax.numpy as jnp
import numpy as np
import pytest

import soma_core
from soma_core.model import (
    BYTES,
    PAD,
    POLICIES,
    ModelConfig,
    ReferenceTransformer,
    Regulariser,
    Setting,
    directions,
    sample_statistic,
    slice_statistic,
    write_tensors,
)
from soma_jax import _objective
from soma_jax._forward import as_arrays
from soma_jax._objective import objective
from soma_jax._training import Plan, fresh, read_corpus, train

CONFIG = ModelConfig(dim=16, ffn=16, layers=1, heads=2, seq=16, rope_base=10000, rope_scale=1)
REGULARISER = Regulariser(slices=24)
ITEM = b"sixteen bytes!!!"


def ids_of(*items):
    out = np.full((len(items), CONFIG.seq), PAD, np.int32)
    for row, item in zip(out, items, strict=True):
        row[: len(item)] = np.frombuffer(item, np.uint8)
    return out


@pytest.mark.parametrize(("ours", "theirs"), [("v1", slice_statistic), ("lejepa", sample_statistic)])
def test_statistics_are_those_of_the_rules(ours, theirs):
    random = np.random.default_rng(1)
    reps = random.normal(size=(3, 16, 16)).astype(np.float32) * 1.3 + 0.4
    ids, noise = ids_of(ITEM, b"shorter", ITEM), directions(7, 16, 24)
    kept = reps.reshape(-1, 16) if ours == "v1" else reps[ids < BYTES]
    found = _objective.STATISTICS[ours](jnp.asarray(reps), jnp.asarray(ids), jnp.asarray(noise), REGULARISER)
    assert float(found) == pytest.approx(theirs(kept, noise, REGULARISER), rel=2e-5)


@pytest.mark.parametrize("name", ["none", "v1", "lejepa"])
def test_the_loss_of_training_is_that_of_the_network_and_a_statistic(name):
    tensors = fresh(CONFIG, 3)
    found = objective(CONFIG, name, REGULARISER)(as_arrays(tensors), ids_of(ITEM), directions(5, 16, 24))
    model = ReferenceTransformer(CONFIG, tensors, np.float64)
    score = POLICIES["soma"](model, CONFIG, ITEM, Setting(seed=5, regulariser=REGULARISER))
    assert float(found.ce) == pytest.approx(score.ce, abs=2e-6)
    assert float(found.total) == pytest.approx(float(found.ce) + 0.02 * float(found.reg), abs=1e-6)
    assert (float(found.reg) == 0) is (name == "none")
    if name == "lejepa":
        assert 0.02 * float(found.reg) == pytest.approx(score.reg, rel=1e-4)


def test_its_slope_is_the_gradient_of_the_encoder(tmp_path):
    tensors = fresh(CONFIG, 3)
    file = tmp_path / "w.safetensors"
    file.write_bytes(write_tensors(tensors))
    file.with_suffix(".json").write_text(CONFIG.to_json())
    with soma_core.load("encoder-jax", weights=str(file)) as loaded:
        told = loaded.gradient([ITEM])
    loss = objective(CONFIG, "none", REGULARISER)
    slopes = jax.grad(lambda p: loss(p, jnp.asarray(ids_of(ITEM)), jnp.zeros((16, 0))).total)(as_arrays(tensors))
    nats_to_bits = (len(ITEM) - 1) / len(ITEM) / np.log(2)
    for name, slope in slopes.items():
        assert np.allclose(np.asarray(slope) * nats_to_bits, told[name], atol=2e-6), name


def test_training_with_lejepas_statistic_spreads_what_training_without_it_draws_together(tmp_path):
    (tmp_path / "data.txt").write_bytes(b"".join(b"%d green bottles hanging on the wall. " % n for n in range(200)))
    statistics = {}
    for name in ("none", "v1", "lejepa"):
        heard = []
        plan = Plan(steps=150, batch=8, warmup=10, regulariser=name, coefficient=0.1)
        tensors = train(fresh(CONFIG, 1), CONFIG, read_corpus([tmp_path / "data.txt"]), plan, heard.append)
        assert (heard[-1].reg == 0) is (name == "none")
        ids = ids_of(*(ITEM[n:] + ITEM[:n] for n in range(4)))
        reps, _ = ReferenceTransformer(CONFIG, tensors).forward(ids, np.tile(np.arange(16), (4, 1)), ids)
        seen = reps.reshape(-1, 16)
        statistics[name] = {
            "v1": slice_statistic(seen, directions(1, 16, 64), Regulariser(slices=64)),
            "lejepa": sample_statistic(seen, directions(1, 16, 64), Regulariser(slices=64)),
        }
    assert statistics["v1"]["v1"] < statistics["none"]["v1"] / 2
    assert statistics["lejepa"]["lejepa"] < min(statistics[name]["lejepa"] for name in ("none", "v1")) / 2


def test_directions_differ_by_step_and_follow_the_seed(tmp_path):
    (tmp_path / "data.txt").write_bytes(ITEM * 20)
    corpus = read_corpus([tmp_path / "data.txt"])
    plans = [Plan(steps=3, batch=2, seed=seed, regulariser="lejepa") for seed in (1, 1, (1 << 64) - 1)]
    one, two, three = (train(fresh(CONFIG, 1), CONFIG, corpus, plan, lambda _: None) for plan in plans)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert any(not np.array_equal(one[name], three[name]) for name in one)
    with pytest.raises(ValueError, match="'regulariser' must be in"):
        Plan(steps=1, regulariser="lejpa")
