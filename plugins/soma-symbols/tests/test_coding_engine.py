"""The byte model in whole numbers: near the referee, and exact in any company and any order of sums."""

import json
import math
from pathlib import Path
from random import Random

import attrs
import numpy as np
import pytest

from soma_core.errors import SettingsError
from soma_core.model import ModelConfig, ReferenceTransformer, write_tensors
from soma_symbols.coding import CoderConfig, open_coder
from soma_symbols.coding._advice import ModelAdvice
from soma_symbols.coding._engine import IntegerTransformer
from soma_symbols.coding._engine_tables import POINT, TURN_POINT, gelu, power, root, turns
from soma_symbols.coding._logistic import STEPS, stretch
from soma_symbols.coding._modelled import Modelled, open_model

LARGER = ModelConfig(dim=32, ffn=48, layers=2, heads=4, seq=256, rope_base=10_000, rope_scale=2)
SMALL = ModelConfig(dim=8, ffn=12, layers=2, heads=2, seq=16, rope_base=10_000, rope_scale=1)
TEXT = b"def lane(size: int) -> int:\n    return size\n" * 2
ONE_LINE = r"\A[^\n]+\Z"


def drawn(config: ModelConfig, scale: float, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: (scale * random.normal(size=shape)).astype(np.float32) for name, shape in config.shapes().items()}


@pytest.fixture(scope="module")
def model() -> IntegerTransformer:
    return IntegerTransformer(LARGER, drawn(LARGER, 0.2))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model in files."""
    (tmp_path / "small.safetensors").write_bytes(write_tensors(drawn(SMALL, 0.5)))
    (tmp_path / "small.json").write_text(json.dumps({"architecture": SMALL.architecture, **attrs.asdict(SMALL)}))
    return tmp_path / "small.safetensors"


def bits(model: IntegerTransformer, piece: bytes) -> float:
    """What the bytes of `piece` but the first cost, at most a window of them."""
    ids = np.frombuffer(piece, np.uint8).astype(np.int64)
    cache, total = model.cache(1), 0.0
    for place in range(len(ids) - 1):
        weights = model.predict(cache, ids[None, place : place + 1], place)[0]
        total -= math.log2(weights[ids[place + 1]] / weights.sum())
    return total


def test_it_predicts_as_the_referee_does(model: IntegerTransformer) -> None:
    tensors = drawn(LARGER, 0.2)
    tensors["predictor.bias"][256:] = -40  # the tokens that are no bytes, which a trained model never expects
    referee = ReferenceTransformer(LARGER, tensors)
    assert bits(model, TEXT[:64]) == pytest.approx(referee.read(TEXT[:64]).bits - 8, rel=0.002)


def test_a_lane_is_predicted_alike_in_any_company_and_however_its_bytes_come(model: IntegerTransformer) -> None:
    rows = np.random.default_rng(4).integers(0, 256, (5, 64))
    cache = model.cache(5)
    together = model.predict(cache, rows, 0)
    for lane in range(5):
        alone = model.cache(1)
        for place in range(63):
            model.predict(alone, rows[lane : lane + 1, place : place + 1], place)
        assert np.array_equal(model.predict(alone, rows[lane : lane + 1, 63:], 63)[0], together[lane])
        assert np.array_equal(alone[:, :, 0], cache[:, :, lane])


@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
def test_sums_are_exact_however_large_weights_are(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with sums of whole numbers of any size, which Python adds up."""
    model = IntegerTransformer(SMALL, drawn(SMALL, scale))
    ids = np.random.default_rng(1).integers(0, 256, (3, 9))
    expected = model.predict(model.cache(3), ids, 0)
    for layer in (*model._layers, None):
        for linear in (model._predictor,) if layer is None else attrs.astuple(layer, recurse=False):
            if hasattr(linear, "weights"):
                exact = linear.weights.astype(np.int64).astype(object)
                monkeypatch.setattr(type(linear), "of", _exact)
                assert abs(exact).max() <= 1 << 13
    assert np.array_equal(model.predict(model.cache(3), ids, 0), expected)
    assert expected.min() >= 1


def _exact(linear: object, inputs: np.ndarray) -> np.ndarray:
    """A linear map in numbers without bound; what does not fit 53 bits would differ."""
    weights, biases, shift = linear.weights, linear.biases, linear.shift  # type: ignore[attr-defined]
    sums = inputs.astype(object) @ weights.astype(np.int64).astype(object) + biases.astype(np.int64).astype(object)
    assert abs(sums).max() < 1 << 53
    return ((sums + ((1 << shift) >> 1)) >> shift).astype(np.int64)  # type: ignore[no-any-return]


