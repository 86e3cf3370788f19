"""Policies, noise and statistics against what the live network's own packages gave for the same models."""

import hashlib
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model.models import ruled_tensors
from vectors import load

from soma_core.errors import DecodeError
from soma_core.model import (
    POLICIES,
    ModelConfig,
    ReferenceTransformer,
    Regulariser,
    Setting,
    directions,
    normal,
    read_eval_config,
    sample_statistic,
    slice_statistic,
)

VECTORS = load("policies.json")
MODELS = [ModelConfig(**case["config"]) for case in load("model.json")["models"]]


def built(config, dtype=np.float64):
    return ReferenceTransformer(config, ruled_tensors(config), dtype)


@pytest.mark.parametrize("case", VECTORS["noise"], ids=lambda case: case["seed"])
def test_noise_is_that_of_the_live_network_to_the_bit(case):
    drawn = normal(int(case["seed"]), 2048 * 256).astype("<f4")
    assert [number.tobytes().hex() for number in drawn[:8]] == case["first"]
    assert hashlib.blake2b(drawn.tobytes(), digest_size=32).hexdigest() == case["blake2b_of_524288"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 3000), st.integers(0, 70_000))
def test_a_longer_draw_begins_as_a_shorter_one(seed, few, more):
    assert np.array_equal(normal(seed, few + more)[:few], normal(seed, few))


@pytest.mark.parametrize(("seed", "count"), [(-1, 1), (2**64, 1), (0, -1), (0, 2**28 + 1)])
def test_what_cannot_be_drawn_is_refused(seed, count):
    with pytest.raises(ValueError, match=r"seed of|numbers; at most"):
        normal(seed, count)


@pytest.mark.parametrize(
    "case", VECTORS["cases"], ids=lambda case: f"{case['model']}-{case['policy']}-{case['batch']}-{len(case['data'])}"
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-6)])
def test_the_live_networks_policies(case, dtype, tolerance):
    config = MODELS[case["model"]]
    setting = Setting(batch=case["batch"], seed=int(case["seed"]), regulariser=Regulariser(**VECTORS["regulariser"]))
    score = POLICIES[case["policy"]](built(config, dtype), config, bytes.fromhex(case["data"]), setting)
    assert score.ce == pytest.approx(case["ce"], abs=tolerance)
    assert score.reg == pytest.approx(case["reg"], abs=max(tolerance, 1e-7))
    assert np.abs(score.embedding - case["embedding"]).max() <= tolerance
    assert score.loss == score.ce + score.reg
    assert score.batches == case["batches"]


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=60), st.integers(1, 5), st.sampled_from([0, 1]))
def test_our_policy_is_what_the_referee_says_whatever_the_batch(data, batch, which):
    config = MODELS[which]
    score = POLICIES["soma"](built(config), config, data, Setting(batch=batch, regulariser=Regulariser(slices=4)))
    reading = built(config).read(data)
    assert score.loss == pytest.approx(reading.bits / reading.bytes, abs=1e-10)
    assert np.abs(score.embedding - reading.vector).max() <= 1e-10
    charged = len(data) - score_rows(data, config)
    nats = (reading.bits - 8 * score_rows(data, config)) * math.log(2)
    assert score.ce * charged == pytest.approx(nats, abs=1e-8)


def score_rows(data, config):
    return -(-len(data) // config.seq)


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_has_no_score(policy):
    with pytest.raises(ValueError, match="empty"):
        POLICIES[policy](built(MODELS[0]), MODELS[0], b"", Setting())


def test_where_the_two_statistics_look():
    """The published one sees lengths alone; ours sees that all vectors are the same."""
    draw = np.random.default_rng(7)
    noise, regulariser = directions(3, 256, 256), Regulariser()
    normal_ = draw.normal(size=(512, 256))
    collapsed = np.repeat(draw.normal(size=(1, 256)), 512, 0)
    assert slice_statistic(normal_, noise, regulariser) < 2
    assert slice_statistic(collapsed, noise, regulariser) < 4
    assert sample_statistic(normal_, noise, regulariser) < 2
    assert sample_statistic(collapsed, noise, regulariser) > 100
    assert slice_statistic(normal_ * 0, noise, regulariser) > 50


def test_a_config_names_what_differs_from_the_live_networks():
    shape, regulariser = read_eval_config("{}")
    assert (shape.dim, shape.ffn, shape.layers, shape.heads, shape.seq) == (2048, 8192, 24, 8, 1024)
    assert (shape.rope_base, shape.rope_scale) == (10_000, 1)
    assert regulariser == Regulariser()
    shape, regulariser = read_eval_config(json.dumps({"dim": 8, "heads": 2, "rope_scale": 1.0, "sig_slices": 3}))
    assert (shape.dim, shape.heads, shape.rope_scale, regulariser.slices) == (8, 2, 1, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"dim": 8, "dim": 8}', "stands twice"),
        ('{"depth": 8}', "'depth' is none of"),
        ('{"dim": "8"}', "not a number"),
        ('{"dim": true}', "not a number"),
        ('{"dim": 1e400}', "not a number"),
        ('{"dim": 8.5}', "not a whole number"),
        ('{"dim": 9}', "heads do not cut"),
        ('{"dim": 1000000}', "not in 2..8192"),
        ('{"sig_points": 1}', "sig_points is 1"),
        ('{"sig_slices": 0}', "sig_slices is 0"),
        ('{"sig_t_max": 0}', "sig_t_max is 0"),
        ('{"sig_coefficient": -1}', "sig_coefficient is -1"),
    ],
)
def test_other_configs_are_refused(text, says):
    with pytest.raises(DecodeError, match=says):
        read_eval_config(text)
