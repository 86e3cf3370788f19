import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import load

from soma_core.errors import DecodeError, EncoderError
from soma_core.fixed import quantise
from soma_core.model import Item, agreement, fit_frame, read_frame, read_pack, store, unit, whiten, write_pack
from soma_core.model import _frame as frame_module

FRAME = load("frame.json")
WEIGHTS = bytes(range(32))


def test_constants_are_those_of_the_spec():
    assert FRAME["constants"] == {name: getattr(frame_module, name) for name in FRAME["constants"]}


@pytest.mark.parametrize("case", FRAME["apply"], ids=["square", "longer", "shorter"])
def test_stored_maps_give_the_vectors(case):
    encoded = bytes.fromhex(case["encoded"])
    found = read_frame(encoded, bytes.fromhex(case["weights"]))
    assert found.encoded() == encoded
    assert found.digest().hex() == case["digest"]
    assert found.exponent == case["exponent"]
    assert [quantise(found.apply(x)).tolist() for x in case["raw"]] == case["vectors"]
    assert np.array_equal(found.apply(case["raw"]), np.stack([found.apply(x) for x in case["raw"]]))


@pytest.mark.parametrize("case", FRAME["invalid"], ids=lambda c: c["why"])
def test_invalid_maps_are_refused(case):
    with pytest.raises(DecodeError):
        read_frame(bytes.fromhex(case["encoded"]))


@pytest.mark.parametrize("case", FRAME["fits"], ids=["square", "longer", "shorter"])
def test_fits_give_the_vectors(case):
    found = fit_frame(WEIGHTS, case["anchors"], case["reference"])
    images = np.stack([quantise(found.apply(x)) for x in case["probe"]])
    assert np.abs(images.astype(int) - case["vectors"]).max() <= 1
    assert read_frame(found.encoded(), WEIGHTS).digest() == found.digest()


@pytest.mark.parametrize("case", FRAME["exponents"], ids=lambda c: str(c["largest"]))
def test_the_exponent_is_the_largest_that_fits(case):
    top = case["largest"]
    found = store(WEIGHTS, np.array([top, -top / 3]), np.eye(2))
    assert found.exponent == case["exponent"]
    assert top * 2.0**found.exponent <= 2**30 < top * 2.0 ** (found.exponent + 1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 7), st.floats(1e-6, 1e6), st.floats(-100, 100))
def test_a_map_undoes_turning_scaling_and_shifting(seed, dim, scale, shift):
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(60, dim))
    turn, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    mean, white = whiten(reference)
    target = unit((reference - mean) @ white)
    found = fit_frame(WEIGHTS, (reference @ turn + shift) * scale, target)
    assert read_frame(found.encoded()).encoded() == found.encoded()
    assert np.abs(unit(found.apply((reference @ turn + shift) * scale)) - target).max() < 1e-3


def test_maps_make_strangers_comparable_and_raw_vectors_are_not():
    rng = np.random.default_rng(3)
    hidden = rng.normal(size=(400, 6))
    one = np.tanh(hidden @ rng.normal(size=(6, 10))) + 4
    other = np.tanh(hidden @ rng.normal(size=(6, 8))) - 2
    reference = unit(hidden[:300])
    a, b = (fit_frame(WEIGHTS, x[:300], reference).apply(x[300:]) for x in (one, other))
    assert agreement(a, b).holds
    assert not agreement(a, np.roll(b, 1, axis=0)).holds
    assert not agreement(one[300:, :8], other[300:]).holds


def test_degenerate_outputs_have_no_frame():
    same = np.ones((20, 4))
    with pytest.raises(EncoderError, match="every anchor the same vector"):
        fit_frame(WEIGHTS, same, same)
    with pytest.raises(EncoderError, match="not a finite table"):
        fit_frame(WEIGHTS, same * np.nan, same)
    with pytest.raises(EncoderError, match="use the same anchors"):
        fit_frame(WEIGHTS, same, same[1:])
    with pytest.raises(EncoderError, match="finite and not zero"):
        store(WEIGHTS, np.zeros(3), np.zeros((3, 3)))
    with pytest.raises(EncoderError, match="out of range"):
        store(WEIGHTS, np.full(3, 1e-200), np.eye(3))


def test_wrong_raw_vectors_are_refused():
    found = store(WEIGHTS, np.zeros(3), np.eye(3))
    with pytest.raises(EncoderError, match="where 3 numbers belong"):
        found.apply([1.0, 2.0])
    with pytest.raises(EncoderError, match="NaN or infinity"):
        found.apply([1.0, np.inf, 0.0])
    assert found.apply(np.empty((0, 3))).shape == (0, 3)
    with pytest.raises(EncoderError, match="cannot agree"):
        agreement(np.ones((2, 3)), np.ones((3, 3)))


@pytest.mark.parametrize("case", FRAME["packs"]["valid"])
def test_packs_are_read_and_written(case):
    data = bytes.fromhex(case["pack"])
    items = read_pack(data)
    assert [[item.kind, item.name, item.data.hex()] for item in items] == case["items"]
    assert write_pack(items) == data


@pytest.mark.parametrize("case", FRAME["packs"]["invalid"], ids=lambda c: c["why"])
def test_invalid_packs_are_refused(case):
    with pytest.raises(DecodeError):
        read_pack(bytes.fromhex(case["pack"]))


@given(
    st.lists(st.builds(Item, st.text(max_size=5), st.text(max_size=5), st.binary(min_size=1, max_size=40)), max_size=5)
)
def test_packs_return_what_went_in(items):
    assert list(read_pack(write_pack(items))) == items
