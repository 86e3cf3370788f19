"""TCP relays between the validators of a local network, in threads of the test: they make partitions of real processes.

Each node dials every other one through a relay of their own. While a place is cut off, nothing passes to or from it:
bytes wait, and new connections are accepted and stay silent, as behind a router that drops packets.
"""

import re
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

from attrs import define, field
from kill_world import Member

PIECE = 1 << 16


@define(eq=False)
class Relays:
    """Relays between all of `members`; their settings are rewritten to dial through them."""

    members: Sequence[Member]
    _away: set[int] = field(factory=set)
    _changed: threading.Condition = field(factory=threading.Condition)
    _listeners: list[socket.socket] = field(factory=list)
    _closed: bool = False

    def __attrs_post_init__(self) -> None:
        ports = [self._listening(member) for member in self.members]
        for place, member in enumerate(self.members):
            settings = member.directory / "soma.toml"
            text = settings.read_text("utf-8")
            peers = re.search(r"^peers = .*$", text, re.MULTILINE)
            assert peers is not None
            line = peers[0]
            for other, port in enumerate(ports):
                if other != place:
                    line = line.replace(f"/tcp/{port}/", f"/tcp/{self._relay(place, other, port)}/")
            settings.write_text(text.replace(peers[0], line), "utf-8")

    def cut_off(self, place: int) -> None:
        """Let nothing pass to or from the node at `place`."""
        with self._changed:
            self._away.add(place)

    def heal(self) -> None:
        """Let everything pass."""
        with self._changed:
            self._away.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """End every relay."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for listener in self._listeners:
            listener.close()

    @staticmethod
    def _listening(member: Member) -> int:
        found = re.search(r"^listen = .*/tcp/(\d+)", (member.directory / "soma.toml").read_text("utf-8"), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def _relay(self, place: int, other: int, port: int) -> int:
        """A port behind which the node at `other` is, for the node at `place`."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._listeners.append(listener)
        threading.Thread(target=self._serve, args=(listener, {place, other}, port), daemon=True).start()
        return int(listener.getsockname()[1])

    def _serve(self, listener: socket.socket, ends: set[int], port: int) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near, ends, port), daemon=True).start()

    def _join(self, near: socket.socket, ends: set[int], port: int) -> None:
        self._pass(ends)
        try:
            far = socket.create_connection(("127.0.0.1", port))
        except OSError:
            near.close()
            return
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._pump, args=(far, near, ends), daemon=True)
        back.start()
        self._pump(near, far, ends)
        back.join()
        near.close()
        far.close()

    def _pump(self, source: socket.socket, target: socket.socket, ends: set[int]) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE):
                self._pass(ends)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _pass(self, ends: set[int]) -> None:
        """Return when neither end is cut off."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not ends & self._away)
