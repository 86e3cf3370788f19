"""What registers an encoder that a node runs (rule O32, ``specs/40-node.md``)."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from committee_world import Committee
from ledger_world import make_genesis

import soma_encoders
from soma_core import chain
from soma_core.api import EncoderInfo
from soma_core.errors import DecodeError, RefusedError
from soma_core.model import ARCHITECTURE, Speciality, load_weights, read_frame
from soma_core.node.events import Hub
from soma_core.node.serving import Serving


def serving(**changes: Any) -> Serving:
    """Of a node that has opened nothing yet."""
    nothing: Any = None
    store: Any = type("Store", (), {"genesis": attrs.evolve(make_genesis(), **changes)})()
    return Serving(nothing, Path(), nothing, nothing, store, nothing, Hub(), nothing, nothing)


def running(weights: str | Path, **changes: Any) -> tuple[Serving, EncoderInfo]:
    """A node that runs the weights as encoder-mine."""
    loaded = load_weights(weights)
    info = EncoderInfo(dim=128, weights=loaded.digest, frame=loaded.frame, architecture=ARCHITECTURE)
    node = serving(**changes)
    node._served["encoder-mine"] = info, str(weights)
    return node, info


def copied(folder: Path, *suffixes: str) -> Path:
    source = soma_encoders.path("text")
    for suffix in suffixes:
        (folder / f"mine{suffix}").write_bytes(source.with_suffix(suffix).read_bytes())
    return folder / "mine.safetensors"


def test_an_aligned_encoder_is_registered_with_what_it_is_best_at() -> None:
    node, info = running("text", sketches=(bytes(64),) * 16)
    made = node.registration("encoder-mine", "mine", 5)
    found = Speciality.beside("text", info.weights)
    assert found is not None
    assert (made.name, made.stake, made.weights, made.architecture) == ("mine", 5, info.weights, ARCHITECTURE)
    assert made.frame == read_frame(info.frame).digest()
    assert (made.best, made.position) == (found.best, found.position)


def test_no_best_is_named_in_a_network_without_anchors() -> None:
    assert running("text")[0].registration("encoder-mine", "mine", 5).best == b""


@pytest.mark.parametrize("changes", [{"architecture": "opaque"}, {"frame": b""}, {"architecture": "another-1"}])
def test_who_cannot_be_computed_again_is_opaque(changes: dict[str, Any]) -> None:
    node, info = running("text")
    node._served["encoder-mine"] = attrs.evolve(info, **changes), None
    made = node.registration("encoder-mine", "mine", 10**9)
    assert (made.architecture, made.weights, made.frame, made.position, made.best) == ("opaque", b"", b"", b"", b"")
    world = Committee()
    done = world.step(world.transaction(5, "register_encoder", made))
    assert world.outcomes(done) == [("applied", "")]
    assert [e.name for _, e in world.state.scan(chain.ENCODERS)].count("mine") == 1


def test_what_was_not_aligned_is_refused(tmp_path: Path) -> None:
    node, _ = running(copied(tmp_path, ".safetensors", ".json", ".frame"))
    with pytest.raises(RefusedError, match="good at; soma encoder align"):
        node.registration("encoder-mine", "mine", 5)
    Speciality(weights=bytes(32), best=b"", position=b"").write(tmp_path / "mine.safetensors")
    with pytest.raises(DecodeError, match="other weights"):
        node.registration("encoder-mine", "mine", 5)


def test_what_does_not_run_is_refused_with_what_does() -> None:
    with pytest.raises(RefusedError, match="it runs none"):
        serving().registration("encoder-mine", "mine", 5)
    with pytest.raises(RefusedError, match="it runs encoder-mine"):
        running("text")[0].registration("encoder-other", "mine", 5)
    assert (serving().statuses, serving().racing) == ((), ())
