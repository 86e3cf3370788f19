"""An encoder's node that lies once, is found out, and confesses (rule O34, ``specs/40-node.md``)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.testing
from attrs import define, evolve
from audit_replays import DEAR, secret_for
from audit_world import accounts, audit_of, audited, claims, hear, hear_all, pay_day
from committee_world import Committee, address
from replays import BLOB, USER, answer, ask_and_draw, mixing, seal, show

from soma_core import chain, fixed
from soma_core.errors import RefusedError
from soma_core.genesis import OPAQUE
from soma_core.node.answering import Judged
from soma_core.node.canaries import Canaries, Planted
from soma_core.node.events import Hub
from soma_core.records import pack, unpack

LIAR: Final = 1
EPOCH: Final = 3_000_000
JOB: Final = chain.job_key(address(USER), BLOB, 0)


class Truth:
    """The encoder: it gives what auditors compute."""

    def __init__(self, loss: int | None = None) -> None:
        self._loss = loss

    async def answer(self, _data: bytes, _seed: bytes, /) -> Judged:
        await trio.lowlevel.checkpoint()
        loss, vector = answer(LIAR)
        return Judged(fixed.vector_from_bytes(vector, 8), loss if self._loss is None else self._loss)


@define(eq=False)
class Site:
    """The encoder's node in a network of four validators; it is its store, its thread and its wallet as well."""

    world: Committee
    hub: Hub
    address: bytes = address(LIAR)

    @property
    def genesis(self) -> Any:
        return self.world.genesis

    def read(self, look: Callable[[chain.State], Any]) -> Any:
        return look(self.world.state)

    async def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    async def send(self, kind: str, action: object) -> chain.TransactionDone:
        await trio.lowlevel.checkpoint()
        applied = self.world.step(self.world.transaction(LIAR, kind, action))
        (done,) = (event for event in applied.events if isinstance(event, chain.TransactionDone))
        self.hub.publish(applied)
        return done

    def canaries(self, path: Path, encoder: Truth | None = None) -> Canaries:
        here: Any = self
        return Canaries(encoder or Truth(), here, here, here, self.hub, path)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """All of four encoders are drawn; the next secret makes `JOB` a canary."""
    monkeypatch.setattr("soma_core.node.canaries.secrets.token_bytes", lambda _size: secret_for(LIAR, JOB))
    return Site(audited(**DEAR, epoch_ms=EPOCH, shard_size=4), Hub())


def begin(site: Site) -> None:
    site.world.step(after=EPOCH)
    site.world.announce()


async def lied(site: Site, canaries: Canaries) -> bytes:
    """The job, delivered, with the canary in it."""
    job, shard = ask_and_draw(site.world)
    assert job == JOB
    judged = await canaries.answer(b"data", job)
    said = {number: answer(number) for number in shard} | {LIAR: (judged.loss, fixed.vector_bytes(judged.vector))}
    assert said[LIAR] == (answer(LIAR)[0] // 2, answer(LIAR)[1]), "the vector is the true one"
    site.world.step(*(seal(site.world, job, number, *each) for number, each in said.items()))
    site.world.step(*(show(site.world, job, number, *each) for number, each in said.items()))
    mixing(site.world)
    return job


def verdict(site: Site, job: bytes) -> str:
    delivery = site.world.state.need(chain.DELIVERIES, job)
    place = next(n for n, member in enumerate(delivery.job.shard) if member.encoder == site.address)
    return delivery.verdicts[place]


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # threads write to the disk: no event tells
            await trio.sleep(0.002)


def failures(site: Site) -> list[int]:
    """Of each validator's audits."""
    marks = [site.world.state.get(chain.MARKS, each) for each in accounts(site.world)]
    return [0 if each is None else each.ever for each in marks]


async def test_who_calls_a_canary_honest_fails_an_audit_and_its_owner_pays_nothing(site: Site, tmp_path: Path) -> None:
    canaries = site.canaries(tmp_path / "canary")
    assert (await canaries.plant()).outcome == "applied"
    begin(site)
    stake = chain.stake_of(site.world.state, site.address)
    job = await lied(site, canaries)
    assert unpack(Planted, (tmp_path / "canary").read_bytes()).job == job
    audit = audit_of(site.world, job)
    lazy = audit.panel[0].account
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.canaries(tmp_path / "canary").run)  # it was restarted meanwhile
        site.hub.publish(hear(site.world, job, {lazy: claims(audit)}))
        await until(lambda: verdict(site, job) == "canary")
        hear_all(site.world, job)
        site.hub.publish(pay_day(site.world, job))
        await until(lambda: unpack(Planted, (tmp_path / "canary").read_bytes()).job == b"")
        nursery.cancel_scope.cancel()
    assert chain.stake_of(site.world.state, site.address) == stake
    assert failures(site) == [each == lazy for each in accounts(site.world)]


