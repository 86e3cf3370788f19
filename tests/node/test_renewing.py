"""New weights of an encoder that runs, and what answers meanwhile (rule O33, ``specs/40-node.md``)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from attrs import define, evolve, field, frozen
from committee_world import Committee, address
from replays import answer, ask_and_draw, begun, mixing, seal, show

from soma_core import chain
from soma_core.api import EncoderInfo
from soma_core.crypto import digest
from soma_core.errors import EncoderError, PluginError, RefusedError
from soma_core.genesis import OPAQUE
from soma_core.model import ARCHITECTURE, ModelFiles
from soma_core.node.answering import Judged
from soma_core.node.events import Hub
from soma_core.node.kept import Kept, KeptModels
from soma_core.node.models import Models, Pair
from soma_core.node.renewing import Renewing
from soma_core.records import pack

ME: Final = 1
EPOCH: Final = 100_000
OLD: Final[Pair] = bytes([ME]) * 32, bytes([ME]) * 32
FILES: Final = ModelFiles(config="{}", weights=b"new", frame=b"map")


def model(number: int, salt: bytes = b"") -> Kept:
    return Kept(files=FILES, weights=bytes([number]) * 32, frame=bytes([number + 1]) * 32, salt=salt)


@frozen(eq=False)
class Hosted:
    """A model that answers with its own digest."""

    pair: Pair
    architecture: str = "byte-transformer-1"

    @property
    def worker(self) -> Any:
        info = EncoderInfo(dim=8, weights=self.pair[0], architecture=self.architecture)
        return type("Worker", (), {"info": info})()

    @property
    def frame_digest(self) -> bytes:
        return self.pair[1]

    async def answer(self, _data: bytes, _seed: bytes, /) -> Judged:
        await trio.lowlevel.checkpoint()
        return self.pair[0]  # type: ignore[return-value]


@define(eq=False)
class Running:
    """Workers that a test opens and closes."""

    models: Models
    fault: Exception | None = None
    architecture: str = "byte-transformer-1"

    async def open(self, kept: Kept) -> Hosted:
        await trio.lowlevel.checkpoint()
        if self.fault is not None:
            raise self.fault
        hosted = Hosted(kept.pair, self.architecture)
        self.models.add(hosted)  # type: ignore[arg-type]
        return hosted

    def close(self, pair: Pair) -> None:
        self.models.remove(pair)


class Blobs:
    def put(self, data: bytes) -> bytes:
        return digest("soma/blob", data)


@define(eq=False)
class Site:
    """The encoder's node: store, thread and wallet as well. `wanted`: the model that files give."""

    world: Committee
    directory: Path
    hub: Hub = field(factory=Hub)
    address: bytes = address(ME)
    wanted: Kept = field(factory=lambda: model(70, b"\5" * 32))
    models: Models = field(init=False)
    kept: KeptModels = field(init=False)
    running: Running = field(init=False)
    renewing: Renewing = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """What a node that starts has: the registered model, from its settings, and its directory."""
        here: Any = self
        self.models = Models(here, here, self.address)
        self.kept = KeptModels(self.directory)
        self.running = Running(self.models)
        state: Any = self.world.state.need(chain.ENCODERS, self.address)
        self.models.add(Hosted((state.weights, state.frame)))  # type: ignore[arg-type]
        self.renewing = Renewing(here, here, here, self.hub, Blobs(), self.models, self.running, self.kept)  # type: ignore[arg-type]
        self.renewing.files[state.weights, state.frame] = FILES

    @property
    def genesis(self) -> Any:
        return self.world.genesis

    @property
    def encoder(self) -> chain.Encoder:
        return self.world.state.need(chain.ENCODERS, self.address)

    @property
    def registered(self) -> Pair:
        return self.encoder.weights, self.encoder.frame

    def read(self, look: Callable[[chain.State], Any]) -> Any:
        return look(self.world.state)

    async def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    async def send(self, kind: str, action: object) -> chain.TransactionDone:
        await trio.lowlevel.checkpoint()
        applied = self.world.step(self.world.transaction(ME, kind, action))
        (done,) = (event for event in applied.events if isinstance(event, chain.TransactionDone))
        self.hub.publish(applied)
        return done

    def end(self) -> None:
        """End the epoch."""
        self.hub.publish(self.world.step(after=EPOCH))
        self.hub.publish(self.world.announce())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(begun(epoch_ms=EPOCH), tmp_path)
    monkeypatch.setattr(Kept, "read", lambda _weights, salt, **_: evolve(made.wanted, salt=salt))
    return made


