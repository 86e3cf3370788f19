"""The rule beside its second implementation, and what holds of every settlement."""

from typing import Any

import numpy as np
import plain_rule
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shards import answers_of, jobs, settled_of

from soma_core.api import Answer, Candidate, Settlement
from soma_core.api.fixed import quantise
from soma_scoring import Params, open_rule
from soma_scoring._judgement import judge

RULE = open_rule(Params())
SLOW = settings(deadline=None, max_examples=150)


def answer(registered: int, loss: Any, vector: Any) -> Answer:
    return Answer(
        encoder=bytes(32),
        stake=10**12,
        registered=registered,
        opaque=False,
        own=True,
        gate=131072,
        loss=loss,
        vector=vector,
    )


def settle(job: dict[str, Any]) -> Settlement:
    return RULE.settle(job["pot"], answers_of(job["members"]), settled_of(job["settled"]))


@SLOW
@given(jobs())
def test_both_implementations_find_the_same(job: dict[str, Any]) -> None:
    wanted = plain_rule.settle(job["members"], job["settled"], job["pot"], job["dim"])
    found = judge(Params(), job["pot"], answers_of(job["members"]), settled_of(job["settled"]))
    assert list(found.judged) == wanted["valid"]
    assert list(found.silent) == wanted["silent"]
    assert list(found.false) == wanted["slash"]
    assert found.founder == wanted["clone_of"]
    assert found.outliers.distance == wanted["dist"]
    assert found.outliers.threshold == wanted["threshold"]
    assert list(found.outliers.flagged) == wanted["flagged"]
    assert sorted(found.outliers.out) == sorted(wanted["out"])
    assert found.scores == wanted["A"]
    assert found.gates == wanted["G"]
    assert found.differences == wanted["d"]
    assert found.factors == wanted["c"]
    assert found.weights == wanted["p"]
    assert (None if found.vector is None else found.vector.tolist()) == wanted["joined"]
    assert found.winner == wanted["winner"]
    assert found.weakest == wanted["weakest"]
    assert found.fines == wanted["fine"]


@SLOW
@given(jobs(dims=(8,)))
def test_money_and_weights_are_exact(job: dict[str, Any]) -> None:
    found = settle(job)
    size = len(job["members"])
    assert sum(payment.amount for payment in found.payments) == job["pot"]
    assert all(payment.amount >= 0 for payment in found.payments)
    taken_out = {*found.silent, *found.slashes}
    if len(taken_out) < size:
        assert sum(found.weights.values()) == 65536
        assert set(found.weights) == set(range(size)) - taken_out - set(found.out)
        assert all(weight >= 0 for weight in found.weights.values())
        if len(found.weights) >= 3:
            assert max(found.weights.values()) <= 32768
    else:
        assert found.weights == {}
    for place, amount in {**found.fines, **found.slashes}.items():
        assert 0 <= amount <= job["members"][place]["stake"]


@SLOW
@given(jobs(dims=(8,)))
def test_who_is_paid_did_what_is_paid_for(job: dict[str, Any]) -> None:
    found = settle(job)
    (payment,) = found.payments
    if found.winner is None:
        assert (payment.to, payment.reason) == ("submitter", "refund")
    else:
        assert (payment.to, payment.reason) == (found.winner, "won")
        assert found.outcome == "settled"
        assert found.winner in found.weights
        assert not job["members"][found.winner]["opaque"]
    assert (found.vector is None) == (found.outcome == "refunded")
    assert found.weakest is None or found.weakest not in (found.winner, *found.out, *found.silent)
    assert set(found.fines) == {*found.silent, *(() if found.weakest is None else (found.weakest,))}


