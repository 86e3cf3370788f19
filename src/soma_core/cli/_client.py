"""A running node, asked over its control socket. Blocking and without trio, so that commands start fast."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from soma_core.api import control
from soma_core.errors import SomaError, UnreachableError
from soma_core.records import structure, to_value, unpack

Q = TypeVar("Q")
R = TypeVar("R")

TIMEOUT: Final = 90.0
"""Seconds for one answer; the longest operation waits a minute for a transaction to be ordered."""


class RemoteError(SomaError):
    """The node said no. Carries the exit status the node's error has."""

    def __init__(self, what: str, remedy: str, exit_code: int) -> None:
        super().__init__(what, remedy)
        self.exit_code = exit_code  # type: ignore[misc]  # of this instance, as the node's error says


class Node:
    """A conversation with the node whose data directory is `data_dir`. Raises `UnreachableError` if none runs there.

    `patience`: seconds to wait for each piece of an answer.
    """

    def __init__(self, data_dir: Path, *, patience: float = TIMEOUT) -> None:
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stream.settimeout(patience)
        try:
            directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Through the descriptor the address is short, however long the directory's path is.
                self._stream.connect(f"/proc/self/fd/{directory}/control.sock")
            finally:
                os.close(directory)
        except OSError as error:
            self._stream.close()
            raise UnreachableError(
                f"no node runs in {data_dir}",
                f"start one with `soma run --data-dir {data_dir}`, or name its --data-dir",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def ask(self, operation: control.Operation[Q, R], request: Q, payload: bytes = b"") -> R:
        """The reply's record. Raises `RemoteError` if the node says no."""
        return self.ask_with_payload(operation, request, payload)[0]

    def ask_with_payload(self, operation: control.Operation[Q, R], request: Q, payload: bytes = b"") -> tuple[R, bytes]:
        """The reply's record and the bytes that came with it."""
        header = control.Request(op=operation.name, body=to_value(request))
        try:
            self._stream.sendall(control.pack_message(header, payload))
            sizes = control.lengths(self._exactly(control.FRAME.size))
            answer = unpack(control.Answer, self._exactly(sizes[0]))
            returned = self._exactly(sizes[1])
        except OSError as error:
            raise UnreachableError("the node ended while it was asked", "see its log") from error
        if answer.error:
            raise RemoteError(answer.error, answer.remedy, answer.exit_code)
        return structure(operation.reply, answer.body), returned

    def put_file(self, path: Path, size: int, told: Callable[[int], None] = lambda _sent: None) -> bytes:
        """Give the node a file, in pieces. `told` hears how many bytes it has. Returns the blob's digest."""
        offset = 0
        with path.open("rb") as file:
            while True:
                piece = file.read(control.UPLOAD_CHUNK)
                reply = self.ask(control.PUT_BLOB, control.PutBlob(size=size, offset=offset), piece)
                offset += len(piece)
                told(offset)
                if reply.blob is not None:
                    return reply.blob

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._stream.recv(min(size - len(parts), 1 << 16))
            if not part:
                raise OSError("closed")
            parts += part
        return bytes(parts)