def test_no_entry_of_a_table_hangs_on_the_last_bits_of_a_library() -> None:
    """Each is further from a tie than any library's error: 2^-40 and more of a unit, where doubles err by 2^-45."""
    one = 1 << POINT
    exact = [x / one * (1 + math.erf(x / one / math.sqrt(2))) / 2 * one for x in range(-8 * one, 8 * one)]
    assert min(abs(value - math.floor(value) - 0.5) for value in exact) > 1e-9
    for base, size in ((10_000, 64), (10_000, 8)):
        half = size // 2
        angles = [place * base ** (-2 * i / size) for place in range(64) for i in range(half)]
        values = [f(angle) * (1 << TURN_POINT) for f in (math.cos, math.sin) for angle in angles]
        assert min(abs(value - math.floor(value) - 0.5) for value in values) > 1e-7
    assert gelu()[8 * one] == 0
    assert turns(64, 64, 10_000, 1)[0][0, 0] == 1 << TURN_POINT


def test_powers_and_roots_are_rounded_down() -> None:
    exponents = np.arange(0, 30 << 10, 7)
    assert np.array_equal(power(exponents, 16), [math.floor(2 ** (16 - x / 1024) + 1e-9) for x in exponents.tolist()])
    values = np.array([0, 1, 3, 4, *(n * n + d for n in (2**13, 94_906_265 // 2, 2**26 - 1) for d in (-1, 0, 1))])
    assert root(values).tolist() == [math.isqrt(value) for value in values.tolist()]


@pytest.mark.parametrize(
    ("config", "tensor", "value", "said"),
    [
        (attrs.evolve(SMALL, ffn=4097), "", 0, "at most"),
        (SMALL, "predictor.weight", 9000.0, "2\\^13"),
        (SMALL, "predictor.bias", 1e30, "too large"),
        (SMALL, "final_norm.gamma", 200.0, "too large"),
        (SMALL, "embedding.weight", 300.0, "too large"),
    ],
)
def test_models_beyond_whole_numbers_are_refused(config: ModelConfig, tensor: str, value: float, said: str) -> None:
    tensors = drawn(config, 0.1)
    if tensor:
        tensors[tensor].reshape(-1)[0] = value
    with pytest.raises(ValueError, match=said):
        IntegerTransformer(config, tensors)


def test_a_window_begins_anew_with_its_last_half() -> None:
    model = IntegerTransformer(SMALL, drawn(SMALL, 0.3))
    advice = ModelAdvice(model, 1)
    data = np.random.default_rng(3).integers(0, 256, 30)
    assert advice.odds(np.array([1]))[0] == stretch()[STEPS // 2]
    for byte in data:
        advice.end_byte(np.array([byte]))
    begun = 16 + 8  # windows are full at 16 and 24 bytes
    kept = data[begun - 8 :]
    fresh = model.predict(model.cache(1), kept[None], 0)
    assert np.array_equal(advice._tree[:, 256:], fresh)
    assert advice._tree[0, 1] == fresh.sum()


def test_blocks_come_back_by_a_model_in_a_file(file: Path) -> None:
    coder = open_coder(CoderConfig(model=str(file)))
    packed = coder.compress(TEXT)
    assert packed[4] == 2
    assert coder.decompress(packed) == TEXT
    with pytest.raises(ValueError, match="not here"):
        open_coder(CoderConfig()).decompress(packed)


def test_other_weights_and_other_engines_are_refused(file: Path) -> None:
    model = open_model(str(file))
    payload = Modelled(model).pack(TEXT[:100])
    for place, said in ((0, "weights"), (32, "engine")):
        changed = bytearray(payload)
        changed[place] ^= 1
        with pytest.raises(ValueError, match=said) as refused:
            Modelled(model).unpack(bytes(changed), 100)
        assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match=ONE_LINE):
        Modelled(None).pack(b"a")


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        open_coder(CoderConfig(model=str(tmp_path / "none.safetensors")))
    with pytest.raises(ValueError, match="asks no model"):
        open_coder(CoderConfig(method="rle", model="code"))


@pytest.mark.parametrize("cut", [0, 10, 31, 39, 40])
def test_a_payload_cut_short_is_refused(cut: int, file: Path) -> None:
    method = Modelled(open_model(str(file)))
    payload = method.pack(Random(1).randbytes(40))
    with pytest.raises(ValueError, match=ONE_LINE):
        method.unpack(payload[:cut], 40)
