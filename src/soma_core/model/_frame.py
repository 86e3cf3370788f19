"""Frame maps: one encoder's raw vectors into the network's common frame. Rules F1 to F9 of ``specs/21-frame.md``.

Encoders trained apart agree only up to a linear map. A map is *whitened Procrustes*: the anchors' outputs are centred
and whitened, then turned onto the reference vectors. It is stored in integers and bound to the weights it was made for.
"""

from math import frexp
from typing import Any, Final, NoReturn

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from soma_core import codec
from soma_core.crypto import DIGEST_SIZE, digest
from soma_core.errors import DecodeError, EncoderError

SHRINKAGE: Final = 0.02
"""Share of the mean variance that is added to every direction before whitening."""
TOP: Final = 1 << 30
"""Largest size of a stored number."""
MAX_DIM: Final = 8192
MAX_FRAME: Final = 1 << 26
"""Bytes of a stored map: d · D up to 2^24."""
EXPONENT_MAX: Final = 200
"""Bound of the stored exponent, either sign."""
RETRIEVAL_TIMES_CHANCE: Final = 8
CENTRED_COSINE: Final = 0.20

Matrix = NDArray[np.float64]

_FIELDS: Final = frozenset({"weights", "raw", "dim", "exponent", "mean", "map"})
_REMEDY: Final = "make the map again from these weights, see specs/21-frame.md"


@frozen(eq=False)
class FrameMap:
    """f(x) = quantise((x − mean · 2^−exponent) · matrix).

    `weights`: the digest of the weights it belongs to. `mean`: int32 [d]. `matrix`: int32 [d, D].
    """

    weights: bytes
    exponent: int
    mean: NDArray[np.int32]
    matrix: NDArray[np.int32]

    @property
    def raw_dim(self) -> int:
        """d, the length of a raw vector."""
        return int(self.matrix.shape[0])

    @property
    def dim(self) -> int:
        """D, the length of a vector in the network's frame."""
        return int(self.matrix.shape[1])

    def apply(self, x: ArrayLike) -> Matrix:
        """Raw vectors [d] or [B, d] in the network's frame, float64 of any length, ready for the quantiser.

        Each row is computed by itself, so that it does not depend on its batch. Raises `EncoderError` for another
        dimension or a number that is not finite.
        """
        raw = np.asarray(x, np.float64)
        if raw.ndim not in (1, 2) or raw.shape[-1] != self.raw_dim:
            raise EncoderError(f"a raw vector of shape {raw.shape} where {self.raw_dim} numbers belong", _REMEDY)
        if not np.isfinite(raw).all():
            raise EncoderError("a raw vector with NaN or infinity has no place in a frame", "make the encoder finite")
        matrix = self.matrix.astype(np.float64)
        centred = raw - np.ldexp(self.mean.astype(np.float64), -self.exponent)
        if raw.ndim == 1:
            return centred @ matrix
        return np.stack([row @ matrix for row in centred]) if len(raw) else np.empty((0, self.dim))

    def encoded(self) -> bytes:
        """The one encoding of this map."""
        return codec.encode(
            {
                "weights": self.weights,
                "raw": self.raw_dim,
                "dim": self.dim,
                "exponent": self.exponent,
                "mean": self.mean.astype("<i4").tobytes(),
                "map": self.matrix.astype("<i4").tobytes(),
            }
        )

    def digest(self) -> bytes:
        """The digest under which this map is registered."""
        return digest("soma/frame", self.encoded())


