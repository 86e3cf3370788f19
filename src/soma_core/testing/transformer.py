"""What every engine of the byte transformer must do, beside what every encoder does. Inherit `TransformerSuite`."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pytest

from soma_core.api import EncoderContext
from soma_core.errors import SettingsError, UnwantedError
from soma_core.model import ARCHITECTURE, PAD, ReferenceTransformer, load_weights, write_tensors

from .component import component
from .encoder import EncoderSuite, Opener

BUNDLED: Final = ("text", "code", "image", "audio", "generalist")
"""Weights that come with soma-encoders."""
ITEMS: Final[Sequence[bytes]] = (
    b"a",
    b"two cats",
    b"x" * 256,
    b"two cats sat on a mat\n" * 40,
    bytes(range(256)) * 5,
    b"x" * 2000,
    b"\x00",
)
"""One chunk, a full one, several, equal ones."""


class TransformerSuite(EncoderSuite):
    """Inherit, and name the plugin, whose settings have ``weights`` and ``dtype``. Needs soma-encoders.

    `tolerance`: how far a component of a vector in f32 may be from the referee in float64; a loss, twice that.
    `steady`: how far it may move with its batch. `narrow`: of other dtypes, the least cosine to the referee's vectors,
    and how far a loss may be. `positions`: dtype → how far a component of one position may be, before any mean is
    taken. `declares`: the features it has. `slabs`: values of ``tokens``, bytes computed at once, that change nothing.
    """

    config: ClassVar[Mapping[str, object]] = {"weights": "text"}
    bad = (b"",)
    tolerance: ClassVar[float] = 1e-6
    steady: ClassVar[float] = 1e-6
    narrow: ClassVar[Mapping[str, tuple[float, float]]] = {}
    positions: ClassVar[Mapping[str, float]] = {"f32": 4e-5}
    declares: ClassVar[frozenset[str]] = frozenset({"loss", "forward"})
    slabs: ClassVar[Sequence[int]] = (1, 2048)

    def test_features_are_those_that_are_held(self, features: frozenset[str]) -> None:
        assert features == self.declares

    def test_info_is_that_of_the_weights(self, encoder: Any) -> None:
        weights, info = load_weights("text"), encoder.info
        assert (info.dim, info.weights, info.frame) == (weights.config.dim, weights.digest, weights.frame)
        assert (info.architecture, info.numeric, info.modalities) == (ARCHITECTURE, "f32", {"text"})

    @pytest.mark.parametrize("name", BUNDLED)
    def test_results_are_those_of_the_referee(self, name: str, tmp_path: Path) -> None:
        truth = _referee(name)
        with self._opened(tmp_path, weights=name) as encoder:
            found = encoder.evaluate(ITEMS, b"")
        for vector, bits, item in zip(found.vectors, found.bits_per_byte, ITEMS, strict=True):
            reading = truth.read(item)
            assert np.abs(vector - reading.vector).max() <= self.tolerance
            assert abs(bits - reading.bits_per_byte) <= 2 * self.tolerance

    def test_neither_batch_nor_seed_moves_a_row(self, encoder: Any) -> None:
        whole = encoder.evaluate(ITEMS, b"")
        for place, item in enumerate(ITEMS):
            alone = encoder.evaluate([item], b"seed")
            assert np.abs(alone.vectors[0] - whole.vectors[place]).max() <= self.steady
            assert abs(alone.bits_per_byte[0] - whole.bits_per_byte[place]) <= 2 * self.steady

    def test_slabs_of_any_size_give_the_same(self, encoder: Any, tmp_path: Path) -> None:
        whole = encoder.evaluate(ITEMS, b"")
        for tokens in self.slabs:
            with self._opened(tmp_path, tokens=tokens) as other:
                found = other.evaluate(ITEMS, b"")
            assert np.abs(found.vectors - whole.vectors).max() <= self.steady
            assert np.abs(found.bits_per_byte - whole.bits_per_byte).max() <= 2 * self.steady

    def test_narrow_numbers_keep_the_direction(self, tmp_path: Path) -> None:
        for dtype, (least, most) in self.narrow.items():
            for name in BUNDLED:
                truth = _referee(name)
                with self._opened(tmp_path, weights=name, dtype=dtype) as encoder:
                    assert encoder.info.numeric == dtype
                    found = encoder.evaluate(ITEMS, b"")
                for vector, bits, item in zip(found.vectors, found.bits_per_byte, ITEMS, strict=True):
                    reading = truth.read(item)
                    cosine = vector @ reading.vector / np.linalg.norm(vector) / np.linalg.norm(reading.vector)
                    assert cosine >= least, f"{dtype}, weights {name}, {item[:20]!r}"
                    assert abs(bits - reading.bits_per_byte) <= most, f"{dtype}, weights {name}, {item[:20]!r}"

    def test_positions_are_those_of_the_referee(self, tmp_path: Path, features: frozenset[str]) -> None:
        if "forward" not in features:
            return
        ids = np.random.default_rng(3).integers(0, PAD, (3, 40), np.int32)
        targets = np.roll(ids, -1, 1)
        targets[:, -1] = PAD
        places = np.arange(40) + np.array([[0], [1000], [123456]])
        wanted, charged = _referee("text").forward(ids, places, targets)
        for dtype, tolerance in self.positions.items():
            with self._opened(tmp_path, dtype=dtype) as encoder:
                reps, nats = encoder.forward(ids, places, targets)
            assert reps.dtype == (np.float64 if dtype == "f64" else np.float32)
            assert np.abs(reps - wanted).max() <= tolerance
            assert np.abs(nats - charged).max() <= tolerance

    def test_gradient_is_the_slope_of_the_summed_losses(self, encoder: Any, features: frozenset[str]) -> None:
        if "gradient" not in features:
            return
        weights, items = load_weights("text"), [b"two cats", b"the end of a longer piece of text. " * 12]
        slopes = encoder.gradient(items, b"")
        assert {name: slope.shape for name, slope in slopes.items()} == weights.config.shapes()
        draw = np.random.default_rng(4)
        for name in ("embedding.weight", "encoder.layers.0.attention.key.weight", "predictor.bias", "final_norm.gamma"):
            step = draw.standard_normal(slopes[name].shape)
            step *= 1e-5 / np.abs(step).max()
            up, down = (sum(_moved(name, sign * step).read(item).bits_per_byte for item in items) for sign in (1, -1))
            assert (up - down) / 2 == pytest.approx(float((slopes[name] * step).sum()), rel=1e-3, abs=1e-10)

    def test_a_written_file_is_the_one_that_was_read(self, encoder: Any, features: frozenset[str]) -> None:
        if "export" in features:
            assert encoder.export("safetensors") == write_tensors(load_weights("text").tensors)

    def test_no_items_give_no_rows(self, encoder: Any) -> None:
        assert encoder.encode([]).shape == (0, encoder.info.dim)

    def test_weights_that_are_not_there_are_named(self, tmp_path: Path) -> None:
        for name, said in (("txet", "weights txet: .*did you mean text"), ("./none.safetensors", "no such file")):
            with pytest.raises(SettingsError, match=said), self._opened(tmp_path, weights=name):
                pass

    def test_a_batch_that_nobody_waits_for_is_given_up(self, tmp_path: Path) -> None:
        chosen = component(self.plugin, self.config)
        context = EncoderContext(chosen.name, tmp_path, logging.getLogger("soma"), cancelled=lambda: True)
        encoder = chosen.spec.open(chosen.config, context)
        try:
            with pytest.raises(UnwantedError):
                encoder.encode([b"two cats"])
        finally:
            getattr(encoder, "close", lambda: None)()

    @contextmanager
    def _opened(self, directory: Path, **settings: object) -> Iterator[Any]:
        with Opener(component(self.plugin, {**self.config, **settings}), directory).open("other") as encoder:
            yield encoder


def _referee(name: str) -> ReferenceTransformer:
    weights = load_weights(name)
    return ReferenceTransformer(weights.config, weights.tensors, np.float64)


def _moved(name: str, change: Any) -> ReferenceTransformer:
    weights = load_weights("text")
    tensors = {**weights.tensors, name: weights.tensors[name].astype(np.float64) + change}
    return ReferenceTransformer(weights.config, tensors, np.float64)
