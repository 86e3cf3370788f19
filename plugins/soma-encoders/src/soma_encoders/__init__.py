"""Five small trained byte transformers, and the data that ties them to a network. Files only: nothing here computes.

``catalogue.json`` lists every file with its digest; ``LICENSES.md`` says under which terms each may be used.
"""

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["anchors", "catalogue", "directory", "held_out", "modalities", "names", "path", "references", "samples"]

_MODALITIES: Final = {
    "text": frozenset({"text"}),
    "code": frozenset({"code"}),
    "image": frozenset({"image"}),
    "audio": frozenset({"audio"}),
    "generalist": frozenset({"text", "code", "image", "audio"}),
}


def directory() -> Path:
    """The folder of all data files."""
    return Path(__file__).parent / "data"


def names() -> tuple[str, ...]:
    """Names of the bundled encoders."""
    return tuple(_MODALITIES)


def path(name: str) -> Path:
    """The weights file of the encoder `name`; its config and frame map stand beside it. Raises `KeyError`."""
    if name not in _MODALITIES:
        raise KeyError(name)
    return directory() / f"{name}.safetensors"


def modalities(name: str) -> frozenset[str]:
    """What the encoder `name` was trained on. Raises `KeyError`."""
    return _MODALITIES[name]


def anchors() -> Path:
    """The pack of anchor items, through whose vectors every frame map is fitted (``specs/21-frame.md``)."""
    return directory() / "anchors.pack"


def references() -> Path:
    """Reference vectors of the anchors, in their order: int16, little endian, 128 numbers each."""
    return directory() / "references.i16"


def held_out() -> Path:
    """The pack of items that no encoder was trained on, from other files and other seeds."""
    return directory() / "heldout.pack"


def samples() -> tuple[Path, ...]:
    """A text, a source file, a picture and a sound to try things on."""
    folder = directory() / "samples"
    return tuple(folder / name for name in ("note.txt", "paths.py", "temple.jpg", "glass.wav"))


def catalogue() -> dict[str, Any]:
    """What is in this package: size and digests of every file, and how the encoders were made."""
    parsed: dict[str, Any] = json.loads((directory() / "catalogue.json").read_text("utf-8"))
    return parsed