@SLOW
@given(jobs(dims=(8,)), st.randoms(use_true_random=False))
def test_the_order_of_a_shard_decides_only_what_is_level(job: dict[str, Any], random: Any) -> None:
    """With registrations that differ, a permuted shard comes to the same but for ties of distance and of remainders."""
    members = [{**member, "reg": reg} for reg, member in enumerate(job["members"])]
    order = list(range(len(members)))
    random.shuffle(order)
    a = settle({**job, "members": members})
    b = settle({**job, "members": [members[place] for place in order]})
    assert sorted(order[place] for place in b.silent) == sorted(a.silent)
    assert {order[place] for place in b.slashes} == set(a.slashes)
    assert {order[place]: gate for place, gate in b.gates.items()} == a.gates
    assert {order[place]: fine for place, fine in b.fines.items() if place in b.silent} == {
        place: fine for place, fine in a.fines.items() if place in a.silent
    }
    distances = judge(Params(), job["pot"], answers_of(members), settled_of(job["settled"])).outliers.distance
    if len(set(distances.values())) < len(distances):
        return  # equally far outliers are taken by place
    assert {order[place] for place in b.out} == set(a.out)
    assert (None if b.winner is None else order[b.winner]) == a.winner or a.outcome != b.outcome
    moved = {order[place]: weight for place, weight in b.weights.items()}
    assert set(moved) == set(a.weights)
    assert all(abs(moved[place] - a.weights[place]) < 2 * len(members) for place in moved)


def test_without_settled_vectors_the_answers_say_the_dimension() -> None:
    rng = np.random.default_rng(5)
    rows = [quantise(rng.normal(size=n)) for n in (16, 8, 8)]
    answers = [answer(n, 1000 * n, row) for n, row in enumerate(rows)]
    found = RULE.settle(100, answers, [])
    assert found.silent == (0,)
    assert found.vector is not None
    assert found.vector.shape == (8,)


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros((2, 8), np.int16),
        np.zeros(8, np.int16),
        np.full(8, 4096, np.float64),
        np.full(8, 4096, np.complex128),
        np.ones(8, bool),
        np.array(["4096"] * 8),
        np.array([4096] * 8, object),
        np.array(4096),
        np.zeros(0, np.int16),
        np.full(8, np.iinfo(np.uint64).max, np.uint64),
        np.full(100_000, 4096, np.int16),
        [4096] * 8,
        b"\x00\x10" * 8,
        float("nan"),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}{getattr(value, 'shape', '')}",
)
def test_whatever_stands_where_a_vector_belongs_is_silence(vector: Any) -> None:
    good = answer(0, 1000, np.full(8, 4096, np.int16))
    bad = answer(1, 10, vector)
    found = RULE.settle(10**9, [bad, good], [np.full(8, 4096, np.int16)])
    assert found.silent == (0,)
    assert found.winner == 1
    assert found.fines == {0: 10**8}


@pytest.mark.parametrize("loss", [None, 1.5, float("nan"), "3", True, -1, 10**40])
def test_whatever_stands_where_a_loss_belongs_is_silence(loss: Any) -> None:
    good = answer(0, 1000, np.full(8, 4096, np.int16))
    bad = answer(1, loss, np.full(8, 4096, np.int16))
    assert RULE.settle(10**9, [good, bad], [np.full(8, 4096, np.int16)]).silent == (1,)


@given(st.binary(max_size=40), st.integers(0, 12), st.lists(st.tuples(st.integers(0, 10**18), st.integers(0, 2**18))))
def test_a_draw_is_without_replacement_and_never_of_no_weight(
    seed: bytes, size: int, pairs: list[tuple[int, int]]
) -> None:
    candidates = [Candidate(n.to_bytes(32, "big"), stake, routing) for n, (stake, routing) in enumerate(pairs)]
    drawn = RULE.draw(size, candidates, seed)
    able = [place for place, (stake, routing) in enumerate(pairs) if stake * routing]
    assert len(set(drawn)) == len(drawn) == min(size, len(able))
    assert set(drawn) <= set(able)
    turned = RULE.draw(size, candidates[::-1], seed)
    assert [len(pairs) - 1 - place for place in turned] == list(drawn)
