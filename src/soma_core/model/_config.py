"""The shape of a byte transformer, and which tensors it must have."""

from typing import ClassVar, Final

from attrs import frozen

from ._contract import VOCABULARY
from ._shape import Shape, whole

ARCHITECTURE: Final = "byte-transformer-1"
"""The name in the genesis list of architectures."""


@frozen(kw_only=True)
class ModelConfig(Shape):
    """Whole numbers only, so that a config can be hashed.

    `dim`: length of a vector. `ffn`: width of the hidden layer. `heads` divides `dim` into an even number. `seq`: bytes
    of a chunk. `rope_base`, `rope_scale`: angle = position / rope_base^(2i/d) / rope_scale. Raises `DecodeError`.
    """

    architecture: ClassVar[str] = ARCHITECTURE
    called: ClassVar[str] = "model config"
    remedy: ClassVar[str] = "see the table of rule M7 in specs/20-model.md"

    dim: int = whole(2, 8192)
    ffn: int = whole(1, 65536)
    layers: int = whole(1, 128)
    heads: int = whole(1, 256)
    seq: int = whole(2, 16384)
    rope_base: int = whole(2, 1 << 40)
    rope_scale: int = whole(1, 1 << 20)

    def __attrs_post_init__(self) -> None:
        if self.dim % self.heads or self.dim // self.heads % 2:
            raise self.refusal(f"{self.heads} heads do not cut a vector of {self.dim} into equal, even parts")

    @property
    def head_dim(self) -> int:
        """Length of one head's part of a vector."""
        return self.dim // self.heads

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by name, in the order of their names: 16 · layers + 5 of them."""
        d, f = self.dim, self.ffn
        out: dict[str, tuple[int, ...]] = {
            "embedding.weight": (VOCABULARY, d),
            "final_norm.beta": (d,),
            "final_norm.gamma": (d,),
            "predictor.bias": (VOCABULARY,),
            "predictor.weight": (d, VOCABULARY),
        }
        for i in range(self.layers):
            layer = f"encoder.layers.{i}"
            for norm in ("norm_1", "norm_2"):
                out[f"{layer}.{norm}.beta"] = out[f"{layer}.{norm}.gamma"] = (d,)
            for part in ("key", "output", "query", "value"):
                out[f"{layer}.attention.{part}.bias"] = (d,)
                out[f"{layer}.attention.{part}.weight"] = (d, d)
            out[f"{layer}.pwff.linear_inner.bias"] = (f,)
            out[f"{layer}.pwff.linear_inner.weight"] = (d, f)
            out[f"{layer}.pwff.linear_outer.bias"] = (d,)
            out[f"{layer}.pwff.linear_outer.weight"] = (f, d)
        return dict(sorted(out.items()))
