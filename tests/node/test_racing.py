"""What a node says of the race: open targets in pages, hits and where they stand, scores of its own encoders."""

from typing import Any

import numpy as np
import pytest
import trio
from committee_world import Committee, address
from race_world import HUNTER, RIVAL, blob, claim, far, hit, hunting, judged, open_targets, parts, seal, show, turn

from soma_core import chain, fixed
from soma_core.api import control, racing
from soma_core.errors import EncoderError, RefusedError
from soma_core.net import manifest_of
from soma_core.node.answering import Judged
from soma_core.node.racing import OwnEncoder, Racing
from soma_core.node.submitting import Outcome


class Here:
    """A store whose state a test's world is, and the thread it is read in."""

    def __init__(self, world: Committee) -> None:
        self._world = world
        self.genesis = world.genesis

    @property
    def tip(self) -> Any:
        return self._world.tip

    def read(self, look: Any) -> Any:
        return look(self._world.state)

    async def run(self, work: Any, *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)


class Encoder:
    """Gives one vector for all."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.seeds: list[bytes] = []

    async def answer(self, _data: bytes, seed: bytes, /) -> Judged:
        await trio.lowlevel.checkpoint()
        self.seeds.append(seed)
        if self.fault is not None:
            raise self.fault
        return Judged(fixed.vector_from_bytes(VECTOR, 8), 77)


class Outbox:
    """Takes submissions, and says that they hit."""

    def __init__(self) -> None:
        self.taken: list[tuple[object, ...]] = []

    async def submit(self, *submission: object) -> tuple[bytes, Outcome]:
        await trio.lowlevel.checkpoint()
        self.taken.append(submission)
        return bytes(32), Outcome("hit")


VECTOR = fixed.vector_bytes(fixed.quantise(np.arange(8.0)))
OWN, OTHER = bytes([9]) * 32, bytes([8]) * 32


class Room:
    """The answers about a world. `address`: of own encoders."""

    address = OWN

    def __init__(self, world: Committee, *encoders: Encoder) -> None:
        here: Any = Here(world)
        outbox: Any = Outbox()
        self.outbox = outbox
        own = tuple(OwnEncoder(self.address, encoder) for encoder in encoders)

        async def borrow() -> tuple[OwnEncoder, ...]:
            await trio.lowlevel.checkpoint()
            if self.borrowed is None:
                raise RefusedError("no assigned encoder can be borrowed: no target is open", "ask again")
            return (OwnEncoder(OTHER, self.borrowed),)

        self.borrowed: Encoder | None = None
        self.others: dict[bytes, Judged] = {}
        self.compared: list[bytes] = []

        async def compare(assigned: chain.Assigned, _data: bytes, _seed: bytes) -> Judged:
            await trio.lowlevel.checkpoint()
            self.compared.append(assigned.encoder)
            if assigned.encoder not in self.others:
                raise EncoderError("its weights are offered nowhere", "wait")
            return self.others[assigned.encoder]

        self.answerers = Racing(here, here, address(HUNTER), lambda: own, borrow, compare, outbox).answerers()

    async def ask(self, operation: Any, request: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        replied = await self.answerers[operation.name](request, payload)
        return replied.record, replied.payload


async def test_open_targets_come_in_pages_with_their_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "TARGETS_MOST", 2)
    world = hunting()
    room, given = Room(world), open_targets(world)
    assert len(given) == 3
    found: dict[int, bytes] = {}
    first: int | None = 0
    while first is not None:
        reply, points = await room.ask(control.TARGETS, racing.AskTargets(first=first))
        size = 2 * reply.dimension
        found |= {t.number: points[place * size : (place + 1) * size] for place, t in enumerate(reply.targets)}
        first = reply.next
        for target in reply.targets:
            known = given[target.number]
            assert (target.radius, target.loss, target.reward) == (known.radius, known.loss, known.reward)
            assert target.encoders == tuple(assigned.encoder for assigned in known.encoders)
    assert found == {number: target.point for number, target in given.items()}
    race = world.state.need(chain.RACE)
    assert (reply.pool, reply.reward, reply.goal, reply.epoch) == (race.pool, race.reward, 10, world.tip.epoch)


async def test_targets_of_an_epoch_that_has_ended_are_not_sought_any_more() -> None:
    world = hunting(target_show_ms=10**9)
    world.step(seal(world, HUNTER, parts(world, 0)))
    turn(world)
    reply, _ = await Room(world).ask(control.TARGETS, racing.AskTargets())
    assert chain.target_key(0) in {key for key, _ in world.state.scan(chain.TARGETS)}, "it waits for what is sealed"
    assert 0 not in {target.number for target in reply.targets}


async def test_a_network_without_a_race_has_none() -> None:
    world = Committee()
    reply, points = await Room(world).ask(control.TARGETS, racing.AskTargets())
    assert (reply.targets, reply.next, reply.reward, points) == ((), None, 0, b"")


async def test_a_hit_is_audited_then_claimable_then_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = hunting()
    shown = hit(world)
    room = Room(world)
    (one,) = (await room.ask(control.HITS, control.Empty()))[0].hits
    assert (one.number, one.submitter, one.blob, one.state) == (0, address(HUNTER), shown["blob"], "audited")
    judged(world, 0, shown["loss"], shown["vector"])
    (one,) = (await room.ask(control.HITS, control.Empty()))[0].hits
    assert one.state == "audited", "it may still be disputed"
    world.step(after=world.genesis.parameters.audit_ms)
    (one,) = (await room.ask(control.HITS, control.Empty()))[0].hits
    assert one.state == "claimable"
    world.step(claim(world, HUNTER, 0))
    reply, _ = await room.ask(control.HITS, control.Empty())
    assert (reply.hits, reply.account) == ((), address(HUNTER))
    monkeypatch.setattr(racing, "HITS_MOST", 0)
    hit(world, target=1, blob=bytes([3]) * 32)
    assert (await room.ask(control.HITS, control.Empty()))[0].hits == ()


async def test_data_are_scored_by_every_own_encoder_by_themselves() -> None:
    encoder = Encoder()
    reply, _ = await Room(hunting(), encoder).ask(control.SCORE, racing.AskScores(), b"data")
    assert reply.scores == (racing.Score(encoder=OWN, loss=77, vector=VECTOR),)
    assert encoder.seeds == [manifest_of(b"data").digest]


async def test_who_has_no_encoder_borrows_one_and_an_encoders_trouble_is_told() -> None:
    world = hunting()
    room = Room(world)
    with pytest.raises(RefusedError, match="no target is open"):
        await room.ask(control.SCORE, racing.AskScores(), b"data")
    room.borrowed = Encoder()
    reply, _ = await room.ask(control.SCORE, racing.AskScores(), b"data")
    assert [score.encoder for score in reply.scores] == [OTHER]
    with pytest.raises(EncoderError, match="stuck"):
        await Room(world, Encoder(EncoderError("stuck", "wait"))).ask(control.SCORE, racing.AskScores(), b"data")


async def test_for_a_target_every_assigned_encoder_is_asked_that_can_be_had() -> None:
    """Its own, and others' where they are to be had: an audit looks at them, too."""
    world = hunting(target_encoders=3)
    assigned = [each.encoder for each in open_targets(world)[0].encoders]

    class Home(Room):
        address = assigned[1]

    room = Home(world, Encoder())
    room.others[assigned[2]] = Judged(fixed.vector_from_bytes(VECTOR, 8), 5)
    reply, _ = await room.ask(control.SCORE, racing.AskScores(target=0), b"data")
    assert {score.encoder: score.loss for score in reply.scores} == {assigned[1]: 77, assigned[2]: 5}
    assert sorted(room.compared) == sorted([assigned[0], assigned[2]])
    assert (await room.ask(control.SCORE, racing.AskScores(target=99), b"data"))[0].scores == ()


