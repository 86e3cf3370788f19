"""One encoder in this process, for a notebook or a script: no node, no event loop, no keys."""

import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, final

from attrs import frozen

from .api import Encoder, EncoderInfo, Evaluation
from .api.spec import EncoderContext
from .config import instance, secrets_of
from .errors import EncoderError, SomaError, UsageError
from .plugins import Plugin, Plugins, open_failed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

R = TypeVar("R")

Item = str | bytes | os.PathLike[str]
"""What can be encoded: text (as UTF-8), bytes, or the path of a file."""


def load(name: str, /, **settings: Any) -> "LoadedEncoder":
    r"""Open the encoder plugin `name`, such as ``encoder-jax``, under `settings`, those of its section in soma.toml.

    ``load("encoder-jax", weights="text").encode(["two cats", b"\x00", Path("a.png")])`` gives float32 [3, D]. Close it
    after use, or use it in a ``with`` statement. Raises `PluginError` for a plugin that cannot be used, `ConfigError`
    for settings that do not fit, all of them at once.
    """
    plugins = Plugins()
    plugin = plugins.find(name)
    if plugin.kind != "encoder":
        raise UsageError(f"{plugin.title}: only encoders are loaded so", "name one, such as encoder-jax")
    spec = plugins.spec("encoder", name)
    if "identity" in spec.needs:
        raise UsageError(f"{plugin.title}: it needs a node's identity", f"soma run --plugin {plugin.name}")
    config = instance(spec.config, settings, f"encoder.{plugin.short}", "load()")
    directory = Path(tempfile.mkdtemp(prefix="soma-load-"))  # mode 0700, as every component's directory
    try:
        encoder = spec.open(config, EncoderContext(plugin.name, directory, logging.getLogger(f"soma.{plugin.name}")))
    except SomaError:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    except Exception as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise open_failed(plugin, error) from error
    shown = {key: value for key, value in settings.items() if key not in secrets_of(spec.config)}
    return LoadedEncoder(plugin, encoder, shown, directory, loss="loss" in spec.features)


@frozen(eq=False)
class Answers:
    """What an encoder says of n items. `raw`: its own vectors, float32 [n, info.dim]; `directions`: float64 [n, D].

    `bits_per_byte`: float64 [n], or none of an encoder without losses.
    """

    raw: "NDArray[np.float32]"
    directions: "NDArray[np.float64]"
    bits_per_byte: "NDArray[np.float64] | None"


