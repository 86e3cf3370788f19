"""A third party's encoder that does whatever its items say, as an installed distribution, and workers that run it."""

from pathlib import Path

import trio
import trio.testing

from soma_core.node.encoding import Caller, Limits, open_worker
from soma_core.plugins import Plugin

FAKE = Plugin("encoder-fake", "soma_fake", "soma-encoder-fake", "0.3", "soma-core")

# One module serves all tests: what an encoder does is in the items it is given, so that one test can mix.
MODULE = """
import os

from attrs import frozen
from soma_core.api import Context, EncoderInfo, EncoderSpec, Evaluation, hookimpl, option

@frozen
class Config:
    dim: int = option(4, "length", min=1, max=4096)
    at_open: str = option("", "what open does")
    path: str = option("", "a file")
    ratio: float = option(0.5, "a float")

@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    needs = frozenset(os.environ.get("XLA_TEST_NEEDS", "").split())
    return EncoderSpec(api=1, config=Config, open=open_encoder, features=frozenset({"loss"}), needs=needs)

def open_encoder(config: Config, ctx: Context):
    import os, sys, time
    print("printed at import")
    if config.at_open == "raise":
        raise OSError("weights.safetensors not found")
    if config.at_open == "exit":
        sys.exit(7)
    if config.at_open == "die":
        os._exit(3)
    if config.at_open == "hang":
        time.sleep(60)
    if config.at_open == "once":  # opens one time, then never again
        flag = ctx.directory / "opened"
        if flag.exists():
            raise OSError("only once")
        flag.touch()
    if config.at_open == "noinfo":
        return object()
    if config.at_open == "change":
        flag = ctx.directory / "opened"
        config = Config(dim=config.dim + flag.exists())
        flag.touch()
    return Fake(config, ctx)

class Fake:
    def __init__(self, config, ctx):
        self.config, self.ctx, self.count = config, ctx, 0
        self.info = EncoderInfo(dim=config.dim, max_batch=3, weights=bytes(32), frame=b"map", architecture="fake")
        if config.at_open == "badinfo":
            self.info = EncoderInfo(dim=0)

    def encode(self, batch):
        import numpy as np
        if len(batch) > 3:
            raise AssertionError("more than max_batch")
        out = np.zeros((len(batch), self.config.dim), np.float32)
        for row, item in zip(out, batch):
            row[:] = item[0] if item else 1
            act = item.decode("latin-1")
            if act in ACTS:
                changed = ACTS[act](self, out, row)
                if changed is not None:
                    return changed
        return out

    def evaluate(self, batch, seed):
        import numpy as np
        bits = np.full(len(batch), 2.5)
        for i, item in enumerate(batch):
            act = item.decode("latin-1")
            if act.startswith("bits="):
                bits[i] = float(act[5:])
            if act == "bits32":
                bits = bits.astype(np.float32)
        return Evaluation(self.encode([b"x" if b.startswith(b"bits") else b for b in batch]), bits)

    def close(self):
        (self.ctx.directory / "closed").touch()

def act(function):
    ACTS[function.__name__] = function
ACTS = {}
kept = []

@act
def nan(self, out, row): row[1] = float("nan")
@act
def inf(self, out, row): row[1] = float("inf")
@act
def zero(self, out, row): row[:] = 0
@act
def wide(self, out, row): return out.repeat(2, axis=1)
@act
def short(self, out, row): return out[:-1]
@act
def double(self, out, row): return out.astype("f8")
@act
def big_endian(self, out, row): return out.astype(">f4")
@act
def fortran(self, out, row): return out.copy(order="F")
@act
def alist(self, out, row): return out.tolist()
@act
def none(self, out, row): return "nothing"
@act
def objects(self, out, row): return out.astype(object)
@act
def long_double(self, out, row): return out.astype("g")
@act
def deep(self, out, row): return out[:, :, None, None, None, None]
@act
def huge(self, out, row):
    import numpy as np
    return np.zeros((1 << 15, 1 << 10), np.float32)
@act
def raises(self, out, row): raise ValueError("item 0 is bad")
@act
def exits(self, out, row): raise SystemExit(5)
@act
def unsayable(self, out, row):
    class Odd(Exception):
        def __str__(self): raise RuntimeError
    raise Odd
@act
def prints(self, out, row):
    import os, sys
    print("a stray print")
    os.write(1, b"\\x00\\x00\\x00\\x01 straight to one\\n")
    sys.stdout.flush()
@act
def reads(self, out, row):
    import sys
    assert sys.stdin.read() == ""
@act
def floods(self, out, row):
    for _ in range(300):
        os.write(2, b"flood " * 100 + b"\\n" + b"x" * 5000)
@act
def logs(self, out, row): self.ctx.log.warning("a word from the encoder")
@act
def dies(self, out, row):
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
@act
def leaves(self, out, row):
    os._exit(9)
@act
def hangs(self, out, row):
    import time
    (self.ctx.directory / "begun").touch()
    time.sleep(60)
@act
def waits(self, out, row):
    import time
    (self.ctx.directory / "begun").touch()
    while not (self.ctx.directory / "go").exists():
        time.sleep(0.002)
@act
def counts(self, out, row):
    self.count += 1
    row[:] = self.count
@act
def segfaults(self, out, row):
    import ctypes
    ctypes.string_at(0)
@act
def eats(self, out, row): bytearray(1 << 30)
@act
def leaks(self, out, row):
    kept.append(bytearray(b"x") * (150 << 20))
    row[:] = len(kept)
@act
def daemonises(self, out, row):
    import ctypes, os, time
    if os.fork() == 0:
        libc = ctypes.CDLL(None)
        libc.setsid(), libc.setpgid(0, 0)
        if os.fork() == 0:
            (self.ctx.directory / "daemon.new").write_text(str(os.getpid()))
            os.rename(self.ctx.directory / "daemon.new", self.ctx.directory / "daemon")
            time.sleep(60)
        os._exit(0)
    os.wait()
    while not (self.ctx.directory / "daemon").exists():
        time.sleep(0.002)
@act
def spins(self, out, row):  # in C, with the interpreter held: no other thread runs, no signal is handled
    import ctypes
    (self.ctx.directory / "begun").touch()
    sum(range(1 << 60))
@act
def looks(self, out, row):
    import time
    (self.ctx.directory / "begun").touch()
    for _ in range(6000):
        self.ctx.go_on()
        time.sleep(0.01)
@act
def garbage(self, out, row):
    for fd in range(3, 20):
        try: os.write(fd, b"\\xff" * 100)
        except OSError: pass
    import time
    time.sleep(60)
@act
def lies(self, out, row):
    import time
    from soma_core.node._frames import frame
    answer = frame([77, "skipped"])
    for fd in range(3, 20):
        try: os.write(fd, answer)
        except OSError: pass
    time.sleep(60)
def answer_first_batch(*answer):
    from soma_core.node._frames import frame
    for fd in range(3, 20):
        try: os.write(fd, frame([1, *answer]))
        except OSError: pass
@act
def skips(self, out, row): answer_first_batch("skipped")
@act
def opens(self, out, row): answer_first_batch("open", {"frame": 0}, [])
@act
def asks(self, out, row):
    import time
    from soma_core.node._frames import frame
    for n in range(1000):
        for fd in range(3, 20):
            try: os.write(fd, frame([n, "sign", b""]))
            except OSError: pass
    time.sleep(60)
@act
def signs(self, out, row):
    row[:] = float(len(self.ctx.sign(b"a request")))
@act
def tells(self, out, row): self.ctx.sign(self.ctx.key + self.ctx.chain + self.ctx.job())
@act
def signs_much(self, out, row): self.ctx.sign(bytes(40000))
@act
def escapes(self, out, row):
    import json
    (self.ctx.directory / "said").write_text(json.dumps(attempts(os.environ["XLA_TEST_SECRET"])))

def attempts(path):
    import ctypes, os, signal, socket, subprocess
    tried = {}
    def attempt(name, function):
        try: tried[name] = repr(function())
        except Exception as error: tried[name] = type(error).__name__
    parent = os.getppid()
    node = int(os.environ["XLA_TEST_NODE"])
    attempt("read", lambda: open(path).read())
    attempt("list", lambda: os.listdir(os.path.dirname(os.path.dirname(path))))
    attempt("up", lambda: os.listdir(".."))
    data = os.path.dirname(os.path.dirname(path))
    attempt("mount", lambda: ctypes.CDLL(None, use_errno=True).umount2(data.encode(), 2))
    attempt("node", lambda: open(f"/proc/{node}/environ").read())
    attempt("root", lambda: os.listdir(f"/proc/{node}/root"))
    attempt("kill", lambda: os.kill(node, 0))
    attempt("connect", lambda: socket.create_connection(("127.0.0.1", int(os.environ["XLA_TEST_PORT"])), 1))
    attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)))
    attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    attempt("unix", lambda: socket.socket(socket.AF_UNIX).connect(data + "/control"))
    attempt("pair", lambda: len(socket.socketpair()))
    attempt("setsid", lambda: subprocess.run(["true"], start_new_session=True).returncode)
    attempt("shell", lambda: subprocess.run(["sh", "-c", f"cat {path}"], capture_output=True).returncode)
    tried["environ"] = sorted(os.environ)
    tried["core"] = __import__("resource").getrlimit(4)
    tried["session"] = os.getsid(0) == os.getpgrp() == parent
    return tried
"""


