"""Integer arithmetic and the quantiser: the vectors of the specification, and what holds beyond them."""

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from math import gcd, isqrt, lcm, log2
from typing import Any

import numpy as np
import pytest
from constants import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import load

from soma_core import fixed
from soma_core.api import fixed as face
from soma_core.errors import CorruptionError, DecodeError, EncoderError, SomaError

VECTORS = load("fixed.json")
SHARD = load("shard_rule.json")["functions"]
COORDINATES = st.integers(-32767, 32767)


def rows(dim: int, most: int = 9) -> st.SearchStrategy[list[list[int]]]:
    return st.lists(st.lists(COORDINATES, min_size=dim, max_size=dim), min_size=1, max_size=most)


@pytest.mark.parametrize("name", ["half_even", "exp2neg", "log2q", "cosq", "median", "share"])
def test_functions_of_integers(name: str) -> None:
    for *arguments, wanted in [*VECTORS[name], *SHARD.get(name, [])]:
        assert getattr(fixed, name)(*arguments) == wanted, (name, arguments)


def test_quant() -> None:
    for vector, wanted in [*VECTORS["quant"], *SHARD["quantise"]]:
        found = fixed.quant(vector)
        assert found.dtype == np.int16
        assert found.tolist() == wanted, vector


def test_geometric_median() -> None:
    for vectors, wanted in [*VECTORS["geometric_median"], *SHARD["geometric_median"]]:
        found = fixed.geometric_median(np.array(vectors))
        assert found.dtype == np.int64
        assert found.tolist() == wanted, vectors


def test_quantise() -> None:
    for vector, wanted in VECTORS["quantise"]:
        found = fixed.quantise(vector)
        assert found.dtype == np.int16
        assert found.tolist() == wanted, vector


def test_vector_bytes() -> None:
    for vector, wanted in VECTORS["vector_bytes"]:
        array = np.array(vector, np.int16)
        data = fixed.vector_bytes(array)
        assert data.hex() == wanted
        assert fixed.vector_from_bytes(data, len(vector)).tolist() == vector
        assert fixed.vector_bytes(array.astype(">i2")) == data


def test_what_is_a_vector() -> None:
    for z, dim, wanted in VECTORS["is_vector"]:
        assert fixed.is_vector(np.array(z, np.int64), dim) is wanted, (z, dim)


@pytest.mark.parametrize(("name", "arguments", "why"), VECTORS["invalid"])
def test_what_is_refused(name: str, arguments: list[Any], why: str) -> None:
    if name == "vector_from_bytes":
        arguments = [bytes.fromhex(arguments[0]), arguments[1]]
    if name == "quantise" and isinstance(arguments[0], list):
        arguments = [[float(x) if isinstance(x, str) else x for x in arguments[0]]]
    kind = {"log2q": ValueError, "vector_from_bytes": DecodeError}.get(name, EncoderError)
    with pytest.raises(kind) as refused:
        getattr(fixed, name)(*arguments)
    assert kind is ValueError or (isinstance(refused.value, SomaError) and refused.value.remedy), why


def test_table_is_the_largest_integers_below_the_powers() -> None:
    table = fixed.table()
    assert len(table) == 1024
    assert [table[int(k)] for k in SHARD["table"]] == list(SHARD["table"].values())
    assert SHARD["table_blake2b_256"] == fixed.TABLE_DIGEST
    assert list(table) == sorted(table, reverse=True)
    for k in (0, 1, 2, 255, 256, 511, 513, 700, 1022, 1023):
        assert table[k] ** 1024 <= 1 << (32768 - k) < (table[k] + 1) ** 1024


def test_table_that_miscounts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed.table.cache_clear()
    monkeypatch.setattr(fixed, "TABLE_DIGEST", "00" * 32)
    with pytest.raises(CorruptionError, match="not the rules' own; "):
        fixed.table()


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**15))
def test_half_even_is_the_nearest(n: int, d: int) -> None:
    assert fixed.half_even(n, d) == round(Fraction(n, d))


@given(st.integers(0, 40 << 16))
def test_exp2neg_is_near_and_never_rises(x: int) -> None:
    assert abs(fixed.exp2neg(x) - 2.0 ** (32 - (x >> 6) / 1024)) <= 1
    assert fixed.exp2neg(x) >= fixed.exp2neg(x + 1)


