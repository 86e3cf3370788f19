"""What a child does to itself before it imports or reads anything that matters.

Linux offers most of it; each step says whether it took.
"""

import os
import signal
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def take_pipes() -> tuple[int, int]:
    """Private descriptors of the pipes the child was started with, for reading and for writing.

    Descriptor 0 then reads nothing and descriptor 1 goes where descriptor 2 goes, to the log: whatever prints, or reads
    standard input, cannot disturb the frames.
    """
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink


def leave_ending_to_the_node() -> None:
    """Ignore Ctrl-C and polite signals: the node decides, and the end of its pipe says so however the node ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def hide_memory() -> tuple[str, ...]:
    """Forbid core files and, where the system can, that others of the same user read this process. Says what took."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    done = ["no core file"]
    if system_call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0):
        done.append("memory unreadable to others")
    return tuple(done)


def system_call(name: str, *arguments: object) -> bool:
    """Whether the C library has the function `name` and it succeeded."""
    import ctypes

    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    return function is not None and function(*arguments) == 0
