"""What a validator computes of an encoder's claims (rule AU31, ``specs/25-audits.md``), by real weights."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import pytest
import trio
from attrs import define, evolve, field
from ledger_world import make_genesis

from soma_core import chain, fixed
from soma_core.api import Evaluation
from soma_core.chain import claims
from soma_core.crypto import ZERO_DIGEST, digest
from soma_core.errors import EncoderError, RefusedError, UnreachableError
from soma_core.genesis import Genesis
from soma_core.model import (
    ReferenceTransformer,
    bundled_anchors,
    load_weights,
    network_frame,
    read_frame,
)
from soma_core.node import checking
from soma_core.node.answering import Judged, judge
from soma_core.node.checking import Checking

WHO: Final = bytes(range(32))
DATA: Final = 12
NEVER: Final = 5
"""The place of a datum that nobody has."""


@cache
def answers(name: str, data: bytes) -> Judged:
    """What the bundled encoder `name` gives."""
    weights = load_weights(name)
    reading = _model(name).read(data)
    framed = np.asarray(read_frame(weights.frame).apply(reading.vector.astype(np.float32)))
    return judge(Evaluation(reading.vector[None], np.array([reading.bits_per_byte])), framed)


@cache
def _model(name: str) -> ReferenceTransformer:
    weights = load_weights(name)
    return ReferenceTransformer(weights.config, weights.tensors)


@define
class Engine:
    """Gives what the bundled encoder `name` gives, or raises."""

    name: str = "generalist"
    fault: Exception | None = None
    asked: list[bytes] = field(factory=list)

    async def answers(self, _item: chain.Item, data: Sequence[bytes], _seed: bytes, /) -> list[Judged]:
        await trio.lowlevel.checkpoint()
        self.asked += data
        if self.fault is not None:
            raise self.fault
        return [answers(self.name, each) for each in data]


@cache
def data() -> tuple[bytes, ...]:
    """The beginnings of anchors of every kind."""
    return tuple(item.data[:150] for item in bundled_anchors()[:: 576 // DATA])


def network(**changes: Any) -> Genesis:
    genesis = make_genesis()
    given = {"anchors": network_frame()[0], "sketches": (bytes(64),) * 16, **changes}
    return evolve(genesis, parameters=evolve(genesis.parameters, dimension=128), **given)


async def fetch(blob: bytes, _size: int) -> bytes:
    await trio.lowlevel.checkpoint()
    if blob == digest("soma/blob", data()[NEVER]):
        raise UnreachableError("none of 3 peers gave it", "ask again later")
    return next(each for each in data() if digest("soma/blob", each) == blob)


def audit_of(*aspects: str, joined: str = "text") -> chain.Audit:
    """A check of these aspects. `joined`: whose vectors the fresh data have."""
    anchors = tuple(
        chain.Anchor(
            blob=digest("soma/blob", each), size=len(each), vector=fixed.vector_bytes(answers(joined, each).vector)
        )
        for each in data()
    )
    items = tuple(
        chain.Item(member=claims.ASPECTS.index(aspect), encoder=WHO, weights=b"", frame=b"", loss=0, vector=b"")
        for aspect in aspects
    )
    return chain.Audit(
        kind="encoder",
        key=WHO,
        blob=ZERO_DIGEST,
        size=0,
        appeal=False,
        stage="sealing",
        deadline=0,
        items=items,
        panel=(),
        anchors=anchors if "frame" in aspects else (),
    )


async def test_an_aligned_encoder_is_in_the_frame_of_another_and_what_nobody_has_is_left_out() -> None:
    audit = audit_of("frame")
    (result,) = await Checking(Engine(), network(), fetch).results(audit)
    rows = np.frombuffer(result.vector, "<i2").reshape(DATA, 128)
    assert np.flatnonzero(~rows.any(1)).tolist() == [NEVER]
    assert claims.judged("frame", b"", result.vector, audit.anchors, 128) == "honest"


async def test_vectors_of_no_common_frame_are_found_out() -> None:
    audit = audit_of("frame")
    (result,) = await Checking(Engine(), network(), fetch).results(audit)
    rows = np.frombuffer(result.vector, "<i2").reshape(DATA, 128)
    turned = np.ascontiguousarray(np.roll(rows, 17, axis=1)).tobytes()
    assert claims.judged("frame", b"", turned, audit.anchors, 128) == "false"


async def test_position_and_best_anchors_are_those_that_aligning_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = bundled_anchors()[::36]
    monkeypatch.setattr(checking, "bundled_anchors", lambda: chosen)
    engine = Engine()
    place, best = await Checking(engine, network(), fetch).results(audit_of("position", "best"))
    assert engine.asked == [item.data for item in chosen]
    given = [answers("generalist", item.data) for item in chosen]
    assert best.vector == chain.best_anchors([each.loss for each in given])
    lowest = sorted(range(len(chosen)), key=lambda n: given[n].loss)[: len(chosen) // 4]
    rows = np.array([given[n].vector for n in lowest], np.float64)
    towards = (rows / np.linalg.norm(rows, axis=1)[:, None]).sum(0)
    assert place.vector == fixed.vector_bytes(fixed.quantise(towards))


async def test_a_network_of_other_anchors_is_not_checked_against_these() -> None:
    with pytest.raises(EncoderError, match="not at hand"):
        await Checking(Engine(), network(anchors=bytes(32)), fetch).results(audit_of("best"))


async def test_trouble_of_this_node_is_not_the_encoders() -> None:
    async def full(_blob: bytes, _size: int) -> bytes:
        raise RefusedError("the disk is full", "make room")

    with pytest.raises(RefusedError):
        await Checking(Engine(), network(), full).results(audit_of("frame"))
    with pytest.raises(EncoderError, match="no weights"):
        await Checking(Engine(fault=EncoderError("no weights", "")), network(), fetch).results(audit_of("frame"))
