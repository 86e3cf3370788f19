"""Real nodes whose processes are killed: which there are, how they are started again, what they may not leave behind.

A node is `soma run` in a process, with its children: the signer, and for an encoder a worker and the worker's guard.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from soma_core.api import control
from soma_core.cli._client import Node
from soma_core.cli._network import Network, Plan
from soma_core.errors import UnreachableError

UP_LIMIT: Final = 60.0
"""Seconds a node gets to answer after it was started, on a busy machine."""
END_LIMIT: Final = 15.0
"""Seconds in which what depends on a killed process must have ended."""
POLL: Final = 0.02
SLOW_POLL: Final = 0.1
EXPLANATION: Final = re.compile(r"(soma|[a-z0-9-]+ \(.+ .+\)): .+; .+")
"""The last line of a node that ended because a child of it did."""


@frozen
class Seen:
    """A process: `began` tells it from a later one with the same number. `kind`: what it does in its node."""

    pid: int
    began: int
    kind: str

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        found = _stat(self.pid)
        return found is not None and found[2] == self.began and found[1] != "Z"

    def kill(self) -> bool:
        """SIGKILL, if it is still that process."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
            return True
        return False


def family(pid: int) -> list[Seen]:
    """The process `pid` and all below it: a node, and its signer, guards and workers."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := _stat(int(entry.name))) is not None:
            parents.setdefault(found[0], []).append(int(entry.name))
    return list(_below(pid, "node", parents))


def _below(pid: int, kind: str, parents: dict[int, list[int]]) -> Iterator[Seen]:
    found = _stat(pid)
    if found is None or found[1] == "Z":
        return
    yield Seen(pid, found[2], kind)
    for child in parents.get(pid, ()):
        yield from _below(child, _kind(child, kind), parents)


def _kind(pid: int, parent: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "other"
    if b"soma_core.node.signer" in words:
        return "signer"
    if b"soma_core.node.worker" in words:
        return "worker" if parent == "guard" else "guard"
    return "other"  # between fork and exec


def _stat(pid: int) -> tuple[int, str, int] | None:
    """Parent, state and start of a process."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(words[1]), words[0], int(words[19])


def until(holds: Callable[[], object], seconds: float, poll: float = POLL) -> bool:
    """Wait until `holds`, at most `seconds`. Whether it does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


class HelpNeededError(AssertionError):
    """The node did what no node may do after a crash; somebody would have to help it."""


@define(eq=False)
class Member:
    """A node that is killed and started again. `arguments`: of ``soma run``. `validates`: it has no encoder.

    `log`: where it and its children write.
    """

    name: str
    directory: Path
    arguments: tuple[str, ...] = ()
    validates: bool = False
    log: Path = field(init=False)
    process: "subprocess.Popen[bytes] | None" = None
    excused: bool = False
    """Whether it may have ended by itself: a child of it was killed before it was up."""
    _read: int = 0
    _ever: set[Seen] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.log = self.directory.with_name(f"{self.directory.name}.log")

    def start(self) -> None:
        """Start the process; returns at once. It ends with this one, by its input."""
        self._let_go()
        command = [sys.executable, "-m", "soma_core.cli", "run", "--until-eof", "--data-dir", str(self.directory)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={key: value for key, value in os.environ.items() if not key.startswith("SOMA_")},
                start_new_session=True,
            )

    def _let_go(self) -> None:
        """Close our end of the input of a process that has ended."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    @property
    def running(self) -> bool:
        """Whether the node's process has not ended."""
        return self.process is not None and self.process.poll() is None

    def family(self) -> list[Seen]:
        """The node's process and its children, if it runs."""
        found = family(self.process.pid) if self.process is not None and self.running else []
        self._ever.update(found)
        return found

    def left(self) -> list[Seen]:
        """Processes of it that run, of all there ever were."""
        return [seen for seen in self._ever if seen.alive]

    def ready(self) -> bool:
        """Whether it answers, and its encoder with it."""
        return self.status() is not None

    def status(self) -> control.Status | None:
        """What it says of itself, if it is up."""
        try:
            with Node(self.directory) as node:
                status = node.ask(control.STATUS, control.Empty())
        except UnreachableError:
            return None
        return status if all(encoder.state == "ready" for encoder in status.encoders) else None

    def up(self) -> None:
        """Wait until it answers and its children run; start it again if it ended of a killed child.

        Raises `HelpNeededError`.
        """
        if not until(lambda: (self.ready() and self.whole()) or not self.running, UP_LIMIT, SLOW_POLL):
            raise HelpNeededError(f"{self.name} is not up after {UP_LIMIT:g} s: {self.last_words()}")
        if not self.running:
            self.start_again()
            self.up()
        self.excused = False

    def start_again(self) -> None:
        """Start it after its end. Raises `HelpNeededError` if it ended of nothing, or does not say in a line of what.

        A killed process says nothing; one whose child was killed does.
        """
        assert self.process is not None
        status, said = self.process.wait(END_LIMIT), self.last_words()
        if status != -signal.SIGKILL:
            if not self.excused:
                raise HelpNeededError(f"{self.name} ended by itself with {status}: {said}")
            if status <= 0 or not EXPLANATION.match(said):
                raise HelpNeededError(f"{self.name} ended with {status} and did not say why: {said}")
        self.excused = False
        self.start()

    def whole(self) -> bool:
        """Whether it has the children it should have."""
        kinds = {"node", "signer"} if self.validates else {"node", "signer", "guard", "worker"}
        return kinds <= {seen.kind for seen in self.family()}

    def kill(self, seen: Seen) -> None:
        """SIGKILL `seen` and see that what depends on it ends. Raises `HelpNeededError` if something is left."""
        before, was_up = self.family(), self.ready()
        if not seen.kill():
            return
        whole = seen.kind in {"node", "signer"}  # else the worker alone, which its node starts again
        self.excused = self.excused or seen.kind == "signer" or not was_up
        gone = [s for s in before if whole or s.kind in {"guard", "worker"}]
        if not until(lambda: not any(s.alive for s in gone), END_LIMIT):
            raise HelpNeededError(f"left behind by a killed {seen.kind} of {self.name}: {[s for s in gone if s.alive]}")

    def stop(self) -> int:
        """End it politely. Its exit status."""
        assert self.process is not None
        self.family()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(END_LIMIT)
        self._let_go()
        if not until(lambda: not self.left(), END_LIMIT):
            raise HelpNeededError(f"left behind by {self.name}: {self.left()}")
        return status

    def end(self) -> None:
        """End it whatever it does, for the end of a test that failed."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._let_go()

    def tracebacks(self) -> list[str]:
        """Tracebacks in its log since this was asked last, its children's included."""
        text = self.log.read_bytes()[self._read :].decode("utf-8", "replace") if self.log.exists() else ""
        self._read += len(text.encode("utf-8", "replace"))
        return [text[m.start() : m.start() + 3_000] for m in re.finditer("Traceback", text)]

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "its log is empty"


def founded(root: Path, plan: Plan) -> list[Member]:
    """The nodes of a network as `soma localnet` makes it, before it starts them."""
    Network(root, plan, lambda _text: None).found()
    return members_of(root, plan)


def members_of(root: Path, plan: Plan) -> list[Member]:
    """The nodes of the local network in `root`, which does not run; validators first."""
    validators = ["validator", *(f"validator{number}" for number in range(2, plan.validators + 1))]
    return [
        *(Member(name, root / name, validates=True) for name in validators),
        *(Member(name, root / name) for name in plan.encoders),
    ]
