"""How items become what a foreign model takes: bytes as whole numbers, text as tokens, pictures as planes of colour."""

import io
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from soma_core.api.taking import TakingConfig
from soma_core.errors import EncoderError, SettingsError

PIXELS_MOST: Final = 1 << 26
"""Of a picture, before anything of its size is made of it."""

Batch = NDArray[Any]


class Taking(Protocol):
    """One way of taking items."""

    def __call__(self, batch: Sequence[bytes], /) -> tuple[Batch, Batch]:
        """What goes in, [B, …], and what of it counts, bool [B, T]. `ValueError` names the place of a bad item."""
        ...


def taking(config: TakingConfig) -> Taking:
    """As the operator's settings say. Raises `SettingsError`."""
    ways: dict[str, Callable[[TakingConfig], Taking]] = {"bytes": Bytes, "text": Text, "image": Image}
    return ways[config.takes](config)


class Bytes:
    """The first bytes and the last ones, and `pad` between them where there are fewer."""

    def __init__(self, config: TakingConfig) -> None:
        if not 0 <= config.tail < config.length:
            raise SettingsError(f"tail = {config.tail}: not in 0..{config.length - 1}", "tail is a part of length")
        self._head, self._tail, self._pad = config.length - config.tail, config.tail, config.pad

    def __call__(self, batch: Sequence[bytes]) -> tuple[Batch, Batch]:
        """Whole numbers [B, length]."""
        out = np.full((len(batch), self._head + self._tail), self._pad, np.int64)
        counts = np.zeros(out.shape, bool)
        for place, (row, count) in enumerate(zip(out, counts, strict=True)):
            data = np.frombuffer(_full(place, batch[place]), np.uint8)
            head, tail = data[: self._head], data[len(data) - min(len(data), self._tail) :]
            row[: len(head)], count[: len(head)] = head, True
            row[len(row) - len(tail) :], count[len(row) - len(tail) :] = tail, True
        return out, counts


class Text:
    """UTF-8 through the tokenizer of a ``tokenizer.json``, cut at `length` tokens."""

    def __init__(self, config: TakingConfig) -> None:
        if not config.tokenizer:
            raise SettingsError('takes = "text" without a tokenizer', "tokenizer = the path of a tokenizer.json")
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise SettingsError(
                "the package tokenizers is not installed", "python3 -m pip install tokenizers"
            ) from error
        try:
            self._tokenizer: Any = Tokenizer.from_file(config.tokenizer)
        except Exception as error:  # it raises this class, and no other
            raise SettingsError(
                f"tokenizer {config.tokenizer}: {error}", "give the path of a tokenizer.json"
            ) from error
        self._tokenizer.enable_truncation(config.length)
        self._tokenizer.no_padding()
        self._pad = config.pad

    def __call__(self, batch: Sequence[bytes]) -> tuple[Batch, Batch]:
        """Whole numbers [B, T], T the tokens of the longest."""
        texts = [_full(place, data).decode("utf-8", "replace") for place, data in enumerate(batch)]
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
        out = np.full((len(rows), max(1, *map(len, rows))), self._pad, np.int64)
        counts = np.zeros(out.shape, bool)
        for place, row in enumerate(rows):
            if not row:
                raise ValueError(f"item {place}: the tokenizer finds nothing in it")
            out[place, : len(row)], counts[place, : len(row)] = row, True
        return out, counts


class Image:
    """Pictures, made `width` by `height`, each colour less its `mean`, divided by its `deviation`."""

    def __init__(self, config: TakingConfig) -> None:
        try:
            from PIL import Image as Pictures
        except ModuleNotFoundError as error:
            raise SettingsError("the package Pillow is not installed", "python3 -m pip install Pillow") from error
        self._pictures: Any = Pictures
        self._size = config.width, config.height
        self._mean, self._deviation = (np.array(values, np.float32) for values in (config.mean, config.deviation))
        if self._mean.shape != (3,) or self._deviation.shape != (3,) or not (self._deviation > 0).all():
            raise SettingsError("mean or deviation does not fit", "write three numbers, each deviation above 0")
        self._planes = config.layout == "planes"

    def __call__(self, batch: Sequence[bytes]) -> tuple[Batch, Batch]:
        """Float32 [B, 3, height, width], or [B, height, width, 3]."""
        out = np.stack([self._picture(place, data) for place, data in enumerate(batch)])
        return np.ascontiguousarray(out.transpose(0, 3, 1, 2)) if self._planes else out, np.ones((len(out), 1), bool)

    def _picture(self, place: int, data: bytes) -> Batch:
        try:
            with self._pictures.open(io.BytesIO(_full(place, data))) as picture:
                if picture.width * picture.height > PIXELS_MOST:
                    raise ValueError(f"item {place}: {picture.width} x {picture.height} pixels; at most {PIXELS_MOST}")
                shown = np.asarray(picture.convert("RGB").resize(self._size), np.float32) / 255
        except (OSError, SyntaxError, self._pictures.DecompressionBombError) as error:
            raise ValueError(f"item {place}: no picture: {error}") from error
        return np.asarray((shown - self._mean) / self._deviation, np.float32)


def pool(way: str, out: Batch, counts: Batch) -> NDArray[np.float32]:
    """Vectors, float32 [B, d], of what a model gave: [B, d], or [B, T, d] with `counts` [B, T].

    Raises `EncoderError` for any other shape.
    """
    if out.ndim == 3 and way == "first":
        out = out[:, 0]
    elif out.ndim == 3 and way == "mean":
        mask = counts[..., None] if counts.shape == out.shape[:2] else np.ones((1, out.shape[1], 1), bool)
        out = (out * mask).sum(1) / mask.sum(1)
    if out.ndim != 2 or len(out) != len(counts):
        raise EncoderError(
            f"the model gives the shape {list(out.shape)} for {len(counts)} items", "name another output, or set pool"
        )
    return np.ascontiguousarray(out, np.float32)


def probe(takes: str) -> bytes:
    """An item that any model takes which takes such."""
    if takes != "image":
        return b"two cats sat on a mat"
    from PIL import Image as Pictures

    out = io.BytesIO()
    Pictures.new("RGB", (8, 8)).save(out, "PNG")
    return out.getvalue()


def _full(place: int, data: bytes) -> bytes:
    if not data:
        raise ValueError(f"item {place}: empty: there is nothing to encode")
    return data
