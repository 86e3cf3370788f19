"""The referee of ``symbols-1``: its rules against plain Python, its exactness, and what it refuses."""

import json
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from model.plain_symbols import PlainSymbols

from soma_core.errors import DecodeError, SettingsError
from soma_core.model import (
    ARCHITECTURES,
    STRATEGIES,
    ModelConfig,
    ReferenceSymbols,
    SymbolsConfig,
    load_model,
    load_weights,
    read_config,
    read_tensors,
    referee,
    weights_digest,
    write_tensors,
)
from soma_core.model import _byte_model as byte_model
from soma_core.model import _symbol_encoder as encoder

SMALL = SymbolsConfig(strategy="hybrid", dim=24, tokens=64, grams=32, slots=1024, seq=64)
ITEMS = (
    b"two cats on a mat",
    b"x",
    b"\x00",
    b"_",
    b"__init__",
    b"   \n\t",
    b"\xff" * 300,
    bytes(range(256)) * 3,
    "où est le café?".encode(),
    b"def readHTTPServer2(x_y, utf8Text):\n    return XMLParser_x * camelCase\n",
    b"A" * 70 + b"b",
)


def drawn(config: SymbolsConfig, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in config.shapes().items():
        code = {"I8": np.int8, "U8": np.uint8, "U16": np.uint16}[config.dtypes[name]]
        tensors[name] = random.integers(np.iinfo(code).min, np.iinfo(code).max, shape, code, endpoint=True)
    tensors["bytes.entries"] //= 4
    return tensors


def with_known(config: SymbolsConfig, *items: bytes) -> dict[str, np.ndarray]:
    """Tensors whose table has the tokens of some items."""
    from soma_core.model._symbols import symbols

    tensors = drawn(config)
    for item in items:
        tokens = symbols(item).tokens
        rows, prints = encoder.token_places(tokens, config.tokens)
        tensors["tokens.prints"][rows[:, 0]] = prints
        tensors["tokens.prints"][rows[:3, 7]] = prints[:3]
    return tensors


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("item", ITEMS, ids=repr)
def test_it_computes_what_the_chapter_says(strategy: str, item: bytes) -> None:
    config = evolve(SMALL, strategy=strategy)
    tensors = with_known(config, ITEMS[0], ITEMS[9][:40])
    bits, vector = PlainSymbols(config, tensors).read(item)
    found = ReferenceSymbols(config, tensors).read(item)
    assert found.bits / found.bytes == bits
    assert found.vector.dtype == np.float32
    assert np.array_equal(found.vector, np.array(vector, np.float64).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=200), st.sampled_from(STRATEGIES), st.integers(0, 9))
