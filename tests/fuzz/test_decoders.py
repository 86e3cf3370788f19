"""No input makes a decoder raise anything but its refusal, and what it accepts is written as it was read.

The corpus is what `nox -s fuzz` found worth keeping, every input that ever was a fault included (``crash-…``). What is
changed of it here is chosen by Hypothesis, the same every time.
"""

from random import Random

import pytest
from coverage_guided import BYTES_MOST, CORPUS, FILES_MOST, corpus_of
from decoder import Decoder
from decoders import DECODERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutate

every_decoder = pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)


@every_decoder
def test_what_is_right_is_accepted(decoder: Decoder) -> None:
    seeds = decoder.seeds()
    assert seeds
    for seed in seeds:
        assert decoder(seed), seed


@every_decoder
def test_the_corpus(decoder: Decoder) -> None:
    kept = dict(corpus_of(decoder.name))
    assert kept, f"nothing is kept for {decoder.name}: run nox -s fuzz -- {decoder.name}"
    for data in kept.values():
        decoder(data)


@every_decoder
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_nearly_right(decoder: Decoder, data: st.DataObject) -> None:
    seeds = decoder.seeds()
    known = [*seeds, *(one for _, one in corpus_of(decoder.name))]
    one = data.draw(st.sampled_from(known))
    random = Random(data.draw(st.integers(0, 2**32)))
    for _ in range(4):
        one = mutate(one, random, seeds)[: decoder.most]
        decoder(one)


@every_decoder
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=80))
def test_what_is_not_right_at_all(decoder: Decoder, data: bytes) -> None:
    decoder(data)


def test_the_corpus_is_small_and_somebodys() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(DECODERS)
    for name in DECODERS:
        found = [data for file, data in corpus_of(name) if not file.startswith("crash-")]
        assert len(found) <= FILES_MOST
        assert sum(map(len, found)) <= BYTES_MOST
