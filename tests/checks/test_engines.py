"""One weights file, four engines: the same losses, vectors, gradients and winners. What ``nox -s engines`` runs.

Beside them stands `soma-models`, the live network's own package: files go both ways, and its numbers are ours.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model.models import random_tensors, ruled_tensors

import soma_core
from soma_core.model import (
    V1,
    ModelConfig,
    ReferenceTransformer,
    directions,
    load_weights,
    read_tensors,
    write_tensors,
)
from soma_models.v1 import configs
from soma_models.v1.torch.modules.model import Model
from soma_models.v1.torch.modules.sig_reg import SIGReg
from soma_models.v1.torch.serde import Serde

SHAPE = {"dim": 64, "ffn": 160, "layers": 3, "heads": 4, "seq": 96, "rope_base": 10_000, "rope_scale": 1}
CONFIG = ModelConfig(**SHAPE)
SLICES = 32
ENGINES = {"numpy": 1.0, "jax": 1.0, "torch": 1.0, "onnx": 2.5}
"""By what the tolerances of float32 are multiplied: 2e-6 of a loss, 1e-6 of a coordinate; 5e-6 of ONNX Runtime."""
DATA = bytes(range(256)) * 2 + b"two cats sat on a mat\n" * 30 + b"\x00" * 77


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights in the live network's layout, their config beside them, the same by its names, and data."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.safetensors").write_bytes(write_tensors(random_tensors(CONFIG, 1)))
    (folder / "model.json").write_text(CONFIG.to_json())
    (folder / "config.json").write_text(json.dumps({**SHAPE, "sig_slices": SLICES}))
    (folder / "data").write_bytes(DATA)
    return folder


def evaluated(folder: Path, engine: str, policy: str, dtype: str = "f32"):
    """What ``soma encoder eval`` prints, in a process of its own."""
    files = {"weights": "model.safetensors", "config": "config.json", "data": "data"}
    options = [part for name, file in files.items() for part in (f"--{name}", str(folder / file))]
    options += ["--engine", engine, "--policy", policy, "--dtype", dtype, "--batch", "3", "--seed", "11", "--json"]
    command = [sys.executable, "-m", "soma_core.cli", "encoder", "eval", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def truths(folder):
    """NumPy in float64, by policy."""
    return {policy: evaluated(folder, "numpy", policy, "f64") for policy in ("soma", "v1-local", "v1-chain")}


def apart(answer, truth):
    return abs(answer["loss"] - truth["loss"]), np.abs(np.subtract(answer["embedding"], truth["embedding"])).max()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", ["soma", "v1-local", "v1-chain"])
def test_float32_is_the_same_everywhere(folder, truths, engine, policy):
    answer = evaluated(folder, engine, policy)
    loss, vector = apart(answer, truths[policy])
    assert answer["numeric_class"] == "f32"
    assert answer["batches"] == truths[policy]["batches"]
    assert loss <= 2e-6 * ENGINES[engine]
    assert vector <= (1e-6 if engine != "onnx" else 5e-6)


@pytest.mark.parametrize("engine", ["jax", "torch"])
@pytest.mark.parametrize("policy", ["soma", "v1-local", "v1-chain"])
def test_float64_is_the_same_everywhere(folder, truths, engine, policy):
    answer = evaluated(folder, engine, policy, "f64")
    assert answer["numeric_class"] == "f64"
    assert max(apart(answer, truths[policy])) <= 1e-10


@pytest.mark.parametrize(("engine", "dtype", "least"), [("torch", "bf16", 0.9999), ("onnx", "int8", 0.999)])
def test_quicker_classes_keep_the_direction(folder, truths, engine, dtype, least):
    answer = evaluated(folder, engine, "soma", dtype)
    one, other = np.array(answer["embedding"]), np.array(truths["soma"]["embedding"])
    assert answer["numeric_class"] == dtype
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) >= least


# The live network's own package. --------------------------------------------------------------------------------------


def theirs(data: bytes | None = None) -> Model:
    model = Model(
        configs.ModelConfig(dropout_rate=0.0, embedding_dim=64, pwff_hidden_dim=160, num_layers=3, num_heads=4)
    )
    return (model if data is None else Serde(model).deserialize(data)).eval()


def test_the_defaults_are_theirs():
    published = {
        "dim": configs.V1_EMBEDDING_DIM,
        "ffn": configs.V1_PWFF_HIDDEN_DIM,
        "layers": configs.V1_NUM_LAYERS,
        "heads": configs.V1_NUM_HEADS,
        "seq": configs.V1_MAX_SEQ_LEN,
        "rope_base": configs.V1_MAX_WAVELENGTH,
        "rope_scale": configs.V1_SCALE_FACTOR,
        "sig_points": configs.V1_SIG_REG_POINTS,
        "sig_slices": configs.V1_SIG_REG_SLICES,
        "sig_t_max": configs.V1_SIG_REG_T_MAX,
        "sig_coefficient": configs.V1_SIG_REG_COEFFICIENT,
    }
    assert published == V1


def test_a_file_of_theirs_is_one_of_ours_and_the_other_way_round(tmp_path):
    torch.manual_seed(3)
    model = theirs()
    written = Serde(model).serialize()
    file = tmp_path / "theirs.safetensors"
    file.write_bytes(written)
    file.with_suffix(".json").write_text(CONFIG.to_json())
    ours = load_weights(file)
    assert write_tensors(read_tensors(written)) == write_tensors(ours.tensors)
    ids = torch.from_numpy(np.random.default_rng(4).integers(0, 256, (2, 96)))
    with torch.no_grad():
        again = theirs(write_tensors(ours.tensors)).encode(ids, torch.arange(96).expand(2, -1))
        assert torch.equal(again, model.encode(ids, torch.arange(96).expand(2, -1)))
    reps, _ = ReferenceTransformer(CONFIG, ours.tensors, np.float64).forward(
        ids.numpy(), np.tile(np.arange(96), (2, 1)), ids.numpy()
    )
    assert np.abs(reps - again.numpy()).max() <= 2e-5, "of one position, before any mean is taken"


def test_their_loss_is_what_the_local_policy_says(folder):
    """On whole rows, with their regulariser on our noise."""
    data = DATA[: 96 * 3]
    (folder / "data").write_bytes(data)
    try:
        answer = evaluated(folder, "torch", "v1-local")
    finally:
        (folder / "data").write_bytes(DATA)
    ids = torch.tensor(list(data)).reshape(3, 96)
    targets = torch.cat([ids[:, 1:], torch.full((3, 1), 256)], 1)
    regulariser = SIGReg(configs.SIGRegConfig(slices=SLICES))
    with torch.no_grad():
        model = theirs((folder / "model.safetensors").read_bytes())
        reps = model.encode(ids, torch.arange(96).expand(3, -1))
        logits = model.predict(reps)
        ce = torch.nn.functional.cross_entropy(logits.reshape(-1, 264), targets.reshape(-1), ignore_index=256)
        reg = regulariser.compute(reps, torch.from_numpy(directions(11, 64, SLICES)))
    assert answer["loss"] == pytest.approx(float(ce + reg), abs=4e-6)
    assert np.abs(reps.mean((0, 1)).numpy() - answer["embedding"]).max() <= 1e-6


# Gradients. -----------------------------------------------------------------------------------------------------------

SMALL = ModelConfig(dim=8, ffn=12, layers=2, heads=2, seq=8, rope_base=10_000, rope_scale=1)
ITEMS = [b"two cats sat", b"on a mat", b"\xff\x00"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    file = tmp_path_factory.mktemp("small") / "model.safetensors"
    file.write_bytes(write_tensors(ruled_tensors(SMALL)))
    file.with_suffix(".json").write_text(SMALL.to_json())
    return file


def gradient_of(engine: str, weights: Path):
    with soma_core.load(f"encoder-{engine}", weights=str(weights)) as loaded:
        return loaded.gradient(ITEMS)


def differences(name: str) -> np.ndarray:
    """Central ones in float64, of one tensor."""
    whole = {n: tensor.astype(np.float64) for n, tensor in ruled_tensors(SMALL).items()}
    out = np.zeros(whole[name].shape)
    used = set(b"".join(ITEMS))
    for place in np.ndindex(*out.shape):
        if name == "embedding.weight" and place[0] not in used:
            continue
        both = []
        for step in (1e-5, -1e-5):
            moved = whole[name].copy()
            moved[place] += step
            model = ReferenceTransformer(SMALL, {**whole, name: moved}, np.float64)
            both.append(sum(model.read(item).bits / len(item) for item in ITEMS))
        out[place] = (both[0] - both[1]) / 2e-5
    return out


def test_gradients_are_the_slopes_of_the_loss(small):
    jax, other = gradient_of("jax", small), gradient_of("torch", small)
    assert jax.keys() == other.keys() == SMALL.shapes().keys()
    for name in SMALL.shapes():
        one, two = jax[name].astype(np.float64).ravel(), other[name].astype(np.float64).ravel()
        assert np.linalg.norm(one - two) <= 1e-5 * np.linalg.norm(one), name
        slope = differences(name).ravel()
        for mine in (one, two):
            assert mine @ slope / np.linalg.norm(mine) / np.linalg.norm(slope) >= 0.999999, name


# Winners. -------------------------------------------------------------------------------------------------------------

SHARDS = int(os.environ.get("SOMA_SHARDS") or 10_000)
"""Seven encoders and a datum each."""
BAND = round(0.02 * 65536)
"""Of the lowest loss: within it the earliest registered wins (R20)."""
ERROR = 2 * 2e-6 * 65536
"""By what two losses, rounded, may differ between engines, at most, beside the rounding."""


def winner(losses: np.ndarray) -> int:
    """Of losses in order of registration, in whole units of 2^-16 bit."""
    return int(np.flatnonzero(losses <= losses.min() + BAND)[0])


def is_near(losses: np.ndarray) -> bool:
    """Whether a loss lies so near the edge of the band that the winner may hang on an engine."""
    beyond = losses - losses.min() - BAND
    return bool((np.abs(beyond) <= ERROR + 1).any())


def variants(folder: Path) -> list[Path]:
    """The bundled encoders, and each with noise of 1 to 20 % on its weights, which makes losses that are near."""
    out = []
    for number, name in enumerate(("text", "code", "image", "audio", "generalist")):
        weights = load_weights(name)
        for place, noise in enumerate((0, 0.01, 0.03, 0.06, 0.2)):
            random = np.random.default_rng([number, place])
            moved = {
                n: (t + noise * t.std() * random.standard_normal(t.shape)).astype(np.float32)
                for n, t in weights.tensors.items()
            }
            file = folder / f"{name}-{place}.safetensors"
            file.write_bytes(write_tensors(moved))
            file.with_suffix(".json").write_text(weights.config.to_json())
            out.append(file)
    return out


def test_the_same_encoder_wins_on_every_engine(tmp_path, capsys):
    from soma_core.model import read_pack
    from soma_encoders import held_out

    items = [item.data[:256] for item in read_pack(held_out().read_bytes())][::2]
    files = variants(tmp_path)
    losses = {engine: np.empty((len(files), len(items)), np.int64) for engine in ENGINES}
    for engine, table in losses.items():
        for row, file in zip(table, files, strict=True):
            with soma_core.load(f"encoder-{engine}", weights=str(file)) as loaded:
                row[:] = np.rint(loaded.evaluate(items).bits_per_byte * 65536)
    random = np.random.default_rng(17)
    near = flips = 0
    for _ in range(SHARDS):
        members, datum = random.choice(len(files), 7, replace=False), random.integers(len(items))
        seen = {engine: table[members, datum] for engine, table in losses.items()}
        in_band = is_near(seen["numpy"])
        near += in_band
        if len({winner(row) for row in seen.values()}) > 1:
            flips += 1
            assert in_band, (members, datum)
    with capsys.disabled():
        sys.stdout.write(f"{SHARDS} shards: {near} near an edge, {flips} with another winner on some engine\n")
    assert near <= SHARDS / 1000


# Somebody else's model. -----------------------------------------------------------------------------------------------


def test_a_foreign_model_is_put_into_the_frame_by_settings_alone(tmp_path):
    """That of `magika`, which tells kinds of files apart: bytes from both ends, the vector before its last layer."""
    import magika

    file = tmp_path / "kinds.onnx"
    file.write_bytes((Path(magika.__file__).parent / "models" / "standard_v3_3" / "model.onnx").read_bytes())
    output = "jax2tf_get_logits_/pjit_get_logits_/MagikaV2/LayerNorm_1/AddV2_1:0"
    settings = {"length": 2048, "tail": 1024, "pad": 256, "threads": 1, "output": output}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "soma_core.cli", "encoder", "align", str(file), "--json", *options]
    done = subprocess.run(
        [*command, "--plugin", "encoder-onnx-model"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["holds"]
    assert answer["files"] == [str(file.with_suffix(".frame"))]
    with soma_core.load("encoder-onnx-model", file=str(file), **settings) as loaded:
        assert (loaded.dim, loaded.info.dim, loaded.info.architecture) == (128, 512, "opaque")
        code = [b"import os\ndef f(x):\n    return x\n" * 20, b"class A:\n    pass\nimport sys\n" * 20]
        one, other, page = loaded.encode([*code, b"<html><body>two cats</body></html>" * 9])
    assert one @ other > max(one @ page, other @ page) + 0.2
