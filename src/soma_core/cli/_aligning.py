"""Bringing weights into the network's frame: the bundled anchors go through them, a map and a speciality come out."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from soma_core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from soma_core.model import Agreement, FrameMap, Speciality

AT_ONCE: Final = 16
"""Anchors given to the engine at a time."""
CHECKED: Final = 4
"""One anchor in so many is kept from a second fit, which is then checked on it."""
ENGINES: Final = ("encoder-jax", "encoder-numpy")
"""Plugins that run weights files, the faster first."""

Told = Callable[[int, int], None]
"""Hears how many anchors of how many have gone through."""


@frozen(eq=False)
class Aligned:
    """What alignment gives. `agreement`: of anchors that the map was not fitted on with the references."""

    frame: "FrameMap"
    speciality: "Speciality"
    agreement: "Agreement"


def engine_installed() -> str:
    """The fastest installed engine. Raises `UsageError` if there is none."""
    from soma_core.plugins import scan

    names = {plugin.name for plugin in scan()}
    for name in ENGINES:
        if name in names:
            return name
    raise UsageError("no engine that runs weights is installed", "python3 -m pip install soma-jax or soma-numpy")


def align(weights: Path, engine: str, told: Told) -> Aligned:
    """Fit the map of `weights`, find what they are good at, and keep both beside the file. Raises `SomaError`."""
    frame_file, kept = weights.with_suffix(".frame"), weights.with_suffix(".frame.old")
    if frame_file.exists():
        frame_file.replace(kept)  # an engine that found it would give vectors of the old map, or none for new weights
    try:
        found = _fitted(weights, engine, told)
    except BaseException:
        if kept.exists():
            kept.replace(frame_file)
        raise
    found.speciality.write(weights)
    frame_file.write_bytes(found.frame.encoded())
    kept.unlink(missing_ok=True)
    return found


def _fitted(weights: Path, engine: str, told: Told) -> Aligned:
    import numpy as np

    from soma_core import chain, fixed
    from soma_core.model import Speciality, agreement, bundled_anchors, fit_frame, load_weights, network_frame, unit

    digest = load_weights(weights).digest
    items = [item.data for item in bundled_anchors()]
    references = network_frame()[1].astype(np.float64)
    vectors, bits = _readings(weights, engine, items, told)
    frame = fit_frame(digest, vectors, references)
    held = np.arange(len(items)) % CHECKED == 0
    trial = fit_frame(digest, vectors[~held], references[~held])
    best = chain.best_anchors([round(float(loss) * fixed.ONE) for loss in bits])
    chosen = np.unpackbits(np.frombuffer(best, np.uint8))[: len(items)].astype(bool)
    position = fixed.quantise(unit(np.asarray(frame.apply(vectors[chosen]))).sum(0))
    speciality = Speciality(weights=digest, best=best, position=fixed.vector_bytes(position))
    return Aligned(frame, speciality, agreement(trial.apply(vectors[held]), references[held]))


def _readings(
    weights: Path, engine: str, items: list[bytes], told: Told
) -> "tuple[NDArray[np.float32], NDArray[np.float64]]":
    """Raw vectors [N, d] and bits per byte [N] of all items."""
    import numpy as np

    from soma_core.api.spec import EncoderContext
    from soma_core.config import instance
    from soma_core.plugins import Plugins

    plugins = Plugins()
    plugin = plugins.find(engine)
    spec: Any = plugins.spec("encoder", engine)
    settings = {"weights": str(weights.absolute())}
    config = instance(spec.config, settings, f"encoder.{plugin.short}", "soma encoder align")
    vectors, bits = [], []
    with tempfile.TemporaryDirectory(prefix="soma-align-") as directory:
        encoder = spec.open(config, EncoderContext(engine, Path(directory), logging.getLogger(f"soma.{engine}")))
        try:
            for start, batch in _batches(items):
                given = encoder.evaluate(batch, b"")
                vectors.append(given.vectors)
                bits.append(given.bits_per_byte)
                told(start + len(batch), len(items))
        finally:
            close = getattr(encoder, "close", None)
            if close is not None:
                close()
    return np.concatenate(vectors), np.concatenate(bits)


def _batches(items: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    for start in range(0, len(items), AT_ONCE):
        yield start, items[start : start + AT_ONCE]
