"""Tokenizers: bytes cut into tokens, several ways at once. Pure: no I/O once it is open, no state between calls."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen(eq=False)
class Tokens:
    """Consecutive tokens of one stream, in columns: token i is bytes ``bounds[i]:bounds[i + 1]`` of the document.

    `bounds`: int64 [n + 1], offsets in bytes from the beginning of the document, strictly ascending. `kinds`: uint8
    [n], places in the names that `Tokenizer.streams` gives for the stream. Tokens have no gaps by their form.
    """

    bounds: "NDArray[np.int64]"
    kinds: "NDArray[np.uint8]"

    def __len__(self) -> int:
        return len(self.kinds)


class Tokenizer(Protocol):
    """What cuts any bytes into tokens that are exactly those bytes again, in order."""

    streams: Mapping[str, tuple[str, ...]]
    """Name of each way to cut, in a fixed order → names of its kinds of token."""

    def tokenize(self, stream: str, pieces: Iterable[bytes], /) -> Iterator[Tokens]:
        """The tokens of a document that comes in `pieces`; where these are cut changes no token.

        Together the results begin at 0, end at the document's length, and each begins where the one before ended. An
        empty document has no token. What is held meanwhile is bounded, however long the document is. Raises
        `ValueError` for a stream that there is not.
        """
        ...
