"""One thread for one blocking component: a ledger is opened, used and closed in the thread it began in."""

import queue
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, cast, final

import outcome
import trio
from attrs import define, field

T = TypeVar("T")

QUEUE: Final = 256
"""Calls that may wait for a thread. The node has few callers, each with one call; more is a fault."""


@define(eq=False)
class _Call:
    work: Callable[[], Any]
    token: trio.lowlevel.TrioToken
    done: trio.Event = field(factory=trio.Event)
    result: "outcome.Outcome[Any] | None" = None


@final
class Thread:
    """A named thread that does what it is asked, in order."""

    def __init__(self, name: str) -> None:
        self._calls: queue.Queue[_Call | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """`work(*arguments)`, done in the thread. Not cancelled once begun: what it writes is written."""
        call = self._ask(lambda: work(*arguments))
        with trio.CancelScope(shield=True):
            await call.done.wait()
        return cast("T", self._result(call))

    async def run_or_leave(self, work: Callable[..., T], *arguments: object) -> T:
        """As `run`, but a cancelled caller leaves: the thread may hang for ever in a foreign `open`."""
        call = self._ask(lambda: work(*arguments))
        await call.done.wait()
        return cast("T", self._result(call))

    def _ask(self, work: Callable[[], Any]) -> _Call:
        call = _Call(work, trio.lowlevel.current_trio_token())
        self._calls.put_nowait(call)
        return call

    @staticmethod
    def _result(call: _Call) -> Any:
        assert call.result is not None
        return call.result.unwrap()

    def end(self) -> None:
        """Let the thread finish what was asked and end."""
        self._calls.put_nowait(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.result = outcome.capture(call.work)
            try:
                call.token.run_sync_soon(call.done.set)
            except trio.RunFinishedError:
                return  # nobody is left to be told


@asynccontextmanager
async def open_thread(name: str) -> AsyncIterator[Thread]:
    """A thread that lives as long as the block."""
    thread = Thread(name)
    try:
        yield thread
    finally:
        thread.end()
