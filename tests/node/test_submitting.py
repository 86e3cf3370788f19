"""What an account's node does in the race: stored, sealed, shown; with rivals, refusals, and after a stop."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field
from committee_world import Committee, address
from race_world import (
    HUNTER,
    RIVAL,
    blob,
    far,
    hunting,
    judged,
    near,
    open_targets,
    parts,
    seal,
    show,
    submissions,
    turn,
)

from soma_core import chain
from soma_core.errors import RefusedError, UnreachableError
from soma_core.net import BlobStore
from soma_core.node.events import Hub
from soma_core.node.submitting import Outcome, Submitting

DATA = b"data that somebody has found"
LOSS = 1 << 16


class Here:
    """A store whose state a test's world is, and the thread it is read in."""

    def __init__(self, world: Committee) -> None:
        self._world = world

    def read(self, look: Callable[[chain.State], Any]) -> Any:
        return look(self._world.state)

    async def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)


@define
class Purse:
    """A wallet whose transactions the world orders at once. `faults`: raised before that, one each; `on_send`: told."""

    world: Committee
    hub: Hub
    number: int = HUNTER
    sent: list[str] = field(factory=list)
    faults: list[Exception] = field(factory=list)
    on_send: Callable[[str], None] = lambda _kind: None

    @property
    def address(self) -> bytes:
        return address(self.number)

    async def send(self, kind: str, action: Any) -> chain.TransactionDone:
        await trio.lowlevel.checkpoint()
        self.on_send(kind)
        if self.faults:
            raise self.faults.pop(0)
        self.sent.append(kind)
        applied = self.world.step(self.world.transaction(self.number, kind, action))
        self.hub.wake()
        ((_, code),) = self.world.outcomes(applied)
        return chain.TransactionDone(bytes(32), "failed" if code else "applied", code, f"because of {code}")


class Seat:
    """The node of `HUNTER` in a world of targets."""

    def __init__(self, world: Committee, root: Path) -> None:
        self.world, self.hub = world, Hub()
        self.purse = Purse(world, self.hub)
        self.directory = root / "submissions"
        self.directory.mkdir(exist_ok=True)
        self.blobs = BlobStore(root / "blobs")
        here: Any = Here(world)
        purse: Any = self.purse
        self.submitting = Submitting(purse, here, here, self.hub, self.blobs, self.directory)

    async def submit(self, target: int = 0, vector: bytes | None = None) -> Outcome:
        given = open_targets(self.world)[target]
        found = near(given) if vector is None else vector
        return (await self.submitting.submit(target, given.encoders[0].encoder, LOSS, found, DATA))[1]

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())


@pytest.fixture
def seat(tmp_path: Path) -> Seat:
    (tmp_path / "blobs").mkdir()
    return Seat(hunting(), tmp_path)


async def test_data_are_offered_sealed_and_shown_and_hit(seat: Seat) -> None:
    assert await seat.submit() == Outcome("hit")
    assert seat.purse.sent == ["seal_submission", "show_submission"]
    hit = seat.world.state.need(chain.HITS, chain.target_key(0))
    assert (hit.submitter, hit.size, hit.loss) == (seat.purse.address, len(DATA), LOSS)
    assert seat.blobs.get(hit.blob) == DATA
    assert seat.kept == []


async def test_what_will_be_shown_is_on_disk_and_offered_before_the_seal_leaves(seat: Seat) -> None:
    found: list[tuple[str, list[str]]] = []
    seat.purse.on_send = lambda kind: found.append((kind, seat.kept))
    await seat.submit()
    assert found == [("seal_submission", ["0"]), ("show_submission", ["0"])]


@pytest.mark.parametrize("stopped", ["seal_submission", "show_submission"])
async def test_a_node_that_stops_in_between_loses_no_bond(seat: Seat, tmp_path: Path, stopped: str) -> None:
    """It ends before the seal is ordered, or after."""

    def stop(kind: str) -> None:
        if kind == stopped:
            raise KeyboardInterrupt

    seat.purse.on_send = stop
    with pytest.raises(KeyboardInterrupt):
        await seat.submit()
    assert seat.kept == ["0"]
    again = Seat(seat.world, tmp_path)
    await again.submitting.run()
    assert seat.world.state.need(chain.HITS, chain.target_key(0)).submitter == again.purse.address
    assert again.purse.sent == ["seal_submission", "show_submission"][stopped == "show_submission" :]
    assert again.kept == []


