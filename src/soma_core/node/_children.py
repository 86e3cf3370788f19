"""Child processes of the node: how they are started and ended, what they inherit, and how requests reach them.

A child inherits three pipes and a short list of environment variables, is in a session of its own, and ends when its
standard input does.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Generic, TypeVar, final

import trio
from attrs import define, field

from soma_core.errors import DecodeError

from ._frames import FrameReader

A = TypeVar("A")

INHERITED: Final = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONDONTWRITEBYTECODE",
    "COVERAGE_PROCESS_START",  # so that tests see which lines of a child ran
    "COVERAGE_PROCESS_CONFIG",
)
"""What a child may know of the node's environment: where programs and libraries are, the language, no ``SOMA_*``."""
LAST: Final = 1.0
"""Seconds from the end of a child's output to its end; then it is killed."""
GRACE: Final = 5.0
"""Seconds a child has to end after its pipe is closed."""


class ChildEndedError(Exception):
    """The child is gone, or no longer understood: its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def environment(also: Iterable[str] = (), prefixes: tuple[str, ...] = (), **given: str) -> dict[str, str]:
    """The environment of a child: `INHERITED`, what `also` and `prefixes` name, and what is `given`."""
    names = {*INHERITED, *also}
    return {k: v for k, v in os.environ.items() if k in names or (prefixes and k.startswith(prefixes))} | given


async def start(module: str, variables: Mapping[str, str], directory: Path | None = None) -> trio.Process:
    """Start ``python -P -m MODULE`` with pipes, in a session of its own, in `directory`."""
    return await trio.lowlevel.open_process(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(variables),
        cwd=directory,
        start_new_session=True,
    )


async def end(process: trio.Process, grace: float = GRACE) -> int:
    """Close the child's pipe, wait `grace` seconds, then kill it. Its exit status. Not cancelled."""
    with trio.CancelScope(shield=True):
        assert process.stdin is not None
        with trio.move_on_after(grace):
            await process.stdin.aclose()
            await process.wait()
        process.kill()
        return await process.wait()


@asynccontextmanager
async def beside() -> AsyncIterator[trio.Nursery]:
    """A nursery for tasks beside the block, cancelled at its end. What the block raises leaves as it is, ungrouped."""
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001  # kept, and raised below
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised


@define(eq=False)
class _Waiting(Generic[A]):
    done: trio.Event = field(factory=trio.Event)
    answers: list[A] = field(factory=list)


@final
class Requests(Generic[A]):
    """Requests to one child and its answers, matched by number: any number of callers, one writer, one reader.

    `receive` reads one answer and its number, or None for what was no answer and is dealt with. At most `most` requests
    are on their way; further callers wait. The answer of a cancelled request is dropped.
    """

    def __init__(
        self, process: trio.Process, receive: "Callable[[FrameReader], Awaitable[tuple[int, A] | None]]", most: int
    ) -> None:
        self._process, self._receive = process, receive
        self._room = trio.Semaphore(most)
        self._outbox, self._outgoing = trio.open_memory_channel[bytes](0)
        self._waiting: dict[int, _Waiting[A]] = {}
        self._next = 0
        self._status: int | None = None

    async def ask(self, build: Callable[[int], bytes]) -> A:
        """The answer to the request that `build` makes of its number. Raises `ChildEndedError`."""
        async with self._room:
            number, waiting = self._next, _Waiting[A]()
            self._next += 1
            data = build(number)
            self._waiting[number] = waiting
            try:
                await self.tell(data)
                await waiting.done.wait()
            finally:
                del self._waiting[number]
        if not waiting.answers:
            raise self._ended()
        return waiting.answers[0]

    async def tell(self, data: bytes) -> None:
        """Send what has no answer. Raises `ChildEndedError`."""
        try:
            await self._outbox.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise self._ended() from None

    async def run(self) -> None:
        """Carry requests and answers until the child ends, or says what nobody understands, which ends it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            try:
                await self._read()
            finally:
                with trio.CancelScope(shield=True):
                    with trio.move_on_after(LAST):  # a child that ends by itself has a status of its own
                        await self._process.wait()
                    self._process.kill()
                    self._status = await self._process.wait()
                self._outgoing.close()
                for waiting in self._waiting.values():
                    waiting.done.set()
                nursery.cancel_scope.cancel()

    async def _write(self) -> None:
        assert self._process.stdin is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in self._outgoing:
                await self._process.stdin.send_all(data)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        reader = FrameReader(self._process.stdout)
        with suppress(EOFError, trio.BrokenResourceError, trio.ClosedResourceError, DecodeError):
            while True:
                answer = await self._receive(reader)
                if answer is not None and (waiting := self._waiting.get(answer[0])) is not None:
                    waiting.answers.append(answer[1])
                    waiting.done.set()

    def _ended(self) -> ChildEndedError:
        return ChildEndedError(0 if self._status is None else self._status)
