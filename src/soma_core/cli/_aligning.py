"""Bringing a model into the network's frame: the bundled anchors go through it, a map and a speciality come out."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import fields_dict, frozen

from soma_core.crypto import DIGEST_SIZE
from soma_core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from soma_core.model import Agreement, FrameMap, Speciality

AT_ONCE: Final = 16
"""Anchors given to the engine at a time."""
CHECKED: Final = 4
"""One anchor in so many is kept from a second fit, which is then checked on it."""
LEAST: Final = 4
"""Of so many anchors one must be taken, at least."""
ENGINES: Final = ("encoder-jax", "encoder-symbols", "encoder-numpy")
"""Plugins that run weights files, the faster first."""
RUNS: Final = {"encoder-jax": ("byte-transformer-1",), "encoder-symbols": ("symbols-1",)}
"""Architectures, by plugin; one that is not named runs every one."""

Told = Callable[[int, int], None]
"""Hears how many anchors of how many have gone through."""


@frozen(eq=False)
class Aligned:
    """What alignment gives. `agreement`: of anchors that the map was not fitted on with the references.

    `speciality`: none of an encoder without losses. `anchors`: how many of them the encoder takes.
    """

    frame: "FrameMap"
    speciality: "Speciality | None"
    agreement: "Agreement"
    anchors: int


def engine_installed(architecture: str = "byte-transformer-1") -> str:
    """The fastest installed engine that runs weights of this architecture. Raises `UsageError` if there is none."""
    from soma_core.plugins import scan

    names = {plugin.name for plugin in scan()}
    for name in ENGINES:
        if name in names and architecture in RUNS.get(name, (architecture,)):
            return name
    raise UsageError(
        f"no engine that runs weights of {architecture} is installed", "python3 -m pip install soma-jax or soma-numpy"
    )


def engine_for(file: Path) -> str:
    """That of the architecture which the config beside a weights file names. Raises `SomaError`."""
    from soma_core.model import read_config

    from ._reading import read_file

    return engine_installed(read_config(read_file(file.with_suffix(".json"), 1 << 16)).architecture)


def align(file: Path, engine: str, told: Told, **settings: Any) -> Aligned:
    """Fit the map of a model, find what it is good at, and keep both beside its file. Raises `SomaError`.

    `settings`: those of the plugin `engine`, beside that which names the file.
    """
    frame_file, kept = file.with_suffix(".frame"), file.with_suffix(".frame.old")
    if frame_file.exists():
        frame_file.replace(kept)  # an engine that found it would give vectors of the old map, or none for new weights
    try:
        found = _fitted(_read(file, engine, settings, told))
    except BaseException:
        if kept.exists():
            kept.replace(frame_file)
        raise
    if found.speciality is not None:
        found.speciality.write(file)
    frame_file.write_bytes(found.frame.encoded())
    kept.unlink(missing_ok=True)
    return found


@frozen(eq=False)
class _Readings:
    """`places`: of the anchors that are taken. `vectors`: raw, [N, d]. `bits`: per byte [N], or none without losses."""

    digest: bytes
    places: list[int]
    vectors: "NDArray[np.float32]"
    bits: list[float]


def _fitted(read: _Readings) -> Aligned:
    import numpy as np

    from soma_core import chain, fixed
    from soma_core.model import Speciality, agreement, fit_frame, network_frame, unit

    references = network_frame()[1].astype(np.float64)[read.places]
    frame = fit_frame(read.digest, read.vectors, references)
    held = np.arange(len(references)) % CHECKED == 0
    trial = fit_frame(read.digest, read.vectors[~held], references[~held])
    agreed = agreement(trial.apply(read.vectors[held]), references[held])
    if not read.bits:
        return Aligned(frame, None, agreed, len(references))
    best = chain.best_anchors([round(loss * fixed.ONE) for loss in read.bits])
    chosen = np.unpackbits(np.frombuffer(best, np.uint8))[: len(references)].astype(bool)
    position = fixed.quantise(unit(np.asarray(frame.apply(read.vectors[chosen]))).sum(0))
    speciality = Speciality(weights=read.digest, best=best, position=fixed.vector_bytes(position))
    return Aligned(frame, speciality, agreed, len(references))


def _read(file: Path, engine: str, settings: dict[str, Any], told: Told) -> _Readings:
    """All anchors through the encoder. Of one that has losses all must be taken, of another those that it can take."""
    import numpy as np

    from soma_core.api.spec import EncoderContext
    from soma_core.config import instance
    from soma_core.model import bundled_anchors
    from soma_core.plugins import Plugins

    items = [item.data for item in bundled_anchors()]
    plugins = Plugins()
    plugin = plugins.find(engine)
    spec: Any = plugins.spec("encoder", engine)
    name = "weights" if "weights" in fields_dict(spec.config) else "file"
    named = {name: str(file.absolute()), **settings}
    config = instance(spec.config, named, f"encoder.{plugin.short}", "soma encoder align")
    with tempfile.TemporaryDirectory(prefix="soma-align-") as directory:
        encoder = spec.open(config, EncoderContext(engine, Path(directory), logging.getLogger(f"soma.{engine}")))
        try:
            if len(encoder.info.weights) != DIGEST_SIZE:
                raise UsageError(f"{engine}: its weights have no digest", "a map is bound to one; name another plugin")
            if "loss" in spec.features:
                vectors, bits = _judged(encoder, items, told)
                return _Readings(encoder.info.weights, list(range(len(items))), np.concatenate(vectors), bits)
            rows = _taken(encoder, items, told)
        finally:
            close = getattr(encoder, "close", None)
            if close is not None:
                close()
    if len(rows) * LEAST < len(items):
        raise UsageError(
            f"{engine} takes {len(rows)} of the network's {len(items)} anchors", f"it must take one in {LEAST} at least"
        )
    return _Readings(encoder.info.weights, list(rows), np.stack(list(rows.values())), [])


def _judged(encoder: Any, items: list[bytes], told: Told) -> "tuple[list[NDArray[np.float32]], list[float]]":
    vectors, bits = [], []
    for start, batch in _batches(items):
        given = encoder.evaluate(batch, b"")
        vectors.append(given.vectors)
        bits += [float(loss) for loss in given.bits_per_byte]
        told(start + len(batch), len(items))
    return vectors, bits


def _taken(encoder: Any, items: list[bytes], told: Told) -> "dict[int, NDArray[np.float32]]":
    """By place: one after the other, as one that is not taken would keep its batch."""
    rows: dict[int, NDArray[np.float32]] = {}
    for place, item in enumerate(items):
        try:
            rows[place] = encoder.encode([item])[0]
        except ValueError:
            continue
        finally:
            told(place + 1, len(items))
    return rows


def _batches(items: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    for start in range(0, len(items), AT_ONCE):
        yield start, items[start : start + AT_ONCE]
