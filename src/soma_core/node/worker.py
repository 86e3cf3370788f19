"""A worker: the child process of one encoder plugin. ``python -P -m soma_core.node.worker``.

It confines itself before it imports anything of the plugin, opens the encoder, and answers batches, one after the
other, in its main thread; a second thread reads requests and cancellations, and ends the process with its pipe. What
the plugin prints goes to the log. Rules W1 to W18 of ``specs/05-keys-and-processes.md``.
"""

import json
import logging
import os
import queue
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from attrs import evolve, frozen

from soma_core.codec import Value, decode
from soma_core.errors import DecodeError, EncoderError, PluginError, SomaError, UnwantedError
from soma_core.records import octets, structure, text, uint

from ._confinement import confine, leave_ending_to_the_node, take_pipes
from ._frames import FRAME_MAX, PREFIX, frame, frame_length, write_all
from ._guard import stand_guard

if TYPE_CHECKING:
    from soma_core.api import Encoder, EncoderInfo

BULK_MAX: Final = 1 << 26
"""Bytes that travel raw behind one frame: the items of a batch, or its vectors and losses, or a frame map."""
ITEMS_MAX: Final = 1024
"""Items of one batch, whatever an encoder says it takes."""
SIGN_MAX: Final = 32_768
"""Bytes an encoder may have signed at once."""
SIGN_SECONDS: Final = 30.0
"""Seconds an encoder waits for a signature."""
CONFIG_MAX: Final = 32_768
"""Characters of an encoder's settings as JSON."""

AXES_MAX: Final = 4
WIDTHS: Final = {
    "|b1": 1,
    **{f"|{letter}1": 1 for letter in "iu"},
    **{f"<{letter}{width}": width for letter in "iu" for width in (2, 4, 8)},
    **{f"<f{width}": width for width in (2, 4, 8)},
    "<c8": 8,
    "<c16": 16,
}
"""Types of arrays that travel, and their width in bytes. The node then takes two of them and refuses others by name."""

NO_MEMORY: Final = 12
"""Exit status of a worker that has reached its limit of memory. What it holds is not to be had back: it ends."""

_LAST = 2.0  # seconds to finish and close after the pipe has ended


@frozen
class Open:
    """The first request, with id 0: confine yourself and open the encoder of one plugin. `config` is JSON.

    `key` and `chain`: as whom it calls others, if it needs an identity; else empty.
    """

    plugin: tuple[str, str, str, str, str]
    hidden: tuple[str, ...]
    shown: tuple[str, ...]
    needs: tuple[str, ...]
    config: str = text(most=CONFIG_MAX)
    directory: str = text(most=4096)
    memory: int = uint(least=1 << 20)
    key: bytes = octets(most=32, default=b"")
    chain: bytes = octets(most=32, default=b"")


@frozen
class Run:
    """A batch: items of `sizes` bytes follow raw. With a seed the losses are wanted too. `job`: its key, or empty."""

    sizes: tuple[int, ...]
    seed: bytes | None
    job: bytes = octets(most=32, default=b"")


REQUESTS: Final[dict[str, type[Any]]] = {"open": Open, "run": Run}
"""Requests are [id, name, fields]; beside them [id, "cancel"] and answers to "sign", [n, "signed", signature or None].
Answers: [id, "open", info, isolation] · [id, "run", arrays] · [id, "failed", what, remedy] · [id, "skipped"]; and,
while a batch runs, [n, "sign", body]. Arrays are (type, shape); their bytes follow raw."""