@final
class LoadedEncoder:
    """An open encoder. `info` says what it is. Made by `load`."""

    def __init__(
        self, plugin: Plugin, encoder: Encoder, settings: dict[str, Any], directory: Path, *, loss: bool
    ) -> None:
        self.info: EncoderInfo = encoder.info
        self._plugin = plugin
        self._encoder: Any = encoder
        self._settings = settings
        self._loss = loss
        self._open = True
        self._frame = _frame_of(self.info)
        self._sweep = weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)

    @property
    def dim(self) -> int:
        """D: the length of a vector that `encode` gives."""
        return self.info.dim if self._frame is None else int(self._frame.dim)

    def encode(self, items: Sequence[Item]) -> "NDArray[np.float32]":
        """Unit vectors, float32 [n, D], of `items`: in the network's frame, if the weights have a map into it.

        A text is its UTF-8 bytes; a path is read. Raises ValueError for an item the encoder cannot take, and
        `EncoderError` for a file that cannot be read or an answer that is no vector.
        """
        import numpy as np

        vectors = [np.empty((0, self.dim), np.float32)]
        for start, batch in self._batches(items):
            given = _asked(start, self._encoder.encode, batch)
            vectors.append(self._framed(given, start, len(batch)))
        return np.concatenate(vectors)

    def evaluate(self, items: Sequence[Item], seed: bytes = b"") -> Evaluation:
        """`encode`, and the bits per byte, float64 [n], that the model needs for each item.

        Raises `UsageError` if the encoder does not offer losses, and what `encode` raises.
        """
        if not self._loss:
            raise UsageError(f"{self._plugin.title}: it does not offer losses", "use encode, or another encoder")
        found = self.answers(items, seed)
        assert found.bits_per_byte is not None
        return Evaluation(found.directions.astype("float32"), found.bits_per_byte)

    def answers(self, items: Sequence[Item], seed: bytes = b"") -> Answers:
        """Everything at once: vectors as the encoder gives them and in the frame, unrounded, and losses if it has any.

        Raises what `encode` raises.
        """
        import numpy as np

        raw, directions = [np.empty((0, self.info.dim), np.float32)], [np.empty((0, self.dim))]
        bits = [np.empty(0)]
        for start, batch in self._batches(items):
            if self._loss:
                given = _asked(start, self._encoder.evaluate, batch, seed)
                raw.append(given.vectors)
                bits.append(self._losses(given.bits_per_byte, len(batch)))
            else:
                raw.append(_asked(start, self._encoder.encode, batch))
            directions.append(self._directions(raw[-1], start, len(batch)))
        return Answers(np.concatenate(raw), np.concatenate(directions), np.concatenate(bits) if self._loss else None)

    def quantise(self, items: Sequence[Item]) -> "NDArray[np.int16]":
        """The vectors of `items` as the network has them: int16 [n, D], quantised before any other rounding.

        Raises what `encode` raises.
        """
        import numpy as np

        from soma_core.fixed import quantise

        rows = [np.empty((0, self.dim), np.int16)]
        for start, batch in self._batches(items):
            given = _asked(start, self._encoder.encode, batch)
            rows.extend(quantise(row)[np.newaxis] for row in self._directions(given, start, len(batch)))
        return np.concatenate(rows)

    def gradient(self, items: Sequence[Item], seed: bytes = b"") -> "Mapping[str, NDArray[np.float32]]":
        """The slope of the items' summed bits per byte, by tensor name; at most `info.max_batch` items.

        Raises `UsageError` if the encoder does not offer gradients, and what `encode` raises.
        """
        ask: Callable[..., Mapping[str, NDArray[np.float32]]] | None = getattr(self._encoder, "gradient", None)
        if ask is None:
            raise UsageError(f"{self._plugin.title}: it does not offer gradients", "name another, as encoder-jax")
        if len(items) > self.info.max_batch:
            raise UsageError(f"{len(items)} items; {self._plugin.name} takes {self.info.max_batch}", "give fewer")
        return ask([item for _, batch in self._batches(items) for item in batch], seed)

    def forward(
        self, ids: "NDArray[np.int32]", positions: "NDArray[np.int64]", targets: "NDArray[np.int32]"
    ) -> "tuple[NDArray[Any], NDArray[Any]]":
        """What the model says of tokens: see `soma_core.api.HasForward`. Raises `UsageError` if it says nothing."""
        given: Callable[..., tuple[NDArray[Any], NDArray[Any]]] | None = getattr(self._encoder, "forward", None)
        if given is None:
            raise UsageError(f"{self._plugin.title}: it says nothing of single tokens", "name another, as encoder-jax")
        return given(ids, positions, targets)

    def export(self, form: Literal["safetensors", "onnx"]) -> bytes:
        """The model as one file. Raises `UsageError` if the encoder does not give itself away."""
        given: Callable[[str], bytes] | None = getattr(self._encoder, "export", None)
        if given is None:
            raise UsageError(f"{self._plugin.title}: it does not export its model", "name another, as encoder-jax")
        return given(form)

    @property
    def has_loss(self) -> bool:
        """Whether `evaluate` works."""
        return self._loss

    def close(self) -> None:
        """Release the encoder and remove its directory. Closing twice is harmless."""
        if self._open:
            self._open = False
            closing: Callable[[], None] | None = getattr(self._encoder, "close", None)
            try:
                if closing is not None:
                    closing()
            finally:
                self._encoder = None
                self._sweep()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        shown = "".join(f", {key}={value!r}" for key, value in self._settings.items())
        state = f"D={self.dim}, {self.info.architecture}" if self._open else "closed"
        return f"<{self._plugin.title}{shown}: {state}>"

    def _batches(self, items: Sequence[Item]) -> Iterator[tuple[int, list[bytes]]]:
        """Items as bytes, at most `max_batch` at a time, with the place of the first; files are read when it comes."""
        if not self._open:
            raise UsageError(f"{self._plugin.name} is closed", "load it again")
        if isinstance(items, (str, bytes, bytearray, memoryview, os.PathLike)):
            raise UsageError(
                f"one {type(items).__name__} where a list of items belongs", f"write [{_short(items)}], in brackets"
            )
        size = max(1, self.info.max_batch)
        for start in range(0, len(items), size):
            yield start, [_read(start + place, item) for place, item in enumerate(items[start : start + size])]

    def _framed(self, raw: Any, start: int, count: int) -> "NDArray[np.float32]":
        framed: NDArray[np.float32] = self._directions(raw, start, count).astype("float32")
        return framed

    def _directions(self, raw: Any, start: int, count: int) -> "NDArray[np.float64]":
        """Checked raw vectors in the frame, of length 1."""
        import numpy as np

        found = np.asarray(raw)
        if found.shape != (count, self.info.dim) or found.dtype != np.float32:
            self._refuse(f"gave {found.dtype} {list(found.shape)} where float32 {[count, self.info.dim]} belongs")
        vectors = found.astype(np.float64) if self._frame is None else self._frame.apply(found)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        for place in np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0))):
            self._refuse(f"gave no direction for item {start + place}: zero, or not finite")
        directions: NDArray[np.float64] = vectors / lengths
        return directions

    def _losses(self, raw: Any, count: int) -> "NDArray[np.float64]":
        import numpy as np

        found = np.asarray(raw, np.float64)
        if found.shape != (count,) or not (np.isfinite(found).all() and (found >= 0).all()):
            self._refuse(f"gave losses that are not {count} finite numbers, none negative")
        return found

    def _refuse(self, what: str) -> None:
        raise EncoderError(f"{self._plugin.title} {what}", f"soma conformance {self._plugin.name} says more")


def _asked(start: int, ask: Callable[..., R], *arguments: object) -> R:
    """What the encoder answers; where it names an item, say from where it counts."""
    try:
        return ask(*arguments)
    except ValueError as error:
        if start == 0:
            raise
        raise ValueError(f"counting from item {start}: {error}") from error


def _read(place: int, item: object) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8")
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    if isinstance(item, os.PathLike):
        try:
            return Path(item).read_bytes()
        except OSError as error:
            raise EncoderError(
                f"item {place}: {os.fspath(item)} cannot be read: {error.strerror}", "name a file"
            ) from error
    raise UsageError(f"item {place} is a {type(item).__name__}", "give text, bytes or a pathlib.Path")


def _frame_of(info: EncoderInfo) -> Any:
    if not info.frame:
        return None
    from .model import read_frame  # NumPy: an encoder that has a frame has imported it long since

    return read_frame(info.frame, info.weights or None)


def _short(item: object) -> str:
    shown = repr(item)
    return shown if len(shown) <= 40 else f"{shown[:39]}…"