@given(st.integers(1, 1 << 80))
def test_log2q_is_within_two_units(y: int) -> None:
    assert -1e-3 <= 65536 * log2(y) - fixed.log2q(y) <= 2.001


@given(st.lists(st.integers(0, 10**20), min_size=1, max_size=12), st.integers(0, 10**18))
def test_shares_sum_to_the_total(parts: list[int], total: int) -> None:
    shares = fixed.share(parts, total)
    assert sum(shares) == total
    whole = sum(parts) or len(parts)
    exact = [Fraction(total * (part if any(parts) else 1), whole) for part in parts]
    assert all(0 <= share - int(wanted) < len(parts) for share, wanted in zip(shares, exact, strict=True))
    assert parts.index(max(parts)) in {i for i, _ in enumerate(parts) if shares[i] >= int(exact[i])}


@given(st.lists(st.integers(-(1 << 40), 1 << 40), min_size=1, max_size=20).filter(any))
def test_quant_is_the_rounded_direction(vector: list[int]) -> None:
    found = fixed.quant(vector)
    squared = sum(u * u for u in vector)
    for u, n in zip(vector, found.tolist(), strict=True):
        square = Fraction(u * u * len(vector) << 24, squared)  # of the exact coordinate
        assert n * u >= 0
        if abs(n) < 32767:
            assert max(Fraction(0), Fraction(2 * abs(n) - 1, 2)) ** 2 <= square <= Fraction(2 * abs(n) + 1, 2) ** 2
            if 4 * square == (2 * abs(n) + 1) ** 2 or (n and 4 * square == (2 * abs(n) - 1) ** 2):
                assert n % 2 == 0


@given(st.integers(1, 12).flatmap(rows))
def test_dots_are_those_of_python(vectors: list[list[int]]) -> None:
    z = np.array(vectors, np.int16)
    found = fixed.dots(z, z[::-1])
    assert found.dtype == np.int64
    assert found.tolist() == [[sum(map(int.__mul__, a, b)) for b in vectors[::-1]] for a in vectors]
    assert [fixed.squared_norm(row) for row in z] == [sum(x * x for x in row) for row in vectors]


@pytest.mark.parametrize("value", [32767, -32768])
def test_dots_are_exact_at_their_largest(value: int) -> None:
    z = np.full((3, fixed.DIMENSION_MAX), value, np.int16)
    assert fixed.dots(z, z).tolist() == [[fixed.DIMENSION_MAX * value * value] * 3] * 3
    with pytest.raises(ValueError, match="at most 8192"):
        fixed.dots(np.zeros((1, 8193), np.int16), np.zeros((1, 8193), np.int16))


def weiszfeld(vectors: list[list[int]], steps: int) -> Iterator[list[int]]:
    """Where each step of the iteration comes to, in Python's integers."""
    y = [fixed.median(list(column)) for column in zip(*vectors, strict=True)]
    for _ in range(steps):
        away = [isqrt(sum((a - b) ** 2 for a, b in zip(y, z, strict=True))) for z in vectors]
        weights = [2**32 // max(1024, r) for r in away]
        sums = [sum(map(int.__mul__, weights, column)) for column in zip(*vectors, strict=True)]
        y = [fixed.half_even(total, sum(weights)) for total in sums]
        yield y


@settings(max_examples=40, deadline=None)
@given(rows(6))
def test_geometric_median_is_that_of_python(vectors: list[list[int]]) -> None:
    *_, last = weiszfeld(vectors, 32)
    assert fixed.geometric_median(np.array(vectors, np.int16)).tolist() == last


def test_geometric_median_that_still_moves_ends_after_its_steps() -> None:
    vectors = [
        [-15743, 11605, -3910, 11316, -144],
        [-11223, -17352, 32767, -1546, -32767],
        [-12972, 13560, -10000, 27208, 20047],
        [-3046, -9444, -20096, -13999, -29462],
    ]
    steps = list(weiszfeld(vectors, 33))
    assert steps[31] != steps[32], "these vectors have come to rest: find others"
    assert fixed.geometric_median(np.array(vectors, np.int16)).tolist() == steps[31]


def exactly(x: list[float]) -> list[Fraction]:
    """Each coordinate's square as the quantiser would have it before rounding."""
    values = [Fraction(v) for v in x]
    return [v * v * len(x) * 2**24 / sum(w * w for w in values) for v in values]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=24).filter(any),
    st.integers(-900, 900),
)
def test_quantise_rounds_the_true_direction(x: list[float], shift: int) -> None:
    """Coordinates are the nearest integers to the exact ones, but for those within 1e-9 of the middle of two."""
    scaled = [float(np.ldexp(v, shift)) for v in x]
    if not any(scaled):
        return
    found = fixed.quantise(scaled).tolist()
    for value, n, square in zip(scaled, found, exactly(scaled), strict=True):
        assert n * value >= 0
        if abs(n) < 32767:
            low, high = abs(n) - Fraction(1, 2), abs(n) + Fraction(1, 2)
            slack = Fraction(1, 10**9)
            assert max(Fraction(0), low - slack) ** 2 <= square <= (high + slack) ** 2


