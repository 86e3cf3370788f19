"""When a validator hurries its engine on: while somebody waits for commits, whatever is in them."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio
from committee_world import account, address
from driver_world import InlineThread
from replays import begun

from soma_core import chain
from soma_core.node.validating import Validating

JOB = b"j" * 32


class Chain:
    """As much of a store as is looked at."""

    def __init__(self, *stages: str) -> None:
        self.proved = 0
        self.jobs = [(bytes([place]) * 32, SimpleNamespace(stage=stage)) for place, stage in enumerate(stages)]

    def read(self, look: Any) -> Any:
        return look(SimpleNamespace(scan=lambda _table: iter(self.jobs), get=lambda *_: None))


def validating(store: Chain) -> Validating:
    nobody: Any = None
    wallet: Any = SimpleNamespace(address=bytes(32))
    return Validating(store, InlineThread(), nobody, wallet, nobody, nobody)  # type: ignore[arg-type]  # never asked here


def applied(index: int, *events: Any) -> Any:
    return SimpleNamespace(record=SimpleNamespace(index=index), events=events)


def test_nothing_hurries_where_no_job_is() -> None:
    validator = validating(Chain())
    validator.note(applied(1, chain.EpochBegan(1), chain.TransactionDone(JOB, "applied", "", "")))
    assert not validator.hurries


@pytest.mark.parametrize("stage", ["attesting", "committing", "revealing"])
def test_a_new_stage_hurries_until_a_quorum_has_signed_it(stage: str) -> None:
    store = Chain()
    validator = validating(store)
    validator.note(applied(4, chain.JobChanged(JOB, stage)))
    assert validator.hurries
    store.proved = 3
    assert validator.hurries
    store.proved = 4
    assert not validator.hurries


@pytest.mark.parametrize("stage", ["drawing", "closing"])
def test_a_job_that_waits_for_randomness_hurries_until_it_has_it(stage: str) -> None:
    store = Chain()
    validator = validating(store)
    validator.note(applied(4, chain.JobChanged(JOB, stage)))
    store.proved = 9
    assert validator.hurries
    validator.note(applied(9, chain.Settled(JOB, "settled", b"")))
    assert not validator.hurries


async def test_jobs_that_were_open_at_the_start_hurry_as_well(autojump_clock: Any) -> None:
    for stages, hurries in ((("committing", "drawing"), True), (("committing", "revealing"), False)):
        validator = validating(Chain(*stages))
        with trio.move_on_after(1):
            await validator.run()
        assert validator.hurries is hurries


async def test_newer_software_says_so_as_soon_as_it_has_a_seat(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Any
) -> None:
    """A validator of a network whose rules are older than its own."""
    monkeypatch.setattr(chain, "PROTOCOL_MOST", 3)
    world, sent = begun((1,)), []
    seats = [SimpleNamespace(key=b"other")]
    place = address(account(0))

    class Wallet:
        address = place

        async def send(self, kind: str, action: Any) -> chain.TransactionDone:
            await trio.lowlevel.checkpoint()
            sent.append((kind, action))
            world.step(world.transaction(account(0), kind, action))
            return chain.TransactionDone(bytes(32), "applied", "", "")

    store: Any = SimpleNamespace(read=lambda look: look(world.state), epoch=lambda: (0, 0), seats=lambda _: seats)
    signing: Any = SimpleNamespace(key=b"own")
    validator = Validating(store, InlineThread(), signing, Wallet(), *[None] * 2)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(validator.run)
        await trio.sleep(1)
        assert sent == []
        seats.append(SimpleNamespace(key=b"own"))
        for _ in range(2):
            validator.note(applied(1, chain.EpochBegan(1)))
            await trio.sleep(1)
            assert sent == [("support_protocol", chain.SupportProtocol(3))]
        nursery.cancel_scope.cancel()
