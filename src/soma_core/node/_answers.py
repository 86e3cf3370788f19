"""What an encoder's worker answers, checked before anybody uses it: nothing it says is believed.

Every function raises `EncoderError`, or `PluginError` for what an encoder says of itself, naming what was wrong.
"""

from collections.abc import Sequence
from math import prod
from typing import Final, get_args

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.api.encoder import EncoderInfo, Evaluation, NumericClass
from soma_core.codec import Value
from soma_core.errors import DecodeError, EncoderError, PluginError
from soma_core.fixed import DIMENSION_MAX
from soma_core.plugins import Plugin

from .worker import AXES_MAX, BULK_MAX, WIDTHS

BITS_MAX: Final = 16.0
"""Bits per byte above which a loss is no loss: guessing evenly costs 8."""
BATCH_MAX: Final = 1 << 16
"""The largest ``max_batch`` that is believed."""
MODALITIES_MAX: Final = 16


@frozen(eq=False)
class Arrays:
    """An answer as it came: types and shapes, and the bytes of all arrays one after the other."""

    header: tuple[tuple[str, tuple[int, ...]], ...]
    bulk: bytes


def bulk_size(header: Value) -> tuple[tuple[tuple[str, tuple[int, ...]], ...], int]:
    """The arrays a worker announces and the bytes that follow. Raises `DecodeError` before anything is allocated."""
    arrays = []
    size = 0
    for item in header if isinstance(header, list) else [None]:
        match item:
            case [str(name), list(shape)] if len(shape) <= AXES_MAX:
                lengths = tuple(n for n in shape if type(n) is int and n >= 0)
                if len(lengths) != len(shape) or name not in WIDTHS:
                    # Its bytes cannot be counted: what comes next would be read as a frame.
                    raise DecodeError(f"an array of type {name!r:.20}", f"types are {', '.join(WIDTHS)}")
                arrays.append((name, lengths))
                size += WIDTHS[name] * prod(lengths)
            case _:
                raise DecodeError(f"{item!r:.60} announces no array", "speak the frames of specs/05")
    if size > BULK_MAX or len(arrays) > 2:
        raise DecodeError(f"{len(arrays)} arrays of {size} bytes", f"answer with at most {BULK_MAX}")
    return tuple(arrays), size


def checked_info(plugin: Plugin, fields: dict[str, object], frame: bytes) -> EncoderInfo:
    """What an encoder says it is, within bounds. Raises `PluginError`."""
    match fields:
        case {
            "dim": int(dim),
            "weights": bytes(weights),
            "architecture": str(architecture),
            "numeric": str(numeric),
            "modalities": list(modalities),
            "max_batch": int(max_batch),
        }:
            wrong = {
                f"dim {dim} is outside 1..{DIMENSION_MAX}": type(dim) is not int or not 1 <= dim <= DIMENSION_MAX,
                f"weights have {len(weights)} bytes, not 0 or 32": len(weights) not in (0, 32),
                f"architecture has {len(architecture)} characters, not 1 to 64": not 1 <= len(architecture) <= 64,
                f"numeric is {numeric!r:.40}, not one of {', '.join(get_args(NumericClass))}": numeric
                not in get_args(NumericClass),
                f"max_batch {max_batch} is outside 1..{BATCH_MAX}": type(max_batch) is not int
                or not 1 <= max_batch <= BATCH_MAX,
                f"modalities are not up to {MODALITIES_MAX} short words": len(modalities) > MODALITIES_MAX
                or not all(isinstance(word, str) and 1 <= len(word) <= 32 for word in modalities),
            }
            for problem, is_wrong in wrong.items():
                if is_wrong:
                    raise _wrong_info(plugin, problem)
            return EncoderInfo(
                dim=dim,
                weights=weights,
                frame=frame,
                architecture=architecture,
                numeric=numeric,  # type: ignore[arg-type]  # held against the literal above
                modalities=frozenset(modalities),
                max_batch=max_batch,
            )
    raise _wrong_info(plugin, "a field has another type than soma_core.api.EncoderInfo says")


def checked_vectors(name: str, arrays: Arrays, first: int, count: int, total: int, dim: int) -> NDArray[np.float32]:
    """The vectors [count, dim] of an answer for items `first`.. of `total`: float32, finite, none zero."""
    if not arrays.header:
        raise _wrong(name, "answered without vectors")
    kind, shape = arrays.header[0]
    if kind != "<f4":
        raise _wrong(name, f"vectors are {np.dtype(kind).name}, not float32")
    if shape != (count, dim):
        raise _wrong(name, f"vectors have shape {list(shape)} for {count} items of dim {dim}, not [{count}, {dim}]")
    vectors = np.frombuffer(arrays.bulk, "<f4", count * dim).astype(np.float32, copy=False).reshape(count, dim)
    for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1)):
        held = "NaN" if np.isnan(vectors[row]).any() else "infinity"
        raise _wrong(name, f"vector {first + row} of {total} holds {held}")
    for row in np.flatnonzero(~vectors.any(axis=1)):
        raise _wrong(name, f"vector {first + row} of {total} is zero")
    return vectors


def checked_evaluation(name: str, arrays: Arrays, first: int, count: int, total: int, dim: int) -> Evaluation:
    """Vectors as `checked_vectors` has them, and losses [count]: float64, finite, 0 to `BITS_MAX`."""
    vectors = checked_vectors(name, arrays, first, count, total, dim)
    if len(arrays.header) != 2:
        raise _wrong(name, "answered without losses")
    kind, shape = arrays.header[1]
    if kind != "<f8" or shape != (count,):
        raise _wrong(name, f"bits_per_byte are {np.dtype(kind).name} {list(shape)}, not float64 [{count}]")
    bits = np.frombuffer(arrays.bulk, "<f8", count, offset=vectors.nbytes).astype(np.float64, copy=False)
    for row in np.flatnonzero(~((bits >= 0) & (bits <= BITS_MAX))):
        raise _wrong(name, f"bits_per_byte {first + row} of {total} is {bits[row]:g}, outside 0..{BITS_MAX:g}")
    return Evaluation(vectors, bits)


def joined(parts: Sequence[NDArray[np.float32]], dim: int) -> NDArray[np.float32]:
    """The vectors of consecutive batches as one array [B, dim]."""
    return np.concatenate(parts) if parts else np.zeros((0, dim), np.float32)


def _wrong(name: str, what: str) -> EncoderError:
    return EncoderError(f"{name}: {what}", "the answer is not used; report it to the encoder's author")


def _wrong_info(plugin: Plugin, what: str) -> PluginError:
    return PluginError(f"{plugin.title}: info: {what}", f"report it to the author of {plugin.distribution}")
