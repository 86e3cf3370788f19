"""Weights files: a part of the safetensors format, strictly. Rules M15 to M21 of ``specs/20-model.md``.

A file is an unsigned 64-bit little endian length, a JSON header of that length, and the tensors' bytes in the order of
the header, without gaps. Header and sizes are checked before anything large is allocated. Tensors are float32, but for
those that a config says are whole numbers (rule LS8 of ``specs/81-symbol-encoder.md``).
"""

import json
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.errors import DecodeError

from ._json import read_json

MAX_HEADER: Final = 1 << 20
"""Bytes of the JSON header."""
MAX_TENSORS: Final = 4096
MAX_FILE: Final = 1 << 33
"""Bytes of a weights file: 8 GiB, enough for 2 · 10^9 numbers."""

DTYPES: Final[Mapping[str, str]] = {"F32": "<f4", "I8": "i1", "U8": "u1", "U16": "<u2"}
"""What tensors may be, and what NumPy calls it."""

_REMEDY: Final = "give a float32 safetensors file as specs/20-model.md describes it"
_FLOATS: Final[Mapping[str, str]] = {}


@frozen
class TensorPlace:
    """Where one tensor lies. `start` and `stop` count from the first byte behind the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_tensors(source: bytes | Path, dtypes: Mapping[str, str] = _FLOATS) -> dict[str, NDArray[Any]]:
    """The tensors of a weights file by name, read-only. Raises `DecodeError` for anything but a valid file.

    `dtypes`: by name, of those that are not ``F32``.
    """
    data = source if isinstance(source, bytes) else _load(source, dtypes)
    places, base = read_header(data[: 8 + MAX_HEADER], len(data), dtypes)
    out: dict[str, NDArray[Any]] = {}
    for place in places:
        code = np.dtype(DTYPES[place.dtype])
        tensor = np.frombuffer(data, code, (place.stop - place.start) // code.itemsize, base + place.start)
        if not np.isfinite(tensor).all():
            _refuse(f"tensor {place.name!r:.80} holds NaN or infinity")
        tensor = tensor.astype(code.newbyteorder("="), copy=False).reshape(place.shape)
        tensor.flags.writeable = False
        out[place.name] = tensor
    return out


def read_header(head: bytes, size: int, dtypes: Mapping[str, str] = _FLOATS) -> tuple[Sequence[TensorPlace], int]:
    """Places of the tensors and the length of what precedes them, from the first bytes of a file of `size` bytes."""
    if size > MAX_FILE:
        _refuse(f"{size} bytes are more than the {MAX_FILE} allowed")
    if len(head) < 8:
        _refuse(f"only {len(head)} bytes")
    length = int.from_bytes(head[:8], "little")
    if length > MAX_HEADER or 8 + length > size:
        _refuse(f"a header of {length} bytes in a file of {size}; at most {MAX_HEADER} are allowed")
    places: list[TensorPlace] = []
    end = 0
    for name, entry in _entries(head[8 : 8 + length]).items():
        places.append(_place(name, entry, end, dtypes.get(name, "F32")))
        end = places[-1].stop
    if 8 + length + end != size:
        _refuse(f"the header describes {8 + length + end} bytes, the file has {size}")
    return places, 8 + length


def write_tensors(tensors: Mapping[str, NDArray[Any]], dtypes: Mapping[str, str] = _FLOATS) -> bytes:
    """The one file for `tensors`: names sorted, header compact and filled with spaces to a multiple of 8 bytes.

    `dtypes`: by name, of those that are not ``F32``.
    """
    header: dict[str, Any] = {}
    parts, end = [], 0
    for name in sorted(tensors):
        tensor, dtype = tensors[name], dtypes.get(name, "F32")
        code = np.dtype(DTYPES[dtype])
        if tensor.dtype != code.newbyteorder("=") or not np.isfinite(tensor).all():
            _refuse(f"tensor {name} is {tensor.dtype} or not finite; only finite {code.name} is written")
        parts.append(np.ascontiguousarray(tensor, code).tobytes())
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [end, end + len(parts[-1])]}
        end += len(parts[-1])
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    whole = len(text).to_bytes(8, "little") + text + b"".join(parts)
    read_header(whole[: 8 + MAX_HEADER], len(whole), dtypes)
    return whole


def _load(path: Path, dtypes: Mapping[str, str]) -> bytes:
    """All bytes of the file at `path`, after its header has been found valid for its size."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            if len(head) == 8:
                head += file.read(min(int.from_bytes(head, "little"), MAX_HEADER))
            read_header(head, size, dtypes)
            return head + file.read(size - len(head))
    except OSError as error:
        raise DecodeError(f"{path}: cannot be read: {error.strerror}", _REMEDY) from error


def _entries(text: bytes) -> dict[str, object]:
    """The header's tensors: a JSON object that starts at once, sorted, without its optional metadata."""
    if not text.startswith(b"{"):
        _refuse("the header does not start with a brace")
    try:
        header = read_json(text)
    except ValueError as error:
        _refuse(f"the header is not JSON: {error}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse("__metadata__ is not a map from text to text")
    if not 1 <= len(header) <= MAX_TENSORS:
        _refuse(f"{len(header)} tensors; 1 to {MAX_TENSORS} are allowed")
    if list(header) != sorted(header):
        _refuse("the tensors are not in the order of their names")
    entries: dict[str, object] = header
    return entries


def _place(name: str, entry: object, start: int, dtype: str) -> TensorPlace:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(f"tensor {name!r:.80} has not exactly dtype, shape and data_offsets")
    if entry["dtype"] != dtype:
        _refuse(f"tensor {name!r:.80} is {entry['dtype']!r:.20}, not {dtype}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _naturals(shape) or not 1 <= len(shape) <= 4 or 0 in shape:
        _refuse(f"tensor {name!r:.80} has shape {shape!r:.60}; 1 to 4 positive numbers are allowed")
    if not _naturals(offsets) or len(offsets) != 2:
        _refuse(f"tensor {name!r:.80} has offsets {offsets!r:.60}")
    stop = start + np.dtype(DTYPES[dtype]).itemsize * prod(shape)
    if offsets != [start, stop]:
        _refuse(f"tensor {name!r:.80} lies at {offsets}, its place is {[start, stop]!r:.60}")
    return TensorPlace(name, dtype, tuple(shape), offsets[0], offsets[1])


def _naturals(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v <= MAX_FILE for v in values)


def _refuse(what: str) -> NoReturn:
    raise DecodeError(f"weights file: {what}", _REMEDY)
