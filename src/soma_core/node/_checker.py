"""Signatures and payload checked off the engine: all that wait in one call of a thread, and what held is remembered.

A signature or two, as a block has them whose payload is known, take less time than the way to the thread.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Protocol, final

import trio
from attrs import frozen

from soma_core import chain
from soma_core.crypto import verify
from soma_core.errors import CorruptionError, DecodeError

from .mempool import Mempool
from .threads import Thread

TOGETHER: Final = 512 << 10
"""Bytes checked in one call of the thread; one question always fits."""
HERE: Final = 2
"""Signatures that are checked without the thread, if no more wait."""
SIGNATURE_COST: Final = 128
"""Bytes that a signature counts for."""
REMEMBERED: Final = 16_384
"""Signatures and payload items that held; the first are forgotten."""

_Signature = tuple[bytes, bytes, bytes]


class Asker(Protocol):
    """Whoever has something checked."""

    def checked(self, identity: int, size: int, *, ok: bool) -> None:
        """The answer to its question `identity`, which counted for `size` bytes."""
        ...


@frozen
class _Question:
    asker: Asker
    identity: int
    signatures: tuple[_Signature, ...]
    payload: tuple[bytes, ...]
    size: int


@final
class Checker:
    """Answers in the order of the questions. A payload item is good if it is a transaction with a valid signature."""

    def __init__(self, thread: Thread, mempool: Mempool) -> None:
        self._thread = thread
        self._mempool = mempool
        self._questions: deque[_Question] = deque()
        self._some = trio.Event()
        self._held: OrderedDict[bytes, None] = OrderedDict()
        self.calls = 0
        """Of the thread, so far."""

    def ask(self, asker: Asker, identity: int, signatures: tuple[_Signature, ...], payload: tuple[bytes, ...]) -> int:
        """Queue a question; the answer comes by ``asker.checked``. Returns the bytes it counts for."""
        size = SIGNATURE_COST * len(signatures) + sum(len(item) for item in payload)
        self._questions.append(_Question(asker, identity, signatures, payload, size))
        self._some.set()
        return size

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            while not self._questions:
                self._some = trio.Event()
                await self._some.wait()
            asked = self._together()
            fresh = [self._unknown(question) for question in asked]
            if _is_little(fresh):
                answers = _all_hold(fresh)
                await trio.lowlevel.checkpoint()
            else:
                self.calls += 1
                answers = await self._thread.run(_all_hold, fresh)
            for question, checks, ok in zip(asked, fresh, answers, strict=True):
                if ok:
                    self._remember(checks)
                question.asker.checked(question.identity, question.size, ok=ok)

    def _together(self) -> list[_Question]:
        asked = [self._questions.popleft()]
        size = asked[0].size
        while self._questions and size + self._questions[0].size <= TOGETHER:
            asked.append(self._questions.popleft())
            size += asked[-1].size
        return asked

    def _unknown(self, question: _Question) -> list["_Check"]:
        """What of a question is not known to hold."""
        checks = [_Check(_name(b"s", *one), one, b"") for one in question.signatures]
        checks += [_Check(_name(b"p", p), None, p) for p in question.payload if not self._mempool.holds(p)]
        return [check for check in checks if check.name not in self._held]

    def _remember(self, checks: list["_Check"]) -> None:
        for check in checks:
            self._held[check.name] = None
        while len(self._held) > REMEMBERED:
            self._held.popitem(last=False)


@frozen
class _Check:
    """One signature, or one payload item. `name`: under which it is remembered."""

    name: bytes
    signature: _Signature | None
    item: bytes

    def holds(self) -> bool:
        if self.signature is not None:
            return verify(*self.signature)
        try:
            return chain.parse_wire(self.item).signature_holds()
        except (DecodeError, CorruptionError):
            return False


def _name(kind: bytes, *parts: bytes) -> bytes:
    """A digest, so that what is remembered is small; each part behind its length."""
    state = blake2b(kind, digest_size=32)
    for part in parts:
        state.update(len(part).to_bytes(4, "big"))
        state.update(part)
    return state.digest()


def _is_little(questions: Sequence[Sequence[_Check]]) -> bool:
    checks = [check for checks in questions for check in checks]
    return len(checks) <= HERE and all(check.signature is not None for check in checks)


def _all_hold(questions: Sequence[Sequence[_Check]]) -> list[bool]:
    return [all(check.holds() for check in checks) for checks in questions]