class Pipe:
    """The frames of this process: written from any thread, read by `Inbox` alone."""

    def __init__(self, source: int, sink: int) -> None:
        self._source: BinaryIO = os.fdopen(source, "rb")
        self._sink = sink
        self._lock = threading.Lock()

    def send(self, value: object, *bulk: "bytes | memoryview") -> None:
        """A frame and what follows it raw. Ends the process if nobody reads any more."""
        with self._lock:
            try:
                write_all(self._sink, frame(value))
                for data in bulk:
                    write_all(self._sink, data)
            except OSError:
                os._exit(0)

    def value(self) -> Value:
        """The next frame's value. Raises `EOFError`, `DecodeError`."""
        return decode(self.raw(frame_length(self.raw(PREFIX))), max_size=FRAME_MAX)

    def raw(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises `EOFError`."""
        data = self._source.read(size)
        if len(data) < size:
            raise EOFError
        return data


class Inbox:
    """What the node says, read by a thread: batches to run, which of them are cancelled, signatures asked for."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.batches: queue.Queue[tuple[int, Run, list[bytes]] | None] = queue.Queue()
        self.cancelled: set[int] = set()
        self.number = 0
        """Of the batch under way."""
        self.job = b""
        """Its job; empty for none."""
        self._signatures: queue.Queue[tuple[int, bytes | None]] = queue.Queue()
        self._signing = threading.Lock()
        self._asked = 0

    def is_cancelled(self) -> bool:
        """Whether nobody waits for the batch under way any more."""
        return self.number in self.cancelled

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def sign(self, body: bytes) -> bytes:
        """The node's signature of `body` under ``soma/webhook``. Raises `EncoderError`. Any thread may call it."""
        if len(body) > SIGN_MAX:
            raise EncoderError(f"{len(body)} bytes to sign", f"sign at most {SIGN_MAX}, or a digest")
        with self._signing:
            self._asked += 1
            self._pipe.send([self._asked, "sign", bytes(body)])
            try:
                number, signature = self._signatures.get(timeout=SIGN_SECONDS)
                while number != self._asked:  # of one that was given up
                    number, signature = self._signatures.get(timeout=SIGN_SECONDS)
            except queue.Empty:
                raise EncoderError("the node did not sign in time", "see its log") from None
        if signature is None:
            raise EncoderError("the node did not sign", "see its log; has it a key for encoder?")
        return signature

    def _read(self) -> None:
        status = 0
        try:
            while True:
                self._take(self._pipe.value())
        except EOFError:
            pass
        except MemoryError:
            _out_of_memory()
        except DecodeError as error:
            sys.stderr.write(f"what came in was no request: {error}\n")
            status = 1
        self.batches.put(None)
        threading.Event().wait(_LAST)  # the main thread ends the process, unless it is still busy or stuck
        os._exit(status)

    def _take(self, value: Value) -> None:
        match value:
            case [int(number), "run", dict(fields)]:
                run = structure(Run, fields)
                if len(run.sizes) > ITEMS_MAX or sum(run.sizes) > BULK_MAX or min(run.sizes, default=0) < 0:
                    raise DecodeError("a batch above the limits", f"{ITEMS_MAX} items, {BULK_MAX} bytes")
                self.batches.put((number, run, [self._pipe.raw(size) for size in run.sizes]))
            case [int(number), "cancel"]:
                self.cancelled.add(number)
            case [int(number), "signed", bytes() | None as signature]:
                self._signatures.put((number, signature))
            case _:
                raise DecodeError(f"{value!r:.80} is no request", "speak the frames of specs/05")


def serve(encoder: "Encoder", pipe: Pipe, inbox: Inbox) -> None:
    """Run batches in their order until the pipe ends. A batch that was cancelled is skipped, or given up."""
    while (batch := inbox.batches.get()) is not None:
        number, run, items = batch
        if number in inbox.cancelled:
            pipe.send([number, "skipped"])
        else:
            inbox.number, inbox.job = number, run.job
            try:
                header, bulk = _compute(encoder, items, run.seed)
            except UnwantedError:
                pipe.send([number, "skipped"])
            except EncoderError as error:
                pipe.send([number, "failed", error.what, error.remedy])
            except MemoryError:
                _out_of_memory()
            else:
                pipe.send([number, "run", header], *bulk)
        inbox.cancelled.discard(number)


def _out_of_memory() -> None:
    """End: a worker that leaks would fail from now on, and a new one does not."""
    os.write(2, b"out of memory\n")
    os._exit(NO_MEMORY)


def _compute(encoder: Any, items: Sequence[bytes], seed: bytes | None) -> tuple[list[Any], list[memoryview]]:
    try:
        plain = [_array(array) for array in _call(encoder, items, seed)]
    except UnwantedError:
        raise
    except SomaError as error:
        raise EncoderError(error.what, error.remedy) from error
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:  # whatever a foreign encoder raises
        from soma_core.plugins import describe

        sys.stderr.write(traceback.format_exc())
        verb = "encode" if seed is None else "evaluate"
        raise EncoderError(f"{verb} raised {describe(error)}", "see the log above") from error
    if sum(array.nbytes for array in plain) > BULK_MAX:
        raise EncoderError(f"it gave arrays of {[a.shape for a in plain]}", "return [B, dim] for B items")
    header = [(array.dtype.str, [int(n) for n in array.shape]) for array in plain]
    return header, [memoryview(array.reshape(-1).view("u1")) for array in plain if array.size]


def _call(encoder: Any, items: Sequence[bytes], seed: bytes | None) -> list[Any]:
    if seed is None:
        return [encoder.encode(items)]
    if getattr(encoder, "evaluate", None) is None:
        raise EncoderError("it has no losses", "ask an encoder whose features have loss")
    evaluation = encoder.evaluate(items, seed)
    return [evaluation.vectors, evaluation.bits_per_byte]


def _array(value: Any) -> Any:
    """`value` as a contiguous, little-endian NumPy array, or an `EncoderError` that says what it was."""
    import numpy as np

    if not hasattr(value, "__array__"):
        raise EncoderError(f"it returned a {type(value).__name__}, not an array", "return float32 [B, dim]")
    array = np.asarray(value)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype.str not in WIDTHS or array.ndim > AXES_MAX:
        raise EncoderError(f"it returned {array.ndim} axes of {array.dtype}", "return float32 [B, dim]")
    return np.ascontiguousarray(array)


def main() -> int:
    """Serve the pipe this process was started with until it ends. The exit status: 0, or 1 after an error."""
    leave_ending_to_the_node()
    stand_guard()
    pipe = Pipe(*take_pipes())
    try:
        number, order = _first(pipe.value())
    except EOFError:
        return 0
    except DecodeError as error:
        sys.stderr.write(f"what came in was no request: {error}\n")
        return 1
    isolation = confine(
        Path(order.directory),
        map(Path, order.hidden),
        map(Path, order.shown),
        network="network" in order.needs,
        memory=order.memory,
    )
    inbox = Inbox(pipe)
    try:
        encoder = _open(order, inbox)
        info, frame_map = _info(encoder)
    except SomaError as error:
        pipe.send([number, "failed", error.what, error.remedy])
        return 1
    inbox.start()
    pipe.send([number, "open", info, list(isolation)], frame_map)
    serve(encoder, pipe, inbox)
    close = getattr(encoder, "close", None)
    if close is not None:
        close()
    return 0


def _first(value: Value) -> tuple[int, Open]:
    match value:
        case [int(number), "open", dict(fields)]:
            return number, structure(Open, fields)
    raise DecodeError(f"{value!r:.80} does not open an encoder", "speak the frames of specs/05")


def _open(order: Open, inbox: Inbox) -> "Encoder":
    from soma_core.api import EncoderContext
    from soma_core.config import instance
    from soma_core.plugins import Plugin, Plugins, open_failed

    plugin = Plugin(*order.plugin)
    spec = Plugins((plugin,)).spec("encoder", plugin.name)
    if more := sorted(set(spec.needs) - set(order.needs)):
        raise PluginError(f"{plugin.title}: needs {', '.join(more)}, which it was not granted", "grant it, or leave it")
    config = instance(spec.config, json.loads(order.config), f"{plugin.kind}.{plugin.short}", "config")
    log = logging.getLogger(f"soma.{plugin.name}")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    context = EncoderContext(plugin.name, Path(order.directory), log, cancelled=inbox.is_cancelled)
    if "identity" in order.needs:
        context = evolve(context, sign=inbox.sign, key=order.key, chain=order.chain, job=lambda: inbox.job)
    try:
        return spec.open(config, context)
    except (Exception, SystemExit) as error:  # whatever a foreign module raises
        raise open_failed(plugin, error) from error


def _info(encoder: "Encoder") -> tuple[dict[str, object], bytes]:
    info: EncoderInfo | None = getattr(encoder, "info", None)
    if info is None:
        raise PluginError(f"open returned a {type(encoder).__name__} without info", "give it info = EncoderInfo(…)")
    fields: dict[str, object] = {
        "dim": info.dim,
        "weights": info.weights,
        "architecture": info.architecture,
        "numeric": info.numeric,
        "modalities": sorted(info.modalities),
        "max_batch": info.max_batch,
        "frame": len(info.frame),
    }
    try:
        frame(fields)
    except DecodeError as error:
        raise PluginError(f"its info is wrong: {error.what}", "see soma_core.api.EncoderInfo") from error
    return fields, info.frame


if __name__ == "__main__":
    sys.exit(main())
