"""A model as one run of bytes: what an encoder's operator offers as a blob, and an auditor fetches."""

from pathlib import Path
from typing import Final, Self

from attrs import frozen

from soma_core.errors import DecodeError, SettingsError
from soma_core.records import octets, text

from ._architectures import read_config
from ._frame import MAX_FRAME, read_frame
from ._weights import locate, weights_digest

CONFIG_MAX: Final = 1 << 16
"""Characters of a config."""
WEIGHTS_MAX: Final = 1 << 26
"""Bytes of a weights file that travels: no blob is longer."""


@frozen(kw_only=True)
class ModelFiles:
    """The files of one model. `config`: JSON. `weights`: safetensors. `frame`: the encoding of its frame map."""

    config: str = text(most=CONFIG_MAX)
    weights: bytes = octets(most=WEIGHTS_MAX)
    frame: bytes = octets(most=MAX_FRAME)

    @classmethod
    def read(cls, weights: str | Path) -> Self:
        """The files of a bundled name or a path. Raises `SettingsError` where one is missing or cannot be read."""
        path = locate(weights)
        try:
            config, frame = path.with_suffix(".json").read_text("utf-8"), path.with_suffix(".frame").read_bytes()
            return cls(config=config, weights=path.read_bytes(), frame=frame)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path}: its model cannot be offered: {error}", "see what stands beside it") from error

    def check(self, weights: bytes, frame: bytes) -> None:
        """Refuse other files than those of these two digests. Raises `DecodeError`."""
        found = weights_digest(read_config(self.config), self.weights)
        if found != weights or read_frame(self.frame, weights).digest() != frame:
            raise DecodeError("these are not the weights and the frame map that were registered", "fetch others")
