"""A real node for tests: `soma run` as a process, with real sockets, SQLite and a signer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from attrs import define, field

from soma_core.api import control
from soma_core.cli._client import Node
from soma_core.errors import UnreachableError

PLUGINS = ("consensus-solo", "encoder-numpy")
UP_LIMIT = 60.0


@define
class RunningNode:
    """A node in a process of its own, and the command line beside it."""

    directory: Path
    plugins: tuple[str, ...] = PLUGINS
    log: Path = field(init=False)
    process: "subprocess.Popen[bytes] | None" = None
    settings: dict[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.log = self.directory.with_suffix(".log")

    def soma(self, *arguments: str | Path, expect: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "soma_core.cli", *map(str, arguments)],
            env={**os.environ, "SOMA_DATA_DIR": str(self.directory)},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
        return done.stdout if expect == 0 else done.stderr

    def start(self) -> None:
        self.start_without_waiting()
        self.wait_until_up()

    def start_without_waiting(self) -> None:
        chosen = [word for name in self.plugins for word in ("--plugin", name)]
        chosen += [word for setting in self.settings.items() for word in ("--set", "=".join(setting))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "soma_core.cli", "run", *chosen, "--data-dir", str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + UP_LIMIT
        while True:
            try:
                self.status()
            except UnreachableError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)
            else:
                return

    def status(self) -> control.Status:
        with Node(self.directory) as node:
            return node.ask(control.STATUS, control.Empty())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)