def install_fake(site, module=MODULE):
    """Put the distribution into the folder `site`, as pip would."""
    (site / "soma_fake.py").write_text(module)
    about = site / "soma_encoder_fake-0.3.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: soma-encoder-fake\nVersion: 0.3\nRequires-Dist: soma-core\n"
    )
    (about / "entry_points.txt").write_text("[soma.plugins]\nencoder-fake = soma_fake\n")
    return site


QUICK = Limits(seconds=20, open_seconds=20, backoff=0.001)


def opened(fake, tmp_path, *, limits=QUICK, needs=(), hidden=(), sign=None, **config):
    caller = None if sign is None else Caller(b"k" * 32, b"c" * 32, sign)
    own = tmp_path / "plugins" / "encoder-fake"
    return open_worker(fake, config, own, limits=limits, needs=needs, hidden=hidden, caller=caller)


async def cancel(worker, *items):
    """Ask for each of `items`, and be cancelled when the worker has begun with the first."""
    begun = Path(worker._order.directory) / "begun"
    begun.unlink(missing_ok=True)
    await worker.ready()
    async with trio.open_nursery() as nursery:
        for item in items:
            nursery.start_soon(encode_one, worker, item)
            await trio.testing.wait_all_tasks_blocked()
        while not begun.exists():  # noqa: ASYNC110  # another process makes the file
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()


async def encode_one(worker, item):
    return (await worker.encode([item]))[0]