def read_frame(data: bytes, weights: bytes | None = None) -> FrameMap:
    """The map whose encoding is `data`; with `weights`, only a map made for weights of that digest.

    Raises `DecodeError` for anything but the encoding that `store` and `FrameMap.encoded` give.
    """
    value = codec.decode(data, max_size=MAX_FRAME)
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        _refuse(f"it must have exactly {', '.join(sorted(_FIELDS))}")
    fields: dict[Any, Any] = value
    raw, dim, exponent, bound = (fields[name] for name in ("raw", "dim", "exponent", "weights"))
    if any(type(n) is not int or not 1 <= n <= MAX_DIM for n in (raw, dim)):
        _refuse(f"dimensions {raw!r:.20} and {dim!r:.20}, not whole numbers of 1..{MAX_DIM}")
    if type(exponent) is not int or abs(exponent) > EXPONENT_MAX:
        _refuse(f"exponent {exponent!r:.20}, not within ±{EXPONENT_MAX}")
    if type(bound) is not bytes or len(bound) != DIGEST_SIZE:
        _refuse("the weights' digest is not 32 bytes")
    if weights is not None and bound != weights:
        _refuse(f"it was made for weights {bound.hex()[:12]}…, not for {weights.hex()[:12]}…")
    mean = _integers(fields["mean"], raw, "mean")
    matrix = _integers(fields["map"], raw * dim, "map").reshape(raw, dim)
    if int(np.abs(matrix.astype(np.int64)).max()) != TOP:
        _refuse("the largest number of the map is not 2^30")
    largest = int(np.abs(mean.astype(np.int64)).max())
    if not (TOP // 2 <= largest <= TOP or (largest == 0 and exponent == 0)):
        _refuse("the exponent of the mean is not the largest possible")
    return FrameMap(bound, exponent, mean, matrix)


def store(weights: bytes, mean: Matrix, matrix: Matrix) -> FrameMap:
    """The stored form of a map in float64: `mean` [d], `matrix` [d, D], for the weights of that digest.

    Raises `EncoderError` if they are not finite or the matrix is zero.
    """
    if not (np.isfinite(mean).all() and np.isfinite(matrix).all() and np.any(matrix)):
        raise EncoderError("a frame map must be finite and not zero", "the anchors' vectors are degenerate; train on")
    largest = float(np.abs(mean).max())
    exponent = 0
    if largest > 0:
        fraction, power = frexp(largest)  # largest = fraction · 2^power, 1/2 <= fraction < 1
        exponent = 30 - power + (fraction == 0.5)
    if abs(exponent) > EXPONENT_MAX:
        raise EncoderError(f"the mean of the raw vectors, {largest:g}, is out of range", "scale the encoder's output")
    return FrameMap(
        weights,
        exponent,
        np.rint(np.ldexp(mean, exponent)).astype(np.int32),
        np.rint(matrix * (TOP / np.abs(matrix).max())).astype(np.int32),
    )


def whiten(outputs: ArrayLike) -> tuple[Matrix, Matrix]:
    """Mean [d] and whitening matrix [d, d] of raw anchor vectors [N, d]: (C + 0.02 · tr(C)/d · I)^(−1/2).

    Raises `EncoderError` if the vectors are all alike or not finite: such an encoder has no frame.
    """
    x = np.asarray(outputs, np.float64)
    if x.ndim != 2 or len(x) <= 1 or not np.isfinite(x).all():
        raise EncoderError("anchor vectors are not a finite table of two rows and more", "check the encoder's output")
    mean = x.mean(0)
    centred = x - mean
    covariance = centred.T @ centred / len(x)
    variance = float(np.trace(covariance)) / x.shape[1]
    if variance <= 1e-12 * float(np.abs(mean).max()) ** 2:  # float32 tells no smaller differences apart
        raise EncoderError("the encoder gives every anchor the same vector", "train it before you align it")
    values, vectors = np.linalg.eigh(covariance + SHRINKAGE * variance * np.eye(x.shape[1]))
    return mean, (vectors / np.sqrt(values)) @ vectors.T


def fit_frame(weights: bytes, outputs: ArrayLike, reference: ArrayLike) -> FrameMap:
    """The map of an encoder: its raw anchor vectors [N, d] onto the reference [N, D], for weights of that digest.

    With d ≠ D the thin singular value decomposition gives an orthogonal fit of rank min(d, D). Raises `EncoderError`
    where the tables do not fit each other or the outputs are degenerate.
    """
    x, r = np.asarray(outputs, np.float64), np.asarray(reference, np.float64)
    if x.ndim != 2 or r.ndim != 2 or len(x) != len(r):
        raise EncoderError(f"{x.shape} anchor vectors against {r.shape} references", "use the same anchors for both")
    mean, white = whiten(x)
    left, _, right = np.linalg.svd(unit((x - mean) @ white).T @ unit(r), full_matrices=False)
    return store(weights, mean, white @ (left @ right))


def unit(x: Matrix) -> Matrix:
    """Rows of length 1; a row of zeros stays."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    out: Matrix = x / np.where(length == 0, 1, length)
    return out


@frozen
class Agreement:
    """How well two encoders' vectors of the same items fit.

    `retrieval`: share of items whose nearest vector in the other's table is their own; by chance 1/`items`. `cosine`:
    mean cosine after each table's mean is taken off.
    """

    items: int
    retrieval: float
    cosine: float

    @property
    def holds(self) -> bool:
        """Retrieval at least 8 times chance, and centred cosine at least .20."""
        return self.retrieval * self.items >= RETRIEVAL_TIMES_CHANCE and self.cosine >= CENTRED_COSINE


def agreement(one: ArrayLike, other: ArrayLike) -> Agreement:
    """How well two tables [N, D] of the same items in one frame agree: comparable, which is not yet good."""
    a, b = unit(np.asarray(one, np.float64)), unit(np.asarray(other, np.float64))
    if a.shape != b.shape or a.ndim != 2:
        raise EncoderError(f"tables of {a.shape} and {b.shape} cannot agree", "compare the same items in one frame")
    found = float(np.mean(np.argmax(a @ b.T, axis=1) == np.arange(len(a))))
    cosine = float(np.mean(np.sum(unit(a - a.mean(0)) * unit(b - b.mean(0)), axis=1)))
    return Agreement(len(a), found, cosine)


def _integers(data: object, count: int, name: str) -> NDArray[np.int32]:
    if type(data) is not bytes or len(data) != 4 * count:
        _refuse(f"the {name} is not {4 * count} bytes")
    out = np.frombuffer(data, "<i4").astype(np.int32)
    if int(np.abs(out.astype(np.int64)).max()) > TOP:
        _refuse(f"the {name} has a number above 2^30")
    return out


def _refuse(what: str) -> NoReturn:
    raise DecodeError(f"frame map: {what}", _REMEDY)