def test_it_computes_the_same_of_any_bytes(item: bytes, strategy: str, seed: int) -> None:
    config = evolve(SMALL, strategy=strategy)
    tensors = with_known(config, item[: len(item) // 2 + 1]) if seed % 2 else drawn(config, seed)
    bits, vector = PlainSymbols(config, tensors).read(item)
    found = ReferenceSymbols(config, tensors).read(item)
    assert found.bits / found.bytes == bits
    assert np.array_equal(found.vector, np.array(vector, np.float64).astype(np.float32))


def test_words_fall_into_parts_that_words_of_other_spelling_share() -> None:
    from soma_core.model._symbols import symbols

    words = (b"readFile", b"READ_FILE", b"read", b"file", b"httpserver")
    ids = {word: set(symbols(word).tokens.tolist()) for word in words}
    assert ids[b"read"] | ids[b"file"] < ids[b"readFile"]
    assert ids[b"read"] | ids[b"file"] < ids[b"READ_FILE"]
    assert ids[b"readFile"] != ids[b"READ_FILE"], "whole words differ by their underscore"
    assert ids[b"httpserver"] < set(symbols(b"HTTPServer").tokens.tolist())


def test_the_chances_of_all_bytes_add_up_to_one_exactly() -> None:
    tensors = drawn(SMALL)
    before = b"what stands befor"
    chances = []
    for byte in range(256):
        places, bits = byte_model.byte_places(before + bytes([byte]), SMALL.slots)
        sums = np.clip(tensors["bytes.entries"][places[-1]].sum(-1, dtype=np.int64), -191, 191) + byte_model.LIMIT
        ones = byte_model.CHANCES[sums]
        chance = 1
        for one, bit in zip(ones.tolist(), bits[-1].tolist(), strict=True):
            chance *= one if bit else byte_model.ONE - one
        chances.append(chance)
    assert sum(chances) == byte_model.ONE**8


def test_no_entry_of_the_tables_is_near_enough_to_a_half_for_machines_to_differ() -> None:
    with localcontext() as context:
        context.prec = 40
        for total in range(-byte_model.LIMIT, byte_model.LIMIT + 1):
            exact = Decimal(65536) / (1 + (Decimal(-total) / byte_model.ENTRY_STEP).exp())
            chance = int(byte_model.CHANCES[total + byte_model.LIMIT])
            assert chance == max(1, min(65535, int(exact.quantize(Decimal(1)))))
            assert abs(exact % 1 - Decimal("0.5")) > Decimal("1e-6")
            for bit, part in enumerate((65536 - chance, chance)):
                cost = -(Decimal(part) / 65536).ln() / Decimal(2).ln() * 65536
                assert int(byte_model.COSTS[total + byte_model.LIMIT, bit]) == int(cost.quantize(Decimal(1)))
                assert abs(cost % 1 - Decimal("0.5")) > Decimal("1e-6")


def test_sums_of_the_largest_item_are_exact_in_float64() -> None:
    """As many symbols as an item may have, all as heavy as can be, of one row: far below 2^53."""
    most = 256 * 4096 * 4
    assert float(encoder.damped(np.array([most]))[0]) * 65535 * 8 * 4096 < 2**53
    counts = np.array([1, 2, 3, 4, 10, 10**6, most])
    import math

    assert encoder.damped(counts).tolist() == [math.isqrt(256 * int(count)) for count in counts]


def test_chunks_are_read_alone_and_first_bytes_cost_eight_bits() -> None:
    model = ReferenceSymbols(SMALL, drawn(SMALL))
    one, two = b"a" * 64, bytes(range(64))
    assert model.read(one + two).bits == model.read(one).bits + model.read(two).bits
    assert model.read(b"\x07").bits == 8
    assert model.read(b"\x07").bits_per_byte == 8


def test_an_item_of_which_nothing_is_left_still_has_a_direction() -> None:
    tensors = drawn(SMALL) | {"tokens.weights": np.zeros(64, np.uint16), "grams.weights": np.zeros(32, np.uint16)}
    vector = ReferenceSymbols(evolve(SMALL, strategy="semantic"), tensors).read(b"two cats").vector
    assert np.array_equal(vector, np.full(24, vector[0]))
    assert vector[0] > 0


def test_empty_items_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        ReferenceSymbols(SMALL, drawn(SMALL)).read(b"")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 25}, "not even"),
        ({"dim": 4}, "dim is 4, not in 8"),
        ({"dim": 2**40}, "dim is"),
        ({"tokens": 65}, "tokens is 65, not a power of two"),
        ({"grams": 2**23}, "grams is"),
        ({"slots": 2**25}, "slots is"),
        ({"seq": 4097}, "seq is"),
        ({"seq": True}, "seq is True"),
        ({"strategy": "minilm"}, "the strategy is 'minilm', not one of"),
        ({"strategy": ["hash"]}, "the strategy is"),
        ({"architecture": "symbols-9"}, "the architecture is 'symbols-9', none of"),
        ({"more": 1}, "it must have exactly"),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_one_line(change: dict[str, object], message: str) -> None:
    text = json.dumps(json.loads(SMALL.to_json()) | change)
    with pytest.raises(DecodeError, match=message) as caught:
        read_config(text)
    assert "\n" not in caught.value.what