async def test_a_seal_that_is_on_the_chain_though_nobody_said_so_is_not_sealed_again(
    seat: Seat, autojump_clock: trio.testing.MockClock
) -> None:
    """A wallet that gave up waiting, or a node that is behind: the chain says that there is one."""
    sealed: list[Any] = []

    async def unheard(kind: str, action: Any) -> chain.TransactionDone:
        done = await Purse.send(seat.purse, kind, action)
        sealed.append(kind)
        if len(sealed) == 1:
            raise UnreachableError("it was not ordered within 60 s", "ask again")
        return done

    seat.submitting._wallet = type("Deaf", (), {"address": seat.purse.address, "send": staticmethod(unheard)})()
    assert await seat.submit() == Outcome("hit")
    assert sealed == ["seal_submission", "show_submission"]


async def test_who_is_not_heard_tries_again(seat: Seat, autojump_clock: trio.testing.MockClock) -> None:
    seat.purse.faults = [
        UnreachableError("no validator is connected", "wait"),
        RefusedError("the pool is full", "wait"),
    ]
    assert await seat.submit() == Outcome("hit")


async def test_a_refusal_of_the_chain_ends_it_and_costs_part_of_the_bond(seat: Seat) -> None:
    before = chain.account_of(seat.world.state, seat.purse.address).balance
    outcome = await seat.submit(vector=far(open_targets(seat.world)[0]))
    assert (outcome.word, outcome.text) == ("refused", "because of distance")
    assert seat.kept == []
    seat.world.step(after=seat.world.genesis.parameters.target_show_ms + 1)
    assert submissions(seat.world) == {}
    fees = 2 * seat.world.genesis.parameters.fee
    assert chain.account_of(seat.world.state, seat.purse.address).balance < before - fees


async def test_a_target_that_is_closed_is_lost_without_a_seal(seat: Seat) -> None:
    given = open_targets(seat.world)[0]
    turn(seat.world)
    _, outcome = await seat.submitting.submit(0, given.encoders[0].encoder, LOSS, near(given), DATA)
    assert outcome == Outcome("lost")
    assert seat.purse.sent == []
    assert seat.kept == []


async def test_an_earlier_seal_is_waited_for_and_decides(seat: Seat) -> None:
    """A rival's: shown in time it hits; the file is kept until that is known. If it is found false, this one hits."""
    world = seat.world
    rival = parts(world, 0, blob=blob(7))
    world.step(seal(world, RIVAL, rival))
    outcomes: list[Outcome] = []

    async def submit() -> None:
        outcomes.append(await seat.submit())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(submit)
        while seat.purse.sent != ["seal_submission", "show_submission"]:  # noqa: ASYNC110  # threads write to the disk
            await trio.sleep(0.002)
        await trio.sleep(0.01)
        assert (outcomes, seat.kept) == ([], ["0"])
        with pytest.raises(RefusedError, match="under way"):
            await seat.submit()
        world.step(show(world, RIVAL, rival))
        seat.hub.wake()
    assert [outcome.word for outcome in outcomes] == ["waiting"]
    assert seat.kept == []
    judged(world, 0, 3 << 16, far(open_targets(world)[1]))
    world.step()
    assert world.state.need(chain.HITS, chain.target_key(0)).submitter == seat.purse.address


async def test_while_no_work_is_taken_nothing_is_stored(seat: Seat) -> None:
    def refuse() -> None:
        raise RefusedError("the disk is nearly full", "make room")

    seat.submitting._require = refuse
    with pytest.raises(RefusedError, match="nearly full"):
        await seat.submit()
    assert (seat.kept, seat.purse.sent) == ([], [])
