import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import load

from soma_core.errors import DecodeError
from soma_core.model import (
    BYTES,
    EOS,
    FIRST_BYTE_BITS,
    LAYER_NORM_EPSILON,
    MAX_CHUNKS,
    MAX_ITEM,
    MAX_LOSS,
    PAD,
    VOCABULARY,
    ModelConfig,
    chunks,
    rows,
)


def test_constants_are_those_of_the_spec():
    assert load("model.json")["constants"] == {
        "PAD": PAD,
        "EOS": EOS,
        "VOCABULARY": VOCABULARY,
        "FIRST_BYTE_BITS": FIRST_BYTE_BITS,
        "MAX_CHUNKS": MAX_CHUNKS,
        "MAX_LOSS": MAX_LOSS,
        "MAX_ITEM": MAX_ITEM,
        "LAYER_NORM_EPSILON": LAYER_NORM_EPSILON,
    }


@pytest.mark.parametrize("case", load("model.json")["chunks"], ids=lambda c: f"{len(c['data']) // 2}-{c['max_chunks']}")
def test_chunks_are_cut_and_chosen_as_the_vectors_say(case):
    found = chunks(bytes.fromhex(case["data"]), case["seq"], case["max_chunks"])
    assert [piece.hex() for piece in found] == case["chunks"]


@pytest.mark.parametrize("case", load("model.json")["rows"], ids=lambda c: "+".join(c["chunks"]))
def test_rows_are_filled_as_the_vectors_say(case):
    found = rows([bytes.fromhex(piece) for piece in case["chunks"]], case["seq"])
    assert found.ids.tolist() == case["ids"]
    assert found.targets.tolist() == case["targets"]
    assert found.lengths.tolist() == case["lengths"]


@given(st.binary(min_size=1, max_size=300), st.integers(2, 20), st.integers(1, 12))
def test_chunks_are_pieces_of_the_data_evenly_spaced(data, seq, most):
    found = chunks(data, seq, most)
    count = -(-len(data) // seq)
    assert len(found) == min(count, most)
    assert found[0] == data[:seq]
    if count <= most:
        assert b"".join(found) == data
    elif most > 1:
        assert found[-1] == data[(count - 1) * seq :]


@given(st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=5))
def test_every_byte_but_the_first_is_a_target_once(pieces):
    made = rows(pieces, 6)
    charged = made.targets < BYTES
    assert charged.sum() == sum(len(piece) - 1 for piece in pieces)
    assert (made.ids < BYTES).sum() == sum(map(len, pieces))
    assert ((made.ids == EOS).sum(1) == (made.lengths < 6)).all()


def test_empty_data_and_wrong_chunks_are_refused():
    with pytest.raises(ValueError, match="empty"):
        chunks(b"", 4)
    with pytest.raises(ValueError, match="a chunk of 5 bytes; it must have 1 to 4"):
        rows([b"abcde"], 4)
    with pytest.raises(ValueError, match="a chunk of 0 bytes"):
        rows([b""], 4)


def test_an_item_too_large_is_refused_before_it_is_cut():
    class Huge(bytes):
        def __len__(self):
            return MAX_ITEM + 1

    with pytest.raises(ValueError, match="more than the"):
        chunks(Huge(b"x"), 4)


@pytest.mark.parametrize("case", load("model.json")["invalid_configs"], ids=lambda c: c["why"])
def test_invalid_configs_are_refused(case):
    import json

    with pytest.raises(DecodeError, match="model config"):
        ModelConfig.from_json(json.dumps(case["config"]))


def test_a_config_survives_its_json():
    config = ModelConfig(dim=8, ffn=12, layers=2, heads=2, seq=8, rope_base=10000, rope_scale=1)
    assert ModelConfig.from_json(config.to_json()) == config
    assert len(config.shapes()) == 16 * config.layers + 5
    assert list(config.shapes()) == sorted(config.shapes())
    with pytest.raises(DecodeError, match="not JSON"):
        ModelConfig.from_json("{")
    with pytest.raises(DecodeError, match="exactly"):
        ModelConfig.from_json("[]")
    for text, why in (
        (config.to_json().replace('"dim": 8', '"dim": 4, "dim": 8'), "a name stands twice"),
        (config.to_json().encode("utf-16"), "not JSON"),
        ('{"dim":' * 5 + "0" + "}" * 5, "nested more than 4 deep"),
        ('{"dim":' + "[" * 5_000, "nested too deep"),
        ('{"dim": NaN}', "NaN is no number"),
        ('{"\\ud800": 0}', "surrogates not allowed"),
    ):
        with pytest.raises(DecodeError, match=why):
            ModelConfig.from_json(text)


def test_the_published_network_has_the_published_number_of_parameters():
    from math import prod

    big = ModelConfig(dim=2048, ffn=8192, layers=24, heads=8, seq=1024, rope_base=10000, rope_scale=1)
    assert sum(prod(shape) for shape in big.shapes().values()) == 1_209_684_232
    assert len(big.shapes()) == 389


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("final_norm.beta"), "1 tensors are missing, first final_norm.beta"),
        (lambda s: s.update(extra=(1,)), "1 tensors are unknown, first extra"),
        (lambda s: s.update({"predictor.bias": (263,)}), r"predictor.bias has shape \[263\], not \[264\]"),
    ],
)
def test_tensors_must_be_those_of_the_config(change, message):
    config = ModelConfig(dim=8, ffn=12, layers=1, heads=2, seq=8, rope_base=10000, rope_scale=1)
    shapes = config.shapes()
    change(shapes)
    with pytest.raises(DecodeError, match=message):
        config.check(shapes)
