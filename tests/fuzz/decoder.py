"""What is fuzzed: a decoder of bytes from outside this process, and the law that holds for what it accepts."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from attrs import frozen


class NotCanonicalError(AssertionError):
    """A decoder accepted bytes that are not the encoding of what it read from them."""


@frozen
class Decoder:
    """`decode` gives what the bytes are or raises one of `refuses`; `holds` asserts the law for what was accepted.

    Whatever else either raises is a fault. `seeds`: inputs that are accepted, made when they are needed. `most`: bytes
    of an input that are worth trying.
    """

    name: str
    decode: Callable[[bytes], Any]
    refuses: tuple[type[BaseException], ...]
    holds: Callable[[Any, bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    most: int = 4096

    def __call__(self, data: bytes) -> bool:
        """Whether `data` was accepted. Raises what is a fault."""
        try:
            value = self.decode(data)
        except self.refuses as error:
            if isinstance(error, (RecursionError, MemoryError)):
                raise
            return False
        self.holds(value, data)
        return True


def same(again: bytes, data: bytes) -> None:
    """The law of one encoding: what was read is written as it was."""
    if again != data:
        raise NotCanonicalError(f"{data.hex()[:200]} was read, it is written {again.hex()[:200]}")


def no_law(_value: Any, _data: bytes) -> None:
    """For what has no encoding of its own: that nothing but a refusal is raised is all there is to hold."""


def driven(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits, because whatever it reads from is there."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise AssertionError("it waits for something")
