"""Calls into the kernel for which Python has no name. Each says whether it took, and none raises."""

import ctypes
import os


def system_call(name: str, *arguments: object) -> bool:
    """Whether the C library has the function `name` and it succeeded."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    wide = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return function is not None and function(*wide) == 0


def linux_call(number: int, *arguments: object) -> int:
    """What the Linux system call `number` returned; -1 where it failed or this is no Linux."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "syscall", None)
    if call is None or os.uname().sysname != "Linux":
        return -1
    call.restype = ctypes.c_long
    wide = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return int(call(ctypes.c_long(number), *wide))
