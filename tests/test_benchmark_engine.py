"""What the benchmark of the engine feeds, counts and compares."""

import pytest
from benchmarks import engine, engine_log
from benchmarks.harness import Taken

from soma_core.api import Signed, Verified, Verify
from soma_core.crypto import verify


@pytest.fixture(scope="module")
def log() -> engine_log.Log:
    return engine_log.record(4, 12, seed=3)


def retold(log: engine_log.Log) -> engine.DagEngine:
    one = engine.DagEngine(engine_log.CONFIG, engine_log.PARAMS, log.setup)
    for event, now in log.events:
        one.step(event, now)
    return one


def test_a_log_makes_a_fresh_engine_accept_and_order_every_block(log: engine_log.Log) -> None:
    one = retold(log)
    came = {block.ref for blocks in log.arrivals for block in blocks}
    assert engine.accepted(one) == len(came) >= 4 * 11
    assert one._parts.ordering.index >= 8


def test_blocks_of_a_log_bear_real_signatures_of_their_authors(log: engine_log.Log) -> None:
    for block in (block for blocks in log.arrivals for block in blocks):
        assert verify(log.setup.committee[block.author].key, block.ref[2], block.signature)
    one = engine.DagEngine(engine_log.CONFIG, engine_log.PARAMS, log.setup)
    asked = [a for event, now in log.events for a in one.step(event, now) if isinstance(a, Verify)]
    assert asked
    assert all(verify(*signature) for question in asked for signature in question.signatures)


def test_arrivals_stand_beside_the_event_that_brought_them(log: engine_log.Log) -> None:
    assert len(log.arrivals) == len(log.events)
    for (event, _), blocks in zip(log.events, log.arrivals, strict=True):
        assert not blocks or isinstance(event, Verified | Signed)
        assert isinstance(event, Signed) == any(block.author == engine_log.ME for block in blocks)


def test_the_core_alone_comes_to_the_same_order(log: engine_log.Log) -> None:
    whole = retold(log)
    parts = engine.DagEngine(engine_log.CONFIG, engine_log.PARAMS, log.setup)._parts
    engine.decide(parts, log)
    assert parts.ordering.digest == whole._parts.ordering.digest
    assert parts.dag.added == engine.accepted(whole)
    assert parts.clock.round == whole._parts.clock.round
    assert engine.core(log) > 0


def test_every_block_but_the_own_ones_is_verified_once(log: engine_log.Log, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[bytes] = []

    def noted(key: bytes, name: bytes, signature: bytes) -> bool:
        names.append(name)
        return verify(key, name, signature)

    monkeypatch.setattr("soma_core.node._checker.verify", noted)
    assert engine.signed(log) > 0
    others = {block.ref[2] for blocks in log.arrivals for block in blocks if block.author != engine_log.ME}
    assert len(names) == len(set(names))
    assert others <= set(names)


def test_a_signature_that_does_not_hold_ends_the_run(log: engine_log.Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soma_core.node._checker.verify", lambda *_: False)
    with pytest.raises(ExceptionGroup):
        engine.signed(log)


def test_what_is_required_is_held_against_what_was_measured() -> None:
    names = ("engine", "core", "signed", "verify")
    taken = Taken(
        {f"{name} 4": [speed] * 3 for name, speed in zip(names, (10_000, 40_000, 6_000, 40_000), strict=True)}
    )
    whole, core, both = engine.rows_of(taken, 4, 20_000)
    assert (whole.ratio, whole.least) == (0.5, None)
    assert (core.ratio, core.missed) == (2.0, False)
    assert (both.ratio, both.missed) == (pytest.approx(6_000 / 8_000), False)
    assert "= 8,000" in both.against
    _, core, both = engine.rows_of(taken, 4, 50_000)
    assert (core.ratio, core.missed) == (0.8, True)
    taken.values["signed 4"][:] = [4_000] * 3
    *_, both = engine.rows_of(taken, 4, 20_000)
    assert (both.ratio, both.missed) == (0.5, True)


def test_logs_outlast_what_an_engine_keeps() -> None:
    assert all(rounds > engine_log.PARAMS.gc_depth for _, rounds, _ in engine.COMMITTEES)
    assert engine.bound(10, 10) == 5
