"""Randomness: hash chains, the beacon, draws. The vectors were made with `hashlib` alone."""

from collections import Counter
from math import isqrt, sqrt
from typing import Any

import pytest
from constants import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import load

from soma_core import beacon
from soma_core.api import draws
from soma_core.crypto import digest

VECTORS = load("beacon.json")
SEEDS = st.binary(min_size=32, max_size=32)


def unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


@pytest.mark.parametrize("chain", VECTORS["chains"], ids=lambda chain: str(chain["rounds"]))
def test_chains(chain: dict[str, Any]) -> None:
    seed = bytes.fromhex(chain["seed"])
    every = beacon.links(seed, chain["rounds"])
    kept = beacon.Chain(seed, chain["rounds"])
    assert len(every) == chain["rounds"] + 1
    assert every[0].hex() == kept.anchor.hex() == chain["anchor"]
    for round_, wanted in chain["links"].items():
        assert every[int(round_)].hex() == kept.link(int(round_)).hex() == wanted


def test_verify_link() -> None:
    for link, round_, known, known_round, rounds, wanted in VECTORS["verify_link"]:
        found = beacon.verify_link(bytes.fromhex(link), round_, bytes.fromhex(known), known_round, rounds)
        assert found is wanted, (round_, known_round, rounds)


def test_mix() -> None:
    for previous, link, wanted in VECTORS["mix"]:
        assert beacon.mix(bytes.fromhex(previous), unhex(link)).hex() == wanted


def test_draw_seed() -> None:
    for value, purpose, wanted in VECTORS["draw_seed"]:
        assert beacon.draw_seed(bytes.fromhex(value), bytes.fromhex(purpose)).hex() == wanted


def test_uniform() -> None:
    for seed, counter, bound, wanted in VECTORS["uniform"]:
        assert beacon.uniform(bytes.fromhex(seed), counter, int(bound)) == int(wanted), (counter, bound)


@pytest.mark.parametrize(("name", "arguments", "why"), VECTORS["invalid"])
def test_what_is_refused(name: str, arguments: list[Any], why: str) -> None:
    given_ = [bytes.fromhex(arguments[0]), *arguments[1:]]
    if name == "uniform":
        given_[2] = int(given_[2])
    if name == "draw_seed":
        given_[1] = bytes.fromhex(given_[1])
    with pytest.raises(ValueError, match=r"bytes|rounds|bound"):
        getattr(beacon, name)(*given_)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 300), st.data())
def test_a_kept_chain_gives_every_link(seed: bytes, rounds: int, data: st.DataObject) -> None:
    every = beacon.links(seed, rounds)
    kept = beacon.Chain(seed, rounds)
    assert [kept.link(round_) for round_ in range(1, rounds + 1)] == every[1:]
    round_ = data.draw(st.integers(1, rounds))
    known = data.draw(st.integers(0, round_ - 1))
    assert beacon.verify_link(kept.link(round_), round_, every[known], known, rounds)
    other = data.draw(st.integers(1, rounds).filter(lambda n: n != round_)) if rounds > 1 else None
    if other is not None:
        assert not beacon.verify_link(kept.link(round_), other, kept.anchor, 0, rounds)


def test_links_and_memory_of_a_kept_chain_cost_a_root(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, calls = 10_000, 0

    def counted(link: bytes, round_: int) -> bytes:
        nonlocal calls
        calls += 1
        return digest("soma/beaconlink", round_.to_bytes(8, "big"), link)

    monkeypatch.setattr(beacon, "previous_link", counted)
    chain = beacon.Chain(bytes(32), rounds)
    assert calls == rounds
    for round_ in (1, 2, 100, 101, 102, 5_000, 9_999, 10_000):
        calls = 0
        chain.link(round_)
        assert calls <= isqrt(rounds) + 1
    assert len(chain._kept) <= isqrt(rounds) + 2


def test_a_gap_costs_its_length_and_nonsense_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    every, calls = beacon.links(bytes(32), 50), 0

    def counted(link: bytes, round_: int) -> bytes:
        nonlocal calls
        calls += 1
        return digest("soma/beaconlink", round_.to_bytes(8, "big"), link)

    monkeypatch.setattr(beacon, "previous_link", counted)
    assert beacon.verify_link(every[40], 40, every[10], 10, 50)
    assert calls == 30
    assert not beacon.verify_link(every[40], 1 << 60, every[10], 10, 50)
    assert not beacon.verify_link(every[40], 1 << 60, every[10], 10, 1 << 61)
    assert not beacon.verify_link(b"short", 40, every[10], 10, 50)
    assert calls == 30


@pytest.mark.parametrize("round_", [-1, 0, 5])
def test_a_kept_chain_has_no_other_rounds(round_: int) -> None:
    with pytest.raises(ValueError, match=r"outside 1\.\.4"):
        beacon.Chain(bytes(32), 4).link(round_)


def test_a_kept_chain_says_what_is_public() -> None:
    seed = bytes(range(32))
    chain = beacon.Chain(seed, 4)
    assert chain.rounds == 4
    assert repr(chain) == f"Chain(anchor={chain.anchor.hex()[:12]}…, rounds=4)"
    assert seed.hex() not in repr(chain)


@given(st.binary(max_size=40), st.integers(0, beacon.COUNTER_MAX), st.integers(1, 1 << 300))
def test_uniform_is_below_its_bound_and_the_same_again(seed: bytes, counter: int, bound: int) -> None:
    found = beacon.uniform(seed, counter, bound)
    assert 0 <= found < bound
    assert beacon.uniform(seed, counter, bound) == found


@pytest.mark.parametrize("bound", [2, 3, 5, 7, 10])
def test_uniform_is_unbiased(bound: int) -> None:
    """Each value comes as often as it should, within five standard deviations; the seed is fixed."""
    times = 4000
    counts = Counter(beacon.uniform(b"seed", counter, bound) for counter in range(times))
    for value in range(bound):
        assert abs(counts[value] - times / bound) <= 5 * sqrt(times / bound * (1 - 1 / bound))


def test_seeds_places_and_purposes_are_independent() -> None:
    wide = 1 << 128
    places = {beacon.uniform(b"a", counter, wide) for counter in range(100)}
    others = {beacon.uniform(b"b", counter, wide) for counter in range(100)}
    assert len(places | others) == 200
    seeds = {beacon.draw_seed(bytes([n]) * 32, purpose) for n in range(5) for purpose in (b"", b"x", b"xx", bytes(16))}
    assert len(seeds) == 20


def test_no_purpose_can_be_mistaken_for_a_place_in_a_stream() -> None:
    """A purpose of the bytes that a stream hashes gives another digest than the stream's."""
    seed = bytes(32)
    block = beacon.uniform(seed, 0, 1 << 256).to_bytes(32, "big")
    assert beacon.draw_seed(seed, bytes(16)) != block
    assert beacon.draw_seed(b"\x01" + bytes(31), bytes(17)) != block


def test_constants_are_those_of_the_chapter() -> None:
    assert constants("04-beacon.md") == {"ROUNDS_MAX": beacon.ROUNDS_MAX, "COUNTER_MAX": beacon.COUNTER_MAX}


def test_plugins_see_the_same_functions() -> None:
    assert all(getattr(draws, name) is getattr(beacon, name) for name in draws.__all__)
