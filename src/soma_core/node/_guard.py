"""The guard of a worker: the process that the node starts, and whose child the worker is.

The worker's own code may hold the interpreter for ever, so it cannot be what notices that the node is gone. The guard
runs nothing of the plugin, and ends as the worker ends; should the node die first, it kills the whole process group at
once.
"""

import os
import select
import signal
import sys
import time
from typing import Final

from ._kernel import system_call

LAST: Final = 3.0
"""Seconds a worker has to end after its input has, before its guard kills it."""
_LOOK: Final = 5.0  # seconds between two looks at who is there, if nothing tells
_SOON: Final = 0.02  # the same, once the input has ended: the node closed it, or died
_PR_SET_PDEATHSIG: Final = 1


def stand_guard() -> None:
    """Return in a new process, the worker. This one watches over it and exits as it did."""
    node, guard = os.getppid(), os.getpid()
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    worker = os.fork()
    if worker:
        os.close(1)  # who reads the worker's answers learns of their end when the worker ends
        _exit_as(_watch(worker, node, woken))
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.close(woken)
    os.close(waking)
    end_with(guard)


def end_with(parent: int) -> None:
    """End this process when `parent`, which started it, does; at once if that was before. Linux alone keeps it."""
    if system_call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) and os.getppid() != parent:
        os._exit(1)


def _watch(worker: int, node: int, woken: int) -> int:
    """The wait status of `worker`. Does not return once the node is gone."""
    changes = select.poll()
    changes.register(woken, select.POLLIN)
    changes.register(0, 0)  # its end alone: what comes in is the worker's to read
    until = None
    while True:
        ended, status = os.waitpid(worker, os.WNOHANG)
        if ended:
            return status
        if os.getppid() != node or (until is not None and time.monotonic() >= until):
            os.killpg(0, signal.SIGKILL)
        for descriptor, _event in changes.poll(1000 * (_LOOK if until is None else _SOON)):
            if descriptor == woken:
                os.read(woken, 64)
            else:
                changes.unregister(0)
                until = time.monotonic() + LAST


def _exit_as(status: int) -> None:
    number = os.waitstatus_to_exitcode(status)
    if number >= 0:
        sys.exit(number)
    if number != -signal.SIGKILL:
        signal.signal(-number, signal.SIG_DFL)
    os.kill(os.getpid(), -number)
    os._exit(128 - number)  # a signal that ends no process, such as one that was blocked