async def until(condition: Callable[[], Any]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # threads write to the disk: no event tells
            await trio.sleep(0.002)


def coming(site: Site) -> Any:
    return site.world.state.get(chain.NEXT_WEIGHTS, site.address)


def names(site: Site) -> list[str]:
    return sorted(path.name[:2] for path in site.directory.iterdir())


async def test_weights_are_sealed_shown_offered_and_in_force_and_the_old_ones_go(site: Site) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        assert (await site.renewing.begin("better")).outcome == "applied"
        assert set(site.models.pairs) == {OLD, site.wanted.pair}
        assert names(site) == ["01", "46"], "the present model too: the settings may change"
        await until(lambda: site.renewing.coming == (site.wanted.weights, site.world.epoch + 2))
        assert await site.models.answer(b"", bytes(32)) == OLD[0]  # type: ignore[comparison-overlap]
        site.end()
        await until(lambda: coming(site).shown is not None)
        await until(lambda: chain.offer_of(site.world.state, site.address, *site.wanted.pair) is not None)
        assert await site.models.answer(b"", bytes(32)) == OLD[0]  # type: ignore[comparison-overlap]
        assert site.registered == OLD
        site.end()
        assert site.registered == site.wanted.pair
        assert await site.models.answer(b"", bytes(32)) == site.wanted.weights  # type: ignore[comparison-overlap]
        await until(lambda: site.models.pairs == (site.wanted.pair,))
        await until(lambda: names(site) == ["46"])
        nursery.cancel_scope.cancel()
    assert site.kept.wanted() is None
    assert (site.renewing.present, site.renewing.coming) == (site.wanted.weights, None)
    assert list(site.renewing.files) == [site.wanted.pair]
    site.restart()
    assert site.kept.get(site.wanted.pair) == site.wanted.__class__(
        files=FILES, weights=site.wanted.weights, frame=site.wanted.frame
    )


async def test_a_job_is_answered_with_the_weights_it_was_drawn_with_or_not_at_all(site: Site) -> None:
    site = Site(begun(epoch_ms=EPOCH, shard_size=4, commit_ms=10 * EPOCH), site.directory)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        await site.renewing.begin("better")
        site.end()
        await until(lambda: coming(site).shown is not None)
        job, shard = ask_and_draw(site.world)
        assert ME in shard
        site.end()
        assert site.registered == site.wanted.pair
        assert await site.models.answer(b"", job) == OLD[0]  # type: ignore[comparison-overlap]
        assert await site.models.answer(b"", bytes(32)) == site.wanted.weights  # type: ignore[comparison-overlap]
        await trio.sleep(0.05)
        assert set(site.models.pairs) == {OLD, site.wanted.pair}, "the job is open"
        said = {number: answer(number) for number in shard}
        site.models.remove(OLD)
        with pytest.raises(EncoderError, match="do not run on this node"):
            await site.models.answer(b"", job)
        site.models.add(Hosted(OLD))  # type: ignore[arg-type]
        site.world.step(*(seal(site.world, job, number, *each) for number, each in said.items()))
        site.world.step(*(show(site.world, job, number, *each) for number, each in said.items()))
        mixing(site.world)
        site.world.step(after=10 * EPOCH)
        mixing(site.world)
        site.hub.wake()
        await until(lambda: site.world.state.get(chain.JOBS, job) is None)
        await until(lambda: site.models.pairs == (site.wanted.pair,))
        nursery.cancel_scope.cancel()


async def test_a_node_that_stops_goes_on_and_seals_again_what_it_did_not_show_in_time(site: Site) -> None:
    await site.renewing.begin("better")
    first = coming(site)
    site.restart()
    site.end()
    site.end()  # the epoch in which to show it passes
    assert coming(site) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        await until(lambda: coming(site) is not None)
        assert coming(site).seal == first.seal
        assert coming(site).registered > first.registered
        await until(lambda: set(site.models.pairs) == {OLD, site.wanted.pair})
        nursery.cancel_scope.cancel()
    site.restart()
    site.end()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        await until(lambda: coming(site).shown is not None)
        site.end()
        await until(lambda: site.registered == site.wanted.pair)
        await until(lambda: site.renewing.present == site.wanted.weights)
        nursery.cancel_scope.cancel()


async def test_later_weights_take_the_place_of_those_that_are_not_shown(site: Site) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        await site.renewing.begin("better")
        site.wanted = model(80)
        await site.renewing.begin("best")
        await until(lambda: set(site.models.pairs) == {OLD, site.wanted.pair})
        await until(lambda: names(site) == ["01", "50"])
        site.end()
        await until(lambda: coming(site).shown is not None)
        assert coming(site).shown.weights == site.wanted.weights
        with pytest.raises(RefusedError, match="with the next epoch"):
            await site.renewing.begin("better")
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_brought_out_is_refused_and_changes_nothing(site: Site) -> None:
    site.wanted = Kept(files=FILES, weights=OLD[0], frame=OLD[1])
    with pytest.raises(RefusedError, match="registered already"):
        await site.renewing.begin("the same")
    site.wanted = model(70)
    site.running.architecture = "another-1"
    with pytest.raises(RefusedError, match="architecture another-1"):
        await site.renewing.begin("other")
    site.running.fault = PluginError("encoder-x: it does not open", "see its log")
    with pytest.raises(PluginError):
        await site.renewing.begin("broken")
    key = chain.ENCODERS.key(site.address)
    known = site.world.reader.data.pop(key)
    with pytest.raises(RefusedError, match="holds no weights"):
        await site.renewing.begin("unregistered")
    site.world.reader.data[key] = known
    site.world.reader.data[key] = pack(evolve(site.encoder, architecture=OPAQUE, weights=b"", frame=b""))
    with pytest.raises(RefusedError, match="holds no weights"):
        await site.renewing.begin("opaque")
    assert site.models.pairs == (OLD,)
    assert await site.models.answer(b"", bytes(32)) == OLD[0]  # type: ignore[comparison-overlap]
    assert (coming(site), names(site)) == (None, [])


async def test_a_seal_that_the_chain_refuses_leaves_what_was(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_kind: str, _action: object) -> chain.TransactionDone:
        await trio.lowlevel.checkpoint()
        return chain.TransactionDone(bytes(32), "failed", "exists", "no")

    monkeypatch.setattr(Site, "send", lambda _self, kind, action: refused(kind, action))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        assert (await site.renewing.begin("better")).code == "exists"
        assert site.renewing.coming is None
        site.hub.wake()
        await until(lambda: site.models.pairs == (OLD,))
        await until(lambda: names(site) == ["01"])
        nursery.cancel_scope.cancel()


async def test_weights_that_somebody_else_brought_out_are_not_answered_with_others(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    other = model(90, b"\6" * 32)
    site.world.step(site.world.transaction(ME, "commit_weights", chain.CommitWeights(other.seal(site.address))))
    site.end()
    site.world.step(site.world.transaction(ME, "reveal_weights", other.shown()))
    site.end()
    assert site.registered == other.pair
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        await until(lambda: "not on this node" in caplog.text)
        nursery.cancel_scope.cancel()
    with pytest.raises(EncoderError, match="do not run"):
        await site.models.answer(b"", bytes(32))
    assert site.models.pairs == (OLD,), "it may be asked again"


def test_what_is_read_is_what_stands_beside_the_weights() -> None:
    found = Kept.read("text", b"\1" * 32, anchors=True)
    assert found.files == ModelFiles.read("text")
    assert found.best
    assert Kept.read("text", b"", anchors=False).best == b""
    assert found.shown().weights == found.weights
    assert ARCHITECTURE


def test_what_was_not_aligned_is_refused(tmp_path: Path) -> None:
    from soma_encoders import path

    source = path("text")
    for suffix in (".safetensors", ".json", ".frame"):
        (tmp_path / f"mine{suffix}").write_bytes(source.with_suffix(suffix).read_bytes())
    with pytest.raises(RefusedError, match="soma encoder align"):
        Kept.read(tmp_path / "mine.safetensors", b"", anchors=True)


async def test_weights_that_the_chain_will_not_have_are_given_up(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await site.renewing.begin("better")

    async def refused(_kind: str, _action: object) -> chain.TransactionDone:
        await trio.lowlevel.checkpoint()
        return chain.TransactionDone(bytes(32), "failed", "position", "a position is a vector of 8 coordinates")

    monkeypatch.setattr(Site, "send", lambda _self, kind, action: refused(kind, action))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        site.end()
        await until(lambda: "are given up" in caplog.text)
        await until(lambda: site.models.pairs == (OLD,))
        nursery.cancel_scope.cancel()
    assert site.renewing.coming is None
    assert site.kept.wanted() is None


async def test_weights_that_do_not_open_after_a_restart_do_not_answer(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.renewing.begin("better")
    site.restart()
    site.running.fault = PluginError("encoder-x: it does not open", "see its log")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        await until(lambda: "do not run: encoder-x: it does not open" in caplog.text)
        site.end()
        await until(lambda: coming(site).shown is not None)
        nursery.cancel_scope.cancel()
    assert site.models.pairs == (OLD,)
    assert await site.models.answer(b"", bytes(32)) == OLD[0]  # type: ignore[comparison-overlap]


async def test_an_encoder_that_is_not_registered_answers_with_what_runs(site: Site) -> None:
    key = chain.ENCODERS.key(site.address)
    del site.world.reader.data[key]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.renewing.run)
        await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    assert site.models.pairs == (OLD,)
    assert await site.models.answer(b"", bytes(32)) == OLD[0]  # type: ignore[comparison-overlap]
