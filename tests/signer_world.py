"""A signer of its own for a test: key files made once, and the process spoken to without the node's side."""

import subprocess
import sys

from soma_core.node import signer as child
from soma_core.node._frames import Splitter, frame
from soma_core.records import to_value

CHAIN = bytes(range(32))


def pid_of(signer):
    """The process behind what `open_signer` gave."""
    return signer.role("validator")._child.process.pid


def raw(data, *frames, roles=("account", "validator"), end=True):
    """A signer spoken to without the node's side: its exit status, answers and what it wrote to the log."""
    hello = frame([0, "open", to_value(child.Open(directory=str(data), chain=CHAIN, roles=tuple(roles)))])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "soma_core.node.signer"],
        input=hello + b"".join(frames),
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode, Splitter().feed(done.stdout), done.stderr.decode()


def sign_frame(number, role, domain, body=b"body", *, epoch=0, slot=None):
    return frame([number, "sign", {"role": role, "domain": domain, "epoch": epoch, "slot": slot, "body": body}])