@given(st.lists(st.integers(-(1 << 20), 1 << 20), min_size=1, max_size=16).filter(any), st.integers(-40, 40))
def test_the_two_quantisers_agree_on_integers(vector: list[int], shift: int) -> None:
    common = gcd(*vector)
    exact = fixed.quant([n // common for n in vector]).tolist()
    found = fixed.quantise([float(np.ldexp(n, shift)) for n in vector]).tolist()
    assert all(abs(a - b) <= 1 for a, b in zip(exact, found, strict=True))
    near_ties = [4 * square for square in exactly([float(n) for n in vector])]
    for a, b, four in zip(exact, found, near_ties, strict=True):
        odd = 2 * min(abs(a), abs(b)) + 1
        assert a == b or abs(four - odd * odd) < Fraction(1, 10**6)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=64).filter(lambda x: sum(map(abs, x)) > 1e-6))
def test_what_is_quantised_is_a_vector(x: list[float]) -> None:
    assert fixed.is_vector(fixed.quantise(x), len(x))


def test_quantise_gives_equal_rows_for_equal_values_of_any_float_type() -> None:
    x = np.random.default_rng(4).normal(size=128).astype(np.float32)
    wanted = fixed.quantise(x).tolist()
    assert fixed.quantise(x.astype(np.float64)).tolist() == wanted
    assert fixed.quantise(x.tolist()).tolist() == wanted
    assert fixed.quantise(np.concatenate([x, x])[::1][:128]).tolist() == wanted
    assert fixed.quantise(x[::-1]).tolist() == wanted[::-1]


def test_summing_in_any_order_comes_to_the_same() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=512) * 10.0 ** rng.integers(-8, 1, 512)
    order = rng.permutation(512)
    assert fixed.quantise(x[order]).tolist() == fixed.quantise(x)[order].tolist()


@given(st.lists(st.integers(-32768, 32767), max_size=40))
def test_bytes_and_back(vector: list[int]) -> None:
    array = np.array(vector, np.int16)
    data = fixed.vector_bytes(array)
    back = fixed.vector_from_bytes(data, len(vector))
    assert back.dtype == np.int16
    assert back.tolist() == vector
    assert back.flags.writeable
    assert len(data) == 2 * len(vector)


def test_bytes_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError):
        fixed.vector_bytes(np.array([1, 2], np.int64))


@pytest.mark.parametrize("dim", [-1, 0, 8193])
def test_no_vector_has_such_a_dimension(dim: int) -> None:
    assert not fixed.is_vector(np.full(max(dim, 0), 4096, np.int16), dim)


def test_constants_are_those_of_the_chapter() -> None:
    stated = constants("03-quantiser.md")
    assert stated == {name: getattr(fixed, name) for name in stated}
    assert {name for name in vars(fixed) if name.isupper() and not name.startswith("_")} == {
        *stated,
        "TABLE_DIGEST",
        "TYPE_CHECKING",
    }


def test_plugins_see_the_same_functions() -> None:
    assert all(getattr(face, name) is getattr(fixed, name) for name in face.__all__)
    public = {name for name, value in vars(fixed).items() if callable(value) and value.__module__ == fixed.__name__}
    assert public <= set(face.__all__)


@pytest.mark.parametrize(
    "module", ["soma_core.fixed", "soma_core.api.fixed", "soma_core.beacon", "soma_core.api.draws"]
)
def test_importing_it_imports_no_numpy(module: str) -> None:
    code = f"import sys, {module}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_denominators_stay_out_of_the_vectors() -> None:
    """The file's floats are exact: each is the shortest text of one double."""
    for vector, _ in VECTORS["quantise"]:
        assert all(lcm(1, Fraction(x).denominator).bit_count() == 1 for x in vector)
