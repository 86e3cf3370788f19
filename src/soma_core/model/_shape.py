"""What configs of all architectures have in common: numbers in their ranges, JSON, one encoding, tensors to match."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from attrs import asdict, field, fields, frozen

from soma_core import codec
from soma_core.errors import DecodeError

from ._json import read_json


def whole(low: int, high: int, *, power: bool = False) -> Any:
    """A field of whole numbers from `low` to `high`; with `power`, powers of two alone."""

    def check(instance: "Shape", attribute: Any, value: object) -> None:
        if type(value) is not int or not low <= value <= high:
            raise instance.refusal(f"{attribute.name} is {value!r:.60}, not in {low}..{high}")
        if power and value & (value - 1):
            raise instance.refusal(f"{attribute.name} is {value}, not a power of two")

    return field(validator=check)


@frozen(kw_only=True)
class Shape:
    """A config: whole numbers and names only, so that it can be hashed. Every reader raises `DecodeError`."""

    architecture: ClassVar[str]
    """The name in the genesis list of architectures."""
    called: ClassVar[str]
    """What errors call such a config."""
    remedy: ClassVar[str]
    """Where it is written down."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of a vector."""

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by name, in the order of their names."""

    @property
    def dtypes(self) -> dict[str, str]:
        """Of tensors by name, as a weights file calls it; what is not named is ``F32``."""
        return {}

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse tensors of other names or `shapes` than this config has."""
        wanted = self.shapes()
        if missing := sorted(wanted.keys() - shapes.keys()):
            raise DecodeError(f"weights: {len(missing)} tensors are missing, first {missing[0]}", self.remedy)
        if extra := sorted(shapes.keys() - wanted.keys()):
            raise DecodeError(f"weights: {len(extra)} tensors are unknown, first {extra[0]:.80}", self.remedy)
        for name, shape in wanted.items():
            found = tuple(shapes[name])
            if found != shape:
                raise DecodeError(f"weights: {name} has shape {list(found)}, not {list(shape)}", self.remedy)

    def encoded(self) -> bytes:
        """The one encoding of this config, of which the weights digest is made."""
        return codec.encode({"architecture": self.architecture, **asdict(self)})

    def to_json(self) -> str:
        """The text of the ``.json`` file beside a weights file."""
        return json.dumps({"architecture": self.architecture, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The config in `text`: every field, nothing else."""
        try:
            parsed = read_json(text)
        except ValueError as error:
            raise cls.refusal(f"not JSON: {error}") from error
        wanted = {"architecture", *(f.name for f in fields(cls))}
        if not isinstance(parsed, dict) or parsed.keys() != wanted:
            raise cls.refusal(f"it must have exactly {', '.join(sorted(wanted))}")
        if parsed.pop("architecture") != cls.architecture:
            raise cls.refusal(f"the architecture is not {cls.architecture}")
        return cls(**parsed)

    @classmethod
    def refusal(cls, what: str) -> DecodeError:
        """The error that says `what` of a config."""
        return DecodeError(f"{cls.called}: {what}", cls.remedy)
