"""Weights on their way from an encoder's node to an auditor's, and what the referee makes of them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from attrs import define, evolve, field, frozen
from driver_world import InlineThread

from soma_core import chain, fixed
from soma_core.chain.offers import Offers
from soma_core.config import NodeConfig
from soma_core.errors import DecodeError, EncoderError, SettingsError, UsageError
from soma_core.genesis import Parameters
from soma_core.model import (
    ModelConfig,
    ModelFiles,
    load_model,
    load_weights,
    read_frame,
    referee,
    weights_digest,
    write_tensors,
)
from soma_core.net import BlobStore
from soma_core.node.encoding import NoWorkerError
from soma_core.node.publishing import KEEP_EVERY, Offered, keep, offer, registered_files
from soma_core.node.refereeing import REFEREE, referee_of
from soma_core.plugins import Plugin, Plugins
from soma_core.records import pack
from soma_symbols.learning import BUNDLED

DATA = b"What is computed twice is believed once.\n" * 20
WHO = b"\x01" * 32


def registered(name: str = "text") -> chain.Encoder:
    weights = load_model(name)
    frame = read_frame(weights.frame).digest()
    architecture = weights.config.architecture
    return chain.Encoder(
        name=weights.name, weights=weights.digest, frame=frame, architecture=architecture, registered=0, since=0
    )


@define
class Chain:
    """As much of a store, and of the wallet of an encoder, as is used."""

    offers: tuple[chain.Offer, ...] = ()
    sent: list[Any] = field(factory=list)
    address: bytes = WHO
    code: str = ""

    def read(self, look: Callable[[Any], Any]) -> Any:
        return look(self)

    def get(self, _table: Any, part: bytes) -> Offers | None:
        return Offers(self.offers) if part == WHO else None

    async def send(self, kind: str, action: Any) -> chain.TransactionDone:
        await trio.lowlevel.checkpoint()
        assert kind == "offer_weights"
        self.sent.append(action)
        self.offers = (*self.offers, action.offer)
        return chain.TransactionDone(bytes(32), "failed" if self.code else "applied", self.code, "because")


async def offer_once(known: Chain, blobs: BlobStore, encoder: chain.Encoder, weights: str = "text") -> None:
    files = registered_files(weights, encoder)
    assert files is not None
    await offer(files, (encoder.weights, encoder.frame), known, known, InlineThread(), blobs)  # type: ignore[arg-type]


def offered(known: Chain, blobs: BlobStore) -> Offered:
    async def fetch(blob: bytes, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        data = blobs.get(blob)
        assert len(data) == size
        return data

    return Offered(known, InlineThread(), fetch)  # type: ignore[arg-type]


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    (tmp_path / "blobs").mkdir()
    return BlobStore(tmp_path / "blobs")


@pytest.mark.parametrize("name", ["text", BUNDLED], ids=["byte-transformer-1", "symbols-1"])
async def test_an_offer_is_made_once_and_leads_to_the_registered_files(blobs: BlobStore, name: str) -> None:
    known, encoder = Chain(), registered(name)
    await offer_once(known, blobs, encoder, name)
    await offer_once(known, blobs, encoder, name)
    assert len(known.sent) == 1
    files = await offered(known, blobs).files(WHO, encoder.weights, encoder.frame)
    assert files == ModelFiles.read(name)


async def test_what_is_offered_stays_though_the_store_wants_room(
    blobs: BlobStore, autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    del autojump_clock
    known, encoder = Chain(), registered()
    files = registered_files("text", encoder)
    assert files is not None
    await offer_once(known, blobs, encoder)
    (blob,) = (each.blob for each in known.offers)
    for faulty in (False, True):
        blobs._drop(blob)
        with pytest.MonkeyPatch.context() as patch, trio.move_on_after(KEEP_EVERY + 1):
            if faulty:
                patch.setattr(blobs, "max_blob", 1)
            await keep({(encoder.weights, encoder.frame): files}, blobs)
        assert blobs.has(blob) is not faulty
    assert "the weights of this node's encoder cannot be offered: a blob of" in caplog.text


async def test_a_refused_offer_is_said(blobs: BlobStore, caplog: pytest.LogCaptureFixture) -> None:
    await offer_once(Chain(code="size"), blobs, registered())
    assert f"the chain refused the offer of weights {registered().weights.hex()[:12]}: because" in caplog.text


async def test_what_is_offered_nowhere_or_is_another_model_is_not_to_be_had(blobs: BlobStore) -> None:
    encoder = registered()
    with pytest.raises(EncoderError, match="offered nowhere"):
        await offered(Chain(), blobs).files(WHO, encoder.weights, encoder.frame)
    data = pack(ModelFiles.read("code"))
    lie = chain.Offer(weights=encoder.weights, frame=encoder.frame, blob=blobs.put(data), size=len(data))
    with pytest.raises(DecodeError, match="not the weights and the frame map"):
        await offered(Chain((lie,)), blobs).files(WHO, encoder.weights, encoder.frame)
    garbage = evolve(lie, blob=blobs.put(b"garbage"), size=7)
    with pytest.raises(DecodeError):
        await offered(Chain((garbage,)), blobs).files(WHO, encoder.weights, encoder.frame)


def test_only_an_encoder_that_can_be_audited_needs_files_and_they_are_the_registered_ones(tmp_path: Path) -> None:
    assert registered_files("text", None) is None
    assert registered_files(None, evolve(registered(), architecture="opaque")) is None
    with pytest.raises(UsageError, match="no setting `weights`"):
        registered_files(None, registered())
    with pytest.raises(DecodeError):
        registered_files("code", registered())
    (tmp_path / "alone.safetensors").write_bytes(b"x")
    with pytest.raises(SettingsError, match=r"cannot be offered: .*alone\.json"):
        ModelFiles.read(tmp_path / "alone.safetensors")


@frozen
class Files:
    """Gives whatever a test says."""

    files: ModelFiles

    async def __call__(self, _encoder: bytes, _weights: bytes, _frame: bytes) -> ModelFiles:
        await trio.lowlevel.checkpoint()
        return self.files


async def verdict(
    files: ModelFiles,
    data_dir: Path,
    dimension: int = 128,
    times: Iterable[int] = (1,),
    plugin: Plugin | None = None,
) -> list[Any]:
    parameters = evolve(Parameters(), dimension=dimension)
    judge = referee_of(plugin or Plugins().find(REFEREE), Files(files), data_dir, NodeConfig(), parameters)
    item = chain.Item(member=0, encoder=WHO, weights=b"", frame=b"", loss=0, vector=b"")
    return [await judge.answer(item, DATA, bytes(32)) for _ in times]


@pytest.mark.parametrize("name", ["text", BUNDLED], ids=["byte-transformer-1", "symbols-1"])
async def test_the_referee_computes_what_the_weights_give(tmp_path: Path, name: str) -> None:
    weights = load_model(name)
    reading = referee(weights.config, weights.tensors).read(DATA)
    framed = np.asarray(read_frame(weights.frame).apply(reading.vector.astype(np.float32)))
    for judged in await verdict(ModelFiles.read(name), tmp_path, times=(1, 2)):
        assert judged.loss == round(reading.bits_per_byte * fixed.ONE)
        assert np.array_equal(judged.vector, fixed.quantise(framed))


@pytest.mark.parametrize("fault", ["no safetensors", "numbers without end", "a frame of another network"])
async def test_a_model_that_cannot_be_run_gives_no_answer_and_that_is_its_fault(tmp_path: Path, fault: str) -> None:
    files, dimension = ModelFiles.read("text"), 128
    if fault == "a frame of another network":
        dimension = 64
    elif fault == "no safetensors":
        files = evolve(files, weights=b"no safetensors")
    else:
        tensors = dict(load_weights("text").tensors)
        tensors["final_norm.gamma"] = np.full_like(tensors["final_norm.gamma"], 3e38)
        weights = write_tensors(tensors)
        bound = weights_digest(ModelConfig.from_json(files.config), weights)
        frame = evolve(read_frame(files.frame), weights=bound).encoded()
        files = ModelFiles(config=files.config, weights=weights, frame=frame)
    with pytest.raises((EncoderError, DecodeError)) as caught:
        await verdict(files, tmp_path, dimension)
    assert not isinstance(caught.value, NoWorkerError)


async def test_a_worker_that_does_not_open_says_nothing_of_the_weights(tmp_path: Path) -> None:
    plugin = Plugins().find(REFEREE)._replace(module="soma_nowhere")
    with pytest.raises(NoWorkerError):
        await verdict(ModelFiles.read("text"), tmp_path, plugin=plugin)
