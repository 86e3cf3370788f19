"""How often one kind of byte follows another: a fingerprint of rhythm, not of words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from soma_core.api import EncoderContext, EncoderInfo, EncoderSpec, hookimpl, option

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


@frozen
class Config:
    kinds: int = option(8, "kinds that the 256 byte values are divided into", min=2, max=32)


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """Counts which kind of byte follows which."""
    return EncoderSpec(api=1, config=Config, open=Rhythm)


class Rhythm:
    def __init__(self, config: Config, _context: EncoderContext) -> None:
        self.kinds, self.info = config.kinds, EncoderInfo(dim=config.kinds**2)

    def encode(self, batch: Sequence[bytes]) -> "NDArray[float32]":
        import numpy as np

        out = np.full((len(batch), self.info.dim), 1.0, np.float32)
        for row, data in zip(out, batch, strict=True):
            kind = np.frombuffer(data, np.uint8).astype(int) * self.kinds // 256
            np.add.at(row, kind[:-1] * self.kinds + kind[1:], 1)
        return np.log(out, dtype=np.float32) + np.float32(0.01)
