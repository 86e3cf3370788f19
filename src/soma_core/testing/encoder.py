"""What every encoder must do. Inherit `EncoderSuite` and name the plugin."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, get_args

import pytest
from attrs import evolve, frozen

from soma_core.api import Encoder, EncoderInfo
from soma_core.api.encoder import NumericClass
from soma_core.api.spec import EncoderContext
from soma_core.crypto import ZERO_DIGEST, SecretKey, digest, signing_digest

from .component import Component, component
from .suite import Suite

HEAVY: Final = ("numpy", "jax", "torch", "onnx", "onnxruntime", "tensorflow", "trio", "sqlite3", "libp2p")
"""What the module of a plugin does not import before `open`: listing and choosing plugins would pay for it."""

SAMPLES: Final[Sequence[bytes]] = (
    b"two cats on a mat",
    b"x",
    b"\x00",
    b"\xff" * 300,
    bytes(range(256)) * 3,
    "où est le café?".encode(),
    b"def f(x):\n    return x * x\n",
    b"a" * 5000,
)
"""Items any encoder takes: short, long, text, binary."""

SECRET: Final = SecretKey(digest("soma/possession", b"the encoder suite"))
"""The key of an encoder that needs an identity, in its suite. Anybody knows it: a server that is tested may trust it,
for the chain of 32 zero bytes, and one in service never does."""

TOLERANCE: Final = 2e-4
"""How far a row may move, relative to its length, when its batch changes: float32 sums in another order."""


class EncoderSuite(Suite):
    """Inherit, and set `plugin` to the component's name and `config` to its settings.

    `samples` are items that the encoder takes, at least three; `bad` are items it refuses with a ValueError.
    """

    capabilities = frozenset({"loss", "gradient", "export", "forward"})
    samples: ClassVar[Sequence[bytes]] = SAMPLES
    bad: ClassVar[Sequence[bytes]] = ()

    @pytest.fixture
    def chosen(self) -> Component:
        """The component under test."""
        return component(self.plugin, self.config)

    @pytest.fixture
    def opener(self, chosen: Component, tmp_path: Path) -> "Opener":
        """Opens the component, each time in a directory of its own."""
        return Opener(chosen, tmp_path)

    @pytest.fixture
    def encoder(self, opener: "Opener") -> Iterator[Any]:
        """An open encoder."""
        with opener.open("one") as encoder:
            yield encoder

    @pytest.fixture
    def features(self, chosen: Component) -> frozenset[str]:
        """What the spec declares."""
        declared: frozenset[str] = chosen.spec.features
        return declared

    def test_module_imports_nothing_heavy(self, chosen: Component) -> None:
        found = f"sorted({set(HEAVY)!r} & (sys.modules.keys() - before))"
        code = (
            f"import json, sys; before = {{*sys.modules}}; import {chosen.module.__name__}; print(json.dumps({found}))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        heavy = json.loads(done.stdout)
        assert heavy == [], f"import {', '.join(heavy)} inside open"

    def test_info(self, encoder: Encoder) -> None:
        info = encoder.info
        assert isinstance(info, EncoderInfo)
        assert type(info.dim) is int
        assert 1 <= info.dim <= 65_536
        assert isinstance(info.weights, bytes)
        assert len(info.weights) in {0, 32}
        assert info.modalities
        assert type(info.max_batch) is int
        assert info.max_batch >= 1
        assert info.numeric in get_args(NumericClass)
        assert info.architecture

    def test_frame_fits(self, encoder: Encoder) -> None:
        from soma_core.model import read_frame

        if encoder.info.frame:
            assert read_frame(encoder.info.frame, encoder.info.weights or None).raw_dim == encoder.info.dim

    def test_vectors_are_finite_rows_of_float32(self, encoder: Encoder) -> None:
        import numpy as np

        for batch in self._batches(encoder):
            vectors = encoder.encode(batch)
            assert isinstance(vectors, np.ndarray)
            assert vectors.dtype == np.float32
            assert vectors.shape == (len(batch), encoder.info.dim)
            assert np.isfinite(vectors).all()
            assert (np.linalg.norm(vectors, axis=1) > 0).all(), "a zero row has no direction"

    def test_vectors_pass_the_quantiser(self, encoder: Encoder) -> None:
        """A vector so one-hot that the chain's integers cannot hold it cannot be committed to."""
        from soma_core.api.fixed import quantise
        from soma_core.model import read_frame

        frame = encoder.info.frame
        for batch in self._batches(encoder):
            vectors: Any = encoder.encode(batch)
            for row in read_frame(frame).apply(vectors) if frame else vectors:
                assert len(quantise(row)) == len(row)

    def test_a_row_does_not_depend_on_its_batch(self, encoder: Encoder) -> None:
        batch = list(self.samples[: encoder.info.max_batch])
        together = encoder.encode(batch)
        backwards = encoder.encode(batch[::-1])[::-1]
        alone = [encoder.encode([item])[0] for item in batch]
        for place, row in enumerate(together):
            _close(row, backwards[place])
            _close(row, alone[place])

    def test_the_same_item_twice_is_the_same_vector(self, encoder: Encoder) -> None:
        first, second = (
            encoder.encode([self.samples[0]] * min(2, encoder.info.max_batch)),
            encoder.encode([self.samples[0]]),
        )
        for row in first:
            _close(row, second[0])

    def test_different_items_are_different_vectors(self, encoder: Encoder) -> None:
        import numpy as np

        rows = np.concatenate([encoder.encode(batch) for batch in self._batches(encoder)])
        assert len({row.tobytes() for row in rows}) > len(rows) // 2

    def test_two_of_a_kind_agree(self, opener: "Opener") -> None:
        with opener.open("one") as one, opener.open("two") as two:
            assert one.info == two.info
            for mine, other in zip(one.encode(self.samples[:1]), two.encode(self.samples[:1]), strict=True):
                _close(mine, other)

    def test_a_batch_stays_as_it_was_and_may_be_any_sequence(self, encoder: Encoder) -> None:
        batch = list(self.samples[:1])
        vectors = encoder.encode(batch)
        assert batch == list(self.samples[:1])
        kept = vectors.copy()
        again = encoder.encode(tuple(batch))
        _close(again[0], kept[0])
        assert vectors.tobytes() == kept.tobytes(), "an answer is not written to later"

    def test_a_bad_item_is_named_by_its_place(self, encoder: Encoder) -> None:
        good = self.samples[0]
        for item in self.bad:
            with pytest.raises(ValueError, match=r"\b0\b"):
                encoder.encode([item])
            if encoder.info.max_batch > 1:
                with pytest.raises(ValueError, match=r"\b1\b"):
                    encoder.encode([good, item])
        assert len(encoder.encode([good])) == 1, "it goes on after a refusal"

    def test_loss_as_declared(self, encoder: Any, features: frozenset[str]) -> None:
        import numpy as np

        assert callable(getattr(encoder, "evaluate", None)) == ("loss" in features), "declare loss, or remove evaluate"
        if "loss" not in features:
            return
        for batch in self._batches(encoder):
            evaluation = encoder.evaluate(batch, b"seed")
            assert evaluation.bits_per_byte.dtype == np.float64
            assert evaluation.bits_per_byte.shape == (len(batch),)
            assert np.isfinite(evaluation.bits_per_byte).all()
            assert (evaluation.bits_per_byte >= 0).all()
            for one, other in zip(evaluation.vectors, encoder.encode(batch), strict=True):
                _close(one, other)

    def test_gradient_as_declared(self, encoder: Any, features: frozenset[str]) -> None:
        import numpy as np

        present = callable(getattr(encoder, "gradient", None))
        assert present == ("gradient" in features), "declare gradient, or remove it"
        if present:
            gradient = encoder.gradient(list(self.samples[:1]), b"seed")
            assert gradient
            assert all(tensor.dtype == np.float32 and np.isfinite(tensor).all() for tensor in gradient.values())

    def test_export_as_declared(self, encoder: Any, features: frozenset[str]) -> None:
        present = callable(getattr(encoder, "export", None))
        assert present == ("export" in features), "declare export, or remove it"
        if present:
            from soma_core.model import read_tensors

            assert read_tensors(encoder.export("safetensors")), "a safetensors file without tensors"
            assert len(encoder.export("onnx")) > 0

    def test_forward_as_declared(self, encoder: Any, features: frozenset[str]) -> None:
        import numpy as np

        from soma_core.model import PAD, rows

        present = callable(getattr(encoder, "forward", None))
        assert present == ("forward" in features), "declare forward, or remove it"
        if present:
            cut = rows([b"two cats", b"x"], 8)
            reps, nats = encoder.forward(cut.ids, np.tile(np.arange(8), (2, 1)), cut.targets)
            assert reps.shape == (2, 8, encoder.info.dim)
            assert nats.shape == (2, 8)
            assert np.isfinite(reps).all()
            assert ((nats > 0) == (cut.targets != PAD)).all(), "a cost for each target, and for nothing else"

    def test_an_opaque_encoder_claims_no_architecture(self, encoder: Encoder, features: frozenset[str]) -> None:
        if "loss" not in features:
            assert encoder.info.architecture == "opaque", "an encoder without losses cannot be audited"

    def _batches(self, encoder: Encoder) -> Iterator[list[bytes]]:
        size = encoder.info.max_batch
        for start in range(0, len(self.samples), size):
            yield list(self.samples[start : start + size])


@frozen
class Opener:
    """Opens the component under test, as the core does, and closes it."""

    chosen: Component
    directory: Path

    @contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """The encoder, in the directory `name`."""
        directory = self.directory / name
        directory.mkdir(mode=0o700, exist_ok=True)
        log = logging.getLogger(f"soma.{self.chosen.name}")
        context = EncoderContext(self.chosen.name, directory, log)
        if "identity" in self.chosen.spec.needs:
            context = evolve(context, sign=_sign, key=SECRET.public, chain=ZERO_DIGEST)
        encoder = self.chosen.spec.open(self.chosen.config, context)
        try:
            yield encoder
        finally:
            close = getattr(encoder, "close", None)
            if close is not None:
                close()


def _sign(body: bytes) -> bytes:
    return SECRET.sign(signing_digest("soma/webhook", ZERO_DIGEST, 0, body))


def _close(one: Any, other: Any) -> None:
    import numpy as np

    scale = float(np.linalg.norm(np.asarray(one, np.float64)))
    distance = float(np.linalg.norm(np.asarray(one, np.float64) - np.asarray(other, np.float64)))
    assert distance <= TOLERANCE * scale, f"rows differ by {distance / scale:.2g} of their length"