async def test_what_a_whole_panel_calls_honest_goes_before_the_committee(site: Site, tmp_path: Path) -> None:
    canaries = site.canaries(tmp_path / "canary")
    await canaries.plant()
    begin(site)
    job = await lied(site, canaries)
    audit = audit_of(site.world, job)
    panel = {auditor.account for auditor in audit.panel}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(canaries.run)
        site.hub.publish(hear(site.world, job, {account: claims(audit) for account in panel}))
        hear_all(site.world, job)
        site.hub.wake()
        await until(lambda: site.world.state.need(chain.DELIVERIES, job).dispute is not None)
        site.hub.publish(hear(site.world, job))
        await until(lambda: verdict(site, job) == "canary")
        nursery.cancel_scope.cancel()
    assert [count > 0 for count in failures(site)] == [each in panel for each in accounts(site.world)]


async def test_nothing_is_false_before_the_seal_counts_and_in_no_other_job(site: Site, tmp_path: Path) -> None:
    canaries = site.canaries(tmp_path / "canary")
    truth = answer(LIAR)[0]
    job, _ = ask_and_draw(site.world)
    assert (await canaries.answer(b"data", job)).loss == truth
    await canaries.plant()
    assert (await canaries.answer(b"data", job)).loss == truth
    begin(site)
    other, _ = ask_and_draw(site.world, nonce=1)
    assert (await canaries.answer(b"data", other)).loss == truth
    assert (await canaries.answer(b"data", bytes(32))).loss == truth
    (tmp_path / "canary").write_bytes(pack(Planted(secret=secret_for(LIAR, other), job=b"")))
    assert (await canaries.answer(b"data", other)).loss == truth, "another secret than the sealed one"


async def test_a_second_lie_waits_for_the_first_to_be_over(site: Site, tmp_path: Path) -> None:
    canaries = site.canaries(tmp_path / "canary")
    await canaries.plant()
    begin(site)
    job, _ = ask_and_draw(site.world)
    (tmp_path / "canary").write_bytes(pack(Planted(secret=secret_for(LIAR, job), job=bytes(32))))
    assert (await canaries.answer(b"data", job)).loss == answer(LIAR)[0]
    with pytest.raises(RefusedError, match="not confessed yet"):
        await canaries.plant()


async def test_a_loss_that_cannot_be_halved_beyond_the_band_is_told_as_it_is(site: Site, tmp_path: Path) -> None:
    canaries = site.canaries(tmp_path / "canary", Truth(2 * site.genesis.parameters.audit_loss_band))
    await canaries.plant()
    begin(site)
    job, _ = ask_and_draw(site.world)
    assert (await canaries.answer(b"data", job)).loss == 2 * site.genesis.parameters.audit_loss_band


async def test_what_the_chain_refuses_is_said_and_not_repeated(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    canaries = site.canaries(tmp_path / "canary")
    await canaries.plant()
    begin(site)
    job = await lied(site, canaries)
    audit = audit_of(site.world, job)
    (tmp_path / "canary").write_bytes(pack(Planted(secret=bytes(32), job=job)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(canaries.run)
        site.hub.publish(hear(site.world, job))
        await until(lambda: "a false answer stands" in caplog.text)
        commits = len(site.world.commits)
        for _ in range(3):
            site.hub.wake()
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(site.world.commits) == commits
        nursery.cancel_scope.cancel()
    assert audit.items


async def test_who_cannot_plant_is_told_why(site: Site, tmp_path: Path) -> None:
    canaries = site.canaries(tmp_path / "canary")
    key = chain.ENCODERS.key(site.address)
    known = site.world.reader.data[key]
    encoder = site.world.state.need(chain.ENCODERS, site.address)
    site.world.reader.data[key] = pack(evolve(encoder, architecture=OPAQUE))
    with pytest.raises(RefusedError, match="nobody computes"):
        await canaries.plant()
    site.world.reader.data[key] = known
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "account_of", lambda _state, _address: evolve(chain.Account(), balance=1))
        with pytest.raises(RefusedError, match="send it some"):
            await canaries.plant()
    assert not (tmp_path / "canary").exists()
