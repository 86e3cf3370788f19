"""The shape of a byte transformer, and which tensors it must have."""

import json
from collections.abc import Mapping
from typing import Any, Final, Self

from attrs import asdict, field, fields, frozen

from soma_core import codec
from soma_core.errors import DecodeError

from ._contract import VOCABULARY
from ._json import read_json

ARCHITECTURE: Final = "byte-transformer-1"
"""The name in the genesis list of architectures."""

_REMEDY: Final = "see the table of rule M7 in specs/20-model.md"


def _whole(low: int, high: int) -> Any:
    def check(_instance: object, attribute: Any, value: object) -> None:
        if type(value) is not int or not low <= value <= high:
            raise DecodeError(f"model config: {attribute.name} is {value!r:.60}, not in {low}..{high}", _REMEDY)

    return field(validator=check)


@frozen(kw_only=True)
class ModelConfig:
    """Whole numbers only, so that a config can be hashed.

    `dim`: length of a vector. `ffn`: width of the hidden layer. `heads` divides `dim` into an even number. `seq`: bytes
    of a chunk. `rope_base`, `rope_scale`: angle = position / rope_base^(2i/d) / rope_scale. Raises `DecodeError`.
    """

    dim: int = _whole(2, 8192)
    ffn: int = _whole(1, 65536)
    layers: int = _whole(1, 128)
    heads: int = _whole(1, 256)
    seq: int = _whole(2, 16384)
    rope_base: int = _whole(2, 1 << 40)
    rope_scale: int = _whole(1, 1 << 20)

    def __attrs_post_init__(self) -> None:
        if self.dim % self.heads or self.dim // self.heads % 2:
            raise DecodeError(
                f"model config: {self.heads} heads do not cut a vector of {self.dim} into equal, even parts", _REMEDY
            )

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

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse tensors of other names or `shapes` than this config has. Raises `DecodeError`."""
        wanted = self.shapes()
        if missing := sorted(wanted.keys() - shapes.keys()):
            raise DecodeError(f"weights: {len(missing)} tensors are missing, first {missing[0]}", _REMEDY)
        if extra := sorted(shapes.keys() - wanted.keys()):
            raise DecodeError(f"weights: {len(extra)} tensors are unknown, first {extra[0]:.80}", _REMEDY)
        for name, shape in wanted.items():
            found = tuple(shapes[name])
            if found != shape:
                raise DecodeError(f"weights: {name} has shape {list(found)}, not {list(shape)}", _REMEDY)

    def encoded(self) -> bytes:
        """The one encoding of this config, of which the weights digest is made."""
        return codec.encode({"architecture": ARCHITECTURE, **asdict(self)})

    def to_json(self) -> str:
        """The text of the ``.json`` file beside a weights file."""
        return json.dumps({"architecture": ARCHITECTURE, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The config in `text`: every field, nothing else. Raises `DecodeError`."""
        try:
            parsed = read_json(text)
        except ValueError as error:
            raise DecodeError(f"model config: not JSON: {error}", _REMEDY) from error
        wanted = {"architecture", *(f.name for f in fields(cls))}
        if not isinstance(parsed, dict) or parsed.keys() != wanted:
            raise DecodeError(f"model config: it must have exactly {', '.join(sorted(wanted))}", _REMEDY)
        if parsed.pop("architecture") != ARCHITECTURE:
            raise DecodeError(f"model config: the architecture is not {ARCHITECTURE}", _REMEDY)
        return cls(**parsed)
