"""What is JAX's own: what it compiles, what it computes once, and float64, which is switched on for a whole process."""

import logging
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from soma_core.api import EncoderContext
from soma_jax import Config, open_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("encoder"))


def opened(folder: Path):
    return open_encoder(Config(weights="text"), EncoderContext("encoder-jax", folder, logging.getLogger("test")))


def shapes_of(encoder, monkeypatch):
    """Of what is computed from now on."""
    calls = []
    read = encoder._read
    monkeypatch.setattr(encoder, "_read", lambda p, *slab: calls.append(slab[0].shape) or read(p, *slab))
    return calls


def test_short_chunks_share_a_row(encoder, monkeypatch):
    calls = shapes_of(encoder, monkeypatch)
    encoder.encode([bytes([i]) * 16 for i in range(32)])
    assert calls == [(2, 256)], "what they hold, and no padding"


def test_equal_chunks_are_computed_once(encoder, monkeypatch):
    calls = shapes_of(encoder, monkeypatch)
    many = encoder.evaluate([b"y" * 256 * 100, b"y" * 256], b"")
    assert calls == [(2, 256)]
    assert np.array_equal(many.vectors[0], many.vectors[1])
    assert many.bits_per_byte[0] == pytest.approx(many.bits_per_byte[1], abs=1e-12)


def test_nothing_is_compiled_after_opening(tmp_path):
    fresh = opened(tmp_path)
    seen = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: seen.append(event))
    try:
        for size in (1, 3, 200):
            fresh.evaluate([bytes([i]) * (1 + 3 * i) for i in range(size)], b"")
        assert not [event for event in seen if "compile" in event]
    finally:
        jax.monitoring.clear_event_listeners()


def test_float64_is_the_referees(tmp_path):
    """Of one position, before any mean is taken; in a process of its own."""
    code = f"""
import logging, pathlib
import numpy as np
from soma_core.api import EncoderContext
from soma_core.model import ReferenceTransformer, load_weights
from soma_jax import Config, open_encoder
context = EncoderContext("encoder-jax", pathlib.Path({str(tmp_path)!r}), logging.getLogger("test"))
encoder = open_encoder(Config(weights="text", dtype="f64"), context)
weights = load_weights("text")
ids = np.random.default_rng(3).integers(0, 258, (3, 40), np.int32)
targets = np.roll(ids, -1, 1)
targets[:, -1] = 256
positions = np.arange(40) + np.array([[0], [1000], [123456]])
reps, nats = encoder.forward(ids, positions, targets)
truth, charged = ReferenceTransformer(weights.config, weights.tensors, np.float64).forward(ids, positions, targets)
assert encoder.info.numeric == "f64"
assert reps.dtype.name == "float64"
print(np.abs(reps - truth).max(), np.abs(nats - charged).max())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert max(map(float, done.stdout.split())) <= 2e-9
