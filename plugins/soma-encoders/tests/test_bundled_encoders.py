"""The bundled encoders, read by the NumPy referee.

Win rates are taken on 12 of the 60 held-out items of each kind; the whole is measured by the recipe and stands in
``specs/results/encoders.json``.
"""

import hashlib
import subprocess
import sys
from itertools import combinations
from statistics import median

import numpy as np
import pytest

import soma_encoders
from soma_core.fixed import is_vector, quantise
from soma_core.model import ReferenceTransformer, agreement, load_weights, read_frame, read_pack

KINDS = ("text", "code", "image", "audio")
SHARE = 5  # every fifth held-out item


@pytest.fixture(scope="module")
def items():
    whole = read_pack(soma_encoders.held_out().read_bytes())
    return [item for kind in KINDS for item in [i for i in whole if i.kind == kind][::SHARE]]


@pytest.fixture(scope="module")
def readings(items):
    out = {}
    for name in soma_encoders.names():
        weights = load_weights(name)
        model = ReferenceTransformer(weights.config, weights.tensors)
        out[name] = [model.read(item.data) for item in items]
    return out


def margins(items, readings, kind):
    return [
        min(readings[name][i].bits_per_byte for name in readings if name != kind) - readings[kind][i].bits_per_byte
        for i, item in enumerate(items)
        if item.kind == kind
    ]


@pytest.mark.parametrize(("kind", "least"), [("text", 0.3), ("code", 0.3), ("image", 0.3), ("audio", 0.1)])
def test_the_specialist_wins_its_kind(items, readings, kind, least):
    found = margins(items, readings, kind)
    assert len(found) == 12
    assert sum(margin > 0 for margin in found) >= 0.9 * len(found)
    assert median(found) >= least


def test_frames_make_the_encoders_comparable(items, readings):
    tables = {}
    for name in soma_encoders.names():
        weights = load_weights(name)
        frame = read_frame(weights.frame, weights.digest)
        tables[name] = np.stack([quantise(frame.apply(reading.vector)) for reading in readings[name]])
        assert all(is_vector(row, 128) for row in tables[name])
    for (one, mine), (other, theirs) in combinations(tables.items(), 2):
        assert agreement(mine, theirs).holds, (one, other)


def test_samples_are_won_by_their_specialists():
    models = {}
    for name in soma_encoders.names():
        weights = load_weights(name)
        models[name] = ReferenceTransformer(weights.config, weights.tensors)
    for kind, path in zip(KINDS, soma_encoders.samples(), strict=True):
        data = path.read_bytes()
        losses = sorted((model.read(data, max_chunks=16).bits_per_byte, name) for name, model in models.items())
        assert losses[0][1] == kind
        assert losses[1][0] - losses[0][0] >= 0.1


def test_every_file_is_in_the_catalogue_with_its_digest():
    listed = soma_encoders.catalogue()["files"]
    folder = soma_encoders.directory()
    there = {
        p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert listed.keys() | {"catalogue.json"} == there.keys()
    for name, entry in listed.items():
        data = there[name].read_bytes()
        assert len(data) == entry["bytes"]
        assert hashlib.blake2b(data, digest_size=32).hexdigest() == entry["blake2b"]


def test_weights_are_small_and_named_by_their_digests():
    catalogue = soma_encoders.catalogue()["encoders"]
    assert tuple(catalogue) == soma_encoders.names()
    for name in soma_encoders.names():
        assert soma_encoders.path(name).stat().st_size <= 1_500_000
        weights = load_weights(name)
        assert weights.digest.hex() == catalogue[name]["weights_digest"]
        assert weights.modalities == soma_encoders.modalities(name)
        assert read_frame(weights.frame, weights.digest).dim == 128


def test_anchors_are_enough_and_none_of_them_is_held_out():
    anchors = read_pack(soma_encoders.anchors().read_bytes())
    held_out = read_pack(soma_encoders.held_out().read_bytes())
    assert len(anchors) == 576 >= max(512, 4 * 128)
    assert {item.kind for item in anchors} == set(KINDS) == {item.kind for item in held_out}
    assert all(sum(item.kind == kind for item in held_out) >= 40 for kind in KINDS)
    assert not {item.digest() for item in anchors} & {item.digest() for item in held_out}
    references = np.frombuffer(soma_encoders.references().read_bytes(), "<i2").reshape(576, 128).astype(np.int16)
    assert all(is_vector(row, 128) for row in references)


def test_the_package_imports_nothing_heavy():
    code = "import sys, soma_encoders; sys.exit('numpy' in sys.modules or 'soma_core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_unknown_names_are_refused():
    with pytest.raises(KeyError, match="poetry"):
        soma_encoders.path("poetry")
