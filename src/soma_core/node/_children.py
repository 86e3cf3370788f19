"""Child processes of the node: how they are started and ended, what they inherit, and how requests reach them.

A child inherits three pipes and a short list of environment variables, is in a session of its own, and ends when its
standard input does.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from logging import Logger
from math import inf
from pathlib import Path
from typing import Final, Generic, TypeVar, final

import trio
from attrs import define, field

from soma_core.errors import DecodeError

from ._child_log import log_errors
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
WATCH: Final = 1.0
"""Seconds between two looks at whether a busy child makes progress, at most."""
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
class Child(Generic[A]):
    """One child process: requests and answers matched by number, its log, and the end of it.

    `receive` reads one answer and its number, or None for what was no answer and is dealt with. At most `most` requests
    are with the child, further callers wait. A cancelled request is with the child until its answer comes, which is
    dropped. A child that has requests and answers none of them for `patience` seconds is killed.
    """

    def __init__(
        self,
        process: trio.Process,
        receive: Callable[[FrameReader], Awaitable[tuple[int, A] | None]],
        *,
        most: int,
        log: Logger,
        patience: float = inf,
    ) -> None:
        self.process = process
        self.patience = patience
        self.overstayed = False
        """Whether it was killed because it did not answer."""
        self.ended = trio.Event()
        self.answered = 0
        """Answers so far."""
        self._receive, self._log = receive, log
        self._room = trio.Semaphore(most)
        # A request and its cancellation have room for each request, so that telling never waits.
        self._outbox, self._outgoing = trio.open_memory_channel[bytes](4 * most)
        self._waiting: dict[int, _Waiting[A]] = {}
        self._busy = trio.Event()
        self._progress = trio.current_time()
        self._next = 0
        self._status: int | None = None
        self._reaped = False

    async def ask(self, build: Callable[[int], bytes], cancel: Callable[[int], bytes] | None = None) -> A:
        """The answer to the request that `build` makes of its number. Raises `ChildEndedError`.

        If the caller is cancelled, what `cancel` makes of the number is told to the child.
        """
        await self._room.acquire()
        try:
            number, waiting = self._next, _Waiting[A]()
            self._next += 1
            self.tell(build(number))
        except BaseException:
            self._room.release()
            raise
        if not self._waiting:
            self._progress = trio.current_time()
            self._busy.set()
        self._waiting[number] = waiting
        try:
            await waiting.done.wait()
        except trio.Cancelled:
            if cancel is not None and number in self._waiting and self._status is None:
                self.tell(cancel(number))
            raise
        if not waiting.answers:
            raise self._gone()
        return waiting.answers[0]

    def tell(self, data: bytes) -> None:
        """Send what has no answer. Raises `ChildEndedError`, also for a child that lets too much of it lie unread."""
        try:
            self._outbox.send_nowait(data)
        except trio.WouldBlock:
            self.kill()
            raise self._gone() from None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise self._gone() from None

    async def run(self) -> None:
        """Carry requests, answers and log lines until the child ends, says what nobody understands, or overstays."""
        async with trio.open_nursery() as nursery:
            logged = trio.Event()
            nursery.start_soon(self._copy_log, logged)
            nursery.start_soon(self._write)
            nursery.start_soon(self._watch)
            nursery.start_soon(self._end_group)
            try:
                await self._read()
            finally:
                with trio.CancelScope(shield=True):
                    with trio.move_on_after(LAST):  # a child that ends by itself has a status of its own
                        await self._close()
                        await self._exited()
                    self.kill()
                    self._status = await self._reap()
                    with trio.move_on_after(LAST):  # its last words come before the error that tells of its end
                        await logged.wait()
                self._outgoing.close()
                self.ended.set()
                for waiting in self._waiting.values():
                    waiting.done.set()
                    self._room.release()  # whoever waited for room learns of the end next
                nursery.cancel_scope.cancel()

    async def end(self, grace: float = GRACE) -> None:
        """Close the child's pipe, wait `grace` seconds, then kill it and what it started. Not cancelled."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(grace):
                await self._close()
                await self._exited()
            self.kill()
            await self._reap()

    async def _close(self) -> None:
        """Close the child's input: it ends when it has read the last of it."""
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    def kill(self) -> None:
        """End the child and all in its process group at once, also where the child itself has exited."""
        if not self._reaped:  # until then no other group can have its number
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def _end_group(self) -> None:
        """Kill what the child leaves behind: it would hold the pipes, and go on."""
        await self._exited()
        self.kill()

    async def _exited(self) -> None:
        """Wait for the child's end, and leave its exit status where it is."""
        try:
            descriptor = os.pidfd_open(self.process.pid)
        except (AttributeError, OSError):  # no Linux, or an old one
            await self._reap()
            return
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            trio.lowlevel.notify_closing(descriptor)
            os.close(descriptor)

    async def _reap(self) -> int:
        status = await self.process.wait()
        self._reaped = True
        return status

    @property
    def status(self) -> int:
        """The exit status of a child that has ended; negative: the signal that ended it."""
        return self._status or 0

    async def _write(self) -> None:
        assert self.process.stdin is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in self._outgoing:
                await self.process.stdin.send_all(data)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        reader = FrameReader(self.process.stdout)
        try:
            while True:
                answer = await self._receive(reader)
                if answer is None:
                    continue
                waiting = self._waiting.pop(answer[0], None)
                if waiting is None:  # those of cancelled requests are still waited for here
                    raise DecodeError("an answer to what was not asked", "answer each request once")  # noqa: TRY301
                waiting.answers.append(answer[1])
                waiting.done.set()
                self.answered += 1
                self._progress = trio.current_time()
                self._room.release()
        except DecodeError as error:
            self._log.error("it said what is no answer and is stopped: %s", error)
            self.kill()
        except (EOFError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _watch(self) -> None:
        while True:
            if not self._waiting:
                self._busy = trio.Event()
                await self._busy.wait()
            due = self._progress + self.patience
            if self._waiting and trio.current_time() >= due:
                self.overstayed = True
                self.kill()
                return
            await trio.sleep(min(due - trio.current_time(), self.patience, WATCH))

    async def _copy_log(self, logged: trio.Event) -> None:
        try:
            await log_errors(self.process, self._log)
        finally:
            logged.set()

    def _gone(self) -> ChildEndedError:
        return ChildEndedError(self.status)
