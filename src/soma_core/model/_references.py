"""What the bundled encoders' frame is made of: the anchors' digest and the reference vectors."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soma_core.crypto import digest
from soma_core.errors import DecodeError

from ._items import Item, read_pack
from ._weights import _bundle


def network_frame() -> tuple[bytes, NDArray[np.int16]]:
    """The digest of the bundled anchors, 32 bytes, and their reference vectors, int16 [N, D].

    Raises `SettingsError` if the bundled encoders are not installed.
    """
    bundle = _bundle()
    anchors = bundle.anchors().read_bytes()
    items = len(read_pack(anchors))
    data = bundle.references().read_bytes()
    if not items or not data or len(data) % (2 * items):
        raise DecodeError(f"{len(data)} bytes are no vectors for {items} anchors", "install soma-encoders again")
    return digest("soma/anchor", anchors), np.frombuffer(data, "<i2").reshape(items, -1).astype(np.int16)


def bundled_anchors() -> tuple[Item, ...]:
    """The anchor items, in their order. Raises `SettingsError` if the bundled encoders are not installed."""
    return read_pack(_bundle().anchors().read_bytes())


def bundled_held_out() -> tuple[Item, ...]:
    """Items that no bundled encoder was trained on. Raises `SettingsError` if their package is not installed."""
    return read_pack(_bundle().held_out().read_bytes())


def sample_files() -> tuple[Path, ...]:
    """A text, a source file, a picture and a sound that come with the bundled encoders."""
    return tuple(_bundle().samples())
