"""The shape of a symbol encoder, and which tensors it must have: chapter ``specs/81-symbol-encoder.md``."""

from typing import ClassVar, Final, Literal, get_args

from attrs import field, frozen

from ._shape import Shape, whole

Strategy = Literal["feature", "hash", "semantic", "hybrid"]
"""What a vector is made of."""
STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)


def _strategy(instance: Shape, _attribute: object, value: object) -> None:
    if value not in STRATEGIES:
        raise instance.refusal(f"the strategy is {value!r:.60}, not one of {', '.join(STRATEGIES)}")


@frozen(kw_only=True)
class SymbolsConfig(Shape):
    """`dim`: length of a vector, even. `seq`: bytes of a chunk. The other three are powers of two.

    `tokens`, `grams`: rows of the two tables of vectors. `slots`: entries of the byte model. Raises `DecodeError`.
    """

    architecture: ClassVar[str] = "symbols-1"
    called: ClassVar[str] = "symbols config"
    remedy: ClassVar[str] = "see rule LS7 in specs/81-symbol-encoder.md"

    strategy: Strategy = field(validator=_strategy)
    dim: int = whole(8, 4096)
    tokens: int = whole(1 << 4, 1 << 22, power=True)
    grams: int = whole(1 << 4, 1 << 22, power=True)
    slots: int = whole(1 << 8, 1 << 24, power=True)
    seq: int = whole(2, 4096)

    def __attrs_post_init__(self) -> None:
        if self.dim % 2:
            raise self.refusal(f"dim is {self.dim}, not even: two numbers share a byte")

    @property
    def dtypes(self) -> dict[str, str]:
        """None is ``F32``: a symbol encoder knows whole numbers alone."""
        return {
            "bytes.entries": "I8",
            "grams.vectors": "U8",
            "grams.weights": "U16",
            "tokens.prints": "U16",
            "tokens.vectors": "U8",
            "tokens.weights": "U16",
        }

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by name, in the order of their names."""
        return {
            "bytes.entries": (self.slots,),
            "grams.vectors": (self.grams, self.dim // 2),
            "grams.weights": (self.grams,),
            "tokens.prints": (self.tokens,),
            "tokens.vectors": (self.tokens, self.dim // 2),
            "tokens.weights": (self.tokens,),
        }
