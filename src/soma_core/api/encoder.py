"""Encoders: bytes in, vectors out. Blocking classes; one thread of one worker process calls them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NumericClass = Literal["f32", "f64", "bf16", "int8", "other"]
"""How an encoder computes. Only ``f32`` may commit to a paid job: its band under audit is calibrated."""


def _names(values: Iterable[str]) -> frozenset[str]:
    return frozenset(values)


@frozen(kw_only=True)
class EncoderInfo:
    """What an open encoder is.

    `dim`: length of a raw vector. `weights`: 32-byte digest of the weights, or empty where there is none. `frame`: the
    stored map of these weights into the network's frame (``specs/21-frame.md``), or empty where raw vectors are used as
    they are. `architecture`: a name of the genesis list, or ``opaque``. `max_batch`: items the host passes at most.
    """

    dim: int
    weights: bytes = b""
    frame: bytes = b""
    architecture: str = "opaque"
    numeric: NumericClass = "f32"
    modalities: frozenset[str] = field(default=frozenset({"bytes"}), converter=_names)
    max_batch: int = 64


@frozen(eq=False)
class Evaluation:
    """`vectors`: float32 [B, dim]. `bits_per_byte`: float64 [B], finite, not negative."""

    vectors: "NDArray[np.float32]"
    bits_per_byte: "NDArray[np.float64]"


class Encoder(Protocol):
    """``close()``, if there is one, is called at the end. ``ValueError`` names the position of a bad item."""

    info: EncoderInfo

    def encode(self, batch: Sequence[bytes], /) -> "NDArray[np.float32]":
        """Raw vectors [B, dim]: finite, no zero row, and a row does not depend on the rest of its batch."""
        ...


class HasLoss(Encoder, Protocol):
    """Feature ``loss``."""

    def evaluate(self, batch: Sequence[bytes], seed: bytes, /) -> Evaluation:
        """Vectors as `encode` gives them, and the bits per byte the model needs for each item."""
        ...


class HasGradient(Encoder, Protocol):
    """Feature ``gradient``."""

    def gradient(self, batch: Sequence[bytes], seed: bytes, /) -> "Mapping[str, NDArray[np.float32]]":
        """The gradient of the summed loss, by tensor name."""
        ...


class HasForward(Encoder, Protocol):
    """Feature ``forward``: what the model itself says of tokens, before any rule makes a vector or a loss of it."""

    def forward(
        self, ids: "NDArray[np.int32]", positions: "NDArray[np.int64]", targets: "NDArray[np.int32]", /
    ) -> "tuple[NDArray[np.floating], NDArray[np.floating]]":
        """The normalised last layer [B, T, dim], and −ln p of each target [B, T], 0 where the target is 256 (padding).

        All three are [B, T], T at most the `seq` of the config; a target of 256 is none. Float32, or float64 of an
        engine of that class.
        """
        ...


class HasExport(Encoder, Protocol):
    """Feature ``export``."""

    def export(self, form: Literal["safetensors", "onnx"], /) -> bytes:
        """The model as one file."""
        ...
