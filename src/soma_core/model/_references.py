"""What the bundled encoders' frame is made of: the anchors' digest and the reference vectors."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soma_core.crypto import digest
from soma_core.errors import DecodeError

from ._weights import _bundle


def network_frame() -> tuple[bytes, NDArray[np.float64]]:
    """The digest of the bundled anchors, 32 bytes, and their reference vectors, float64 [N, D] of int16 values.

    Raises `SettingsError` if the bundled encoders are not installed.
    """
    bundle = _bundle()
    anchors = bundle.anchors().read_bytes()
    dimension = int(bundle.catalogue()["dimension"])
    flat = np.frombuffer(bundle.references().read_bytes(), "<i2")
    if flat.size % dimension:
        raise DecodeError(f"{flat.size} numbers are no vectors of {dimension}", "install soma-encoders again")
    return digest("soma/anchor", anchors), flat.reshape(-1, dimension).astype(np.float64)


def sample_files() -> tuple[Path, ...]:
    """A text, a source file, a picture and a sound that come with the bundled encoders."""
    return tuple(_bundle().samples())