async def test_who_waits_for_the_audit_of_anothers_hit_sees_where_it_stands() -> None:
    world = hunting()
    first, second, own = (parts(world, 0, blob=blob(number)) for number in range(3))
    world.step(seal(world, RIVAL, first), seal(world, 5, second), seal(world, HUNTER, own))
    room = Room(world)
    assert (await room.ask(control.HITS, control.Empty()))[0].waiting == (), "nobody has hit it yet"
    world.step(show(world, RIVAL, first), show(world, HUNTER, own))
    reply, _ = await room.ask(control.HITS, control.Empty())
    assert [(hit.number, hit.rivals) for hit in reply.hits] == [(0, 2)]
    (waiting,) = reply.waiting
    assert (waiting.number, waiting.state, waiting.before) == (0, "shown", 1)
    assert waiting.bond == world.state.need(chain.HITS, chain.target_key(0)).bond
    judged(world, 0, 1 << 16, far(open_targets(world)[1]))
    world.step()
    reply, _ = await room.ask(control.HITS, control.Empty())
    assert (reply.hits, len(reply.waiting)) == ((), 1), "it waits for who sealed before it"
    targets, _ = await room.ask(control.TARGETS, racing.AskTargets())
    assert 0 not in {target.number for target in targets.targets}, "nobody can join them"


@pytest.mark.parametrize("size", [0, 101])
async def test_data_that_no_submission_may_have_are_refused(size: int) -> None:
    world = hunting(target_bytes=100)
    room = Room(world, Encoder())
    asked = racing.Submit(target=0, encoder=OWN, loss=0, vector=VECTOR)
    for operation, request in ((control.SCORE, racing.AskScores()), (control.SUBMIT, asked)):
        with pytest.raises(RefusedError, match=f"{size} bytes"):
            await room.ask(operation, request, bytes(size))
    assert room.outbox.taken == []


async def test_a_submission_is_handed_on_as_it_is() -> None:
    room = Room(hunting())
    asked = racing.Submit(target=2, encoder=OWN, loss=5, vector=VECTOR)
    reply, _ = await room.ask(control.SUBMIT, asked, b"data")
    assert reply.outcome == "hit"
    assert room.outbox.taken == [(2, OWN, 5, VECTOR, b"data")]
