"""UIDs are those of the serial definitions, wherever they are drawn from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_symbols.tokens import _uids
from soma_symbols.tokens._uids import FACTOR, GOLDEN, WORD, CompatChain, StandardChain

SEEDS = st.integers(0, WORD) | st.sampled_from([0, 1, WORD])


def serial(seed: int, count: int, *, faulty: bool) -> list[int]:
    """xorshift64*, one draw after the other; `faulty`: the output replaces the state."""
    state, drawn = seed or GOLDEN, []
    for _ in range(count):
        state ^= state >> 12
        state ^= state << 25 & WORD
        state ^= state >> 27
        drawn.append(state * FACTOR & WORD)
        if faulty:
            state = drawn[-1]
    return drawn


def test_first_draws_are_the_published_ones() -> None:
    assert StandardChain(1).draw(2).tolist() == [5180492295206395165, 12380297144915551517]
    assert CompatChain(1).draw(0, 2, None).tolist() == [5180492295206395165, 2586950713725923525]


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.lists(st.integers(0, 700), max_size=4))
def test_standard_draws_are_the_serial_ones(seed: int, counts: list[int]) -> None:
    chain = StandardChain(seed)
    drawn = np.concatenate([np.empty(0, np.uint64), *map(chain.draw, counts)])
    assert drawn.tolist() == serial(seed, sum(counts), faulty=False)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 3000), st.integers(0, 300))
def test_a_standard_chain_begins_anywhere(seed: int, first: int, count: int) -> None:
    assert StandardChain(seed, first).draw(count).tolist() == serial(seed, first + count, faulty=False)[first:]


def test_far_jumps_add_up() -> None:
    far = 1 << 40
    one, other = StandardChain(7, far), StandardChain(7, far - 1000)
    assert np.array_equal(one.draw(50), other.draw(1050)[1000:])


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_compat_draws_are_the_serial_ones_also_beyond_what_is_kept(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_uids, "KEPT", kept)
    expected = serial(12345, 900, faulty=True)
    chain = CompatChain(12345)
    for _ in range(2):
        before = None
        for first, count in ((0, 40), (40, 0), (40, 100), (140, 760)):
            drawn = chain.draw(first, count, before)
            assert drawn.tolist() == expected[first : first + count]
            before = int(drawn[-1]) if count else before
