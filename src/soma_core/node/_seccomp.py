"""The system calls a worker never makes: to leave its process group, and to open sockets.

A worker that stays in its group ends with all it started when the group is killed, at one stroke. A filter is kept over
fork and exec and cannot be taken off.
"""

import ctypes
import os
import sys
from typing import Final, NamedTuple

from ._kernel import system_call

_PR_SET_SECCOMP: Final = 22
_FILTER: Final = 2
_IO_URING_SETUP: Final = 425  # opens sockets, too, and no filter sees it; the same number everywhere
_X32: Final = 0x40000000  # from here on the numbers of another set of calls, on x86-64
_FAMILIES: Final = (2, 10, 16)  # of sockets, where the network is granted: IPv4, IPv6, and netlink to ask about them

_LOAD: Final = 0x20
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where they are in what a filter looks at, little endian
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050001  # EPERM


class _Calls(NamedTuple):
    architecture: int
    setpgid: int
    setsid: int
    socket: int


_MACHINES: Final = {
    "x86_64": _Calls(0xC000003E, setpgid=109, setsid=112, socket=41),
    "aarch64": _Calls(0xC00000B7, setpgid=154, setsid=157, socket=198),
    "riscv64": _Calls(0xC00000F3, setpgid=154, setsid=157, socket=198),
}

Step = tuple[int, int, str | None, str | None]
"""What to do, with which number, and where to go on: at a label, or (None) with the next step."""


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("start", ctypes.POINTER(_Instruction)))


def refuse_calls(*, network: bool) -> tuple[str, ...]:
    """Refuse this process, which may get no new privileges, what is said above. Says what of it took."""
    calls = _MACHINES.get(os.uname().machine)
    if calls is None or sys.maxsize < 1 << 32 or not install(_steps(calls, network=network)):
        return ()
    return "no process outlives it", "no sockets but IP" if network else "no sockets"


def _steps(calls: _Calls, *, network: bool) -> list[Step]:
    return [
        (_LOAD, _ARCHITECTURE, None, None),
        (_EQUAL, calls.architecture, None, "refuse"),  # the numbers below mean other calls elsewhere
        (_LOAD, _NUMBER, None, None),
        (_AT_LEAST, _X32, "refuse", None),
        *((_EQUAL, number, "refuse", None) for number in (calls.setpgid, calls.setsid, _IO_URING_SETUP)),
        (_EQUAL, calls.socket, None, "allow"),
        (_LOAD, _FIRST_ARGUMENT, None, None),
        *((_EQUAL, family, "allow", None) for family in (_FAMILIES if network else ())),
    ]


def install(steps: list[Step]) -> bool:
    """Whether the kernel took a filter that follows `steps` and refuses whatever comes to their end."""
    places = {"refuse": len(steps), "allow": len(steps) + 1}
    code = [
        _Instruction(operation, *(places[to] - place - 1 if to else 0 for to in (yes, no)), number)
        for place, (operation, number, yes, no) in enumerate(steps)
    ]
    code += [_Instruction(_RETURN, 0, 0, _REFUSE), _Instruction(_RETURN, 0, 0, _ALLOW)]
    program = _Program(len(code), (_Instruction * len(code))(*code))
    return system_call("prctl", _PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)