def test_a_config_is_read_as_it_was_written_and_names_its_architecture() -> None:
    assert read_config(SMALL.to_json()) == SMALL
    transformer = ModelConfig(dim=8, ffn=8, layers=1, heads=2, seq=8, rope_base=10, rope_scale=1)
    assert read_config(transformer.to_json()) == transformer
    assert ARCHITECTURES == ("byte-transformer-1", "symbols-1")
    for text in ("{", "[]", "{}", '{"architecture": 5}'):
        with pytest.raises(DecodeError):
            read_config(text)


def written(folder: Path, config: SymbolsConfig, tensors: dict[str, np.ndarray]) -> Path:
    path = folder / "words.safetensors"
    path.write_bytes(write_tensors(tensors, config.dtypes))
    path.with_suffix(".json").write_text(config.to_json(), "utf-8")
    return path


def test_weights_are_loaded_by_the_architecture_beside_them(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL, tensors := drawn(SMALL))
    weights = load_model(path)
    assert weights.config == SMALL
    assert weights.digest == weights_digest(SMALL, path)
    assert weights.digest != weights_digest(evolve(SMALL, strategy="hash"), path)
    info = weights.info("f32", 3)
    assert (info.architecture, info.dim, info.weights, info.max_batch) == ("symbols-1", 24, weights.digest, 3)
    for name, tensor in tensors.items():
        assert weights.tensors[name].dtype == tensor.dtype
        assert np.array_equal(weights.tensors[name], tensor)
    model = referee(weights.config, weights.tensors)
    assert np.array_equal(model.read(b"two cats").vector, ReferenceSymbols(SMALL, tensors).read(b"two cats").vector)
    with pytest.raises(SettingsError, match="their architecture is symbols-1, not byte-transformer-1"):
        load_weights(path)


FAULTS = ("truncated", "float32 vectors", "another shape", "a tensor is missing", "signed vectors", "as a transformer")


@pytest.mark.parametrize("fault", FAULTS)
def test_malformed_weights_are_refused_in_one_line(tmp_path: Path, fault: str) -> None:
    tensors, dtypes = drawn(SMALL), SMALL.dtypes
    path = written(tmp_path, SMALL, tensors)
    other = {
        "float32 vectors": (np.ones((64, 12), np.float32), "F32"),
        "another shape": (np.ones((64, 24), np.uint8), "U8"),
        "signed vectors": (np.ones((64, 12), np.int8), "I8"),
    }
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:-5])
    elif fault in other:
        table, dtype = other[fault]
        path.write_bytes(write_tensors(tensors | {"tokens.vectors": table}, dtypes | {"tokens.vectors": dtype}))
    elif fault == "a tensor is missing":
        path.write_bytes(write_tensors({k: v for k, v in tensors.items() if k != "grams.weights"}, dtypes))
    else:
        config = ModelConfig(dim=8, ffn=8, layers=1, heads=2, seq=8, rope_base=10, rope_scale=1)
        path.with_suffix(".json").write_text(config.to_json(), "utf-8")
    with pytest.raises(DecodeError) as caught:
        load_model(path)
    assert caught.value.what.startswith("weights")
    assert "\n" not in caught.value.what


def test_a_header_that_claims_more_than_there_is_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    header = {"bytes.entries": {"dtype": "I8", "shape": [2**32], "data_offsets": [0, 2**32]}}
    text = json.dumps(header).encode()
    with pytest.raises(DecodeError, match="the header describes"):
        read_tensors(len(text).to_bytes(8, "little") + text, SMALL.dtypes)


def test_whole_numbers_are_written_only_as_what_they_are() -> None:
    with pytest.raises(DecodeError, match="only finite int8 is written"):
        write_tensors({"bytes.entries": np.zeros(4, np.uint8)}, SMALL.dtypes)
    with pytest.raises(DecodeError, match="only finite float32 is written"):
        write_tensors({"bytes.entries": np.zeros(4, np.int8)})
