"""What a model is that is none of ours: its digest, its map into the frame, the length of its vectors. Rule M43."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import asdict
from numpy.typing import NDArray

from soma_core.api import EncoderInfo, TakingConfig
from soma_core.crypto import digest
from soma_core.errors import EncoderError, SettingsError

from ._taking import probe

OPAQUE: Final = "opaque"
"""The architecture of a model that nobody else can compute."""
UNSEEN: Final = frozenset({"file", "tokenizer", "device", "threads", "max_batch"})
"""Settings that change no vector, or name a file that is looked at itself."""


def foreign_info(
    config: TakingConfig, file: Path, max_batch: int, encode: Callable[[Sequence[bytes]], NDArray[Any]], named: str
) -> EncoderInfo:
    """What the model at `file` is, called `named`, that `encode`s as `config` says: it is tried on one item.

    Raises `SettingsError` if it cannot be run so.
    """
    settings = {name: value for name, value in asdict(config).items() if name not in UNSEEN}
    files = (Path(each).read_bytes() for each in (file, config.tokenizer) if each)
    frame = file.with_suffix(".frame")
    return EncoderInfo(
        dim=_dim(config, encode, named),
        weights=foreign_digest(settings, *files),
        frame=frame.read_bytes() if frame.exists() else b"",
        architecture=OPAQUE,
        numeric="other",
        modalities=frozenset({config.takes}),
        max_batch=max_batch,
    )


def foreign_digest(settings: Mapping[str, object], *files: bytes) -> bytes:
    """32 bytes that name a model which is none of ours: of all that makes its vectors, `settings` and `files`."""
    text = "\n".join(f"{name}={value!r}" for name, value in sorted(settings.items())).encode()
    parts = [part for file in (text, *files) for part in (len(file).to_bytes(8, "big"), file)]
    return digest("soma/weights", OPAQUE.encode(), *parts)


def _dim(config: TakingConfig, encode: Callable[[Sequence[bytes]], NDArray[Any]], named: str) -> int:
    try:
        return int(encode([probe(config.takes)]).shape[1])
    except EncoderError as error:
        raise SettingsError(error.what, error.remedy) from error
    except Exception as error:  # the runtime's, of several classes, or whatever somebody's model raises
        first = str(error).strip().partition("\n")[0]
        raise SettingsError(
            f"{named}: it cannot be run so: {first:.200}", "set takes, length, pad, width and height to what it takes"
        ) from error
