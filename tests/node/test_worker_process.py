"""Workers as real processes: encoders that raise, lie, hang, print, flood, die, and try to get out."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trio
import trio.testing

from soma_core.errors import EncoderError, KeyStoreError, PluginError
from soma_core.node import _answers, _confinement
from soma_core.node._child_log import LINE_MAX, LINES_MAX, Lines
from soma_core.node._frames import frame
from soma_core.node.encoding import Limits, _order, _split, offered_isolation, open_worker
from soma_core.node.worker import BULK_MAX, ITEMS_MAX
from soma_core.plugins import Plugin
from soma_core.records import to_value

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux confines")

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
def eats(self, out, row): bytearray(1 << 30)
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
def signs_much(self, out, row): self.ctx.sign(bytes(40000))
@act
def escapes(self, out, row):
    import json
    (self.ctx.directory / "said").write_text(json.dumps(attempts(self.config.path)))

def attempts(path):
    import ctypes, os, signal, socket, subprocess
    tried = {}
    def attempt(name, function):
        try: tried[name] = repr(function())
        except Exception as error: tried[name] = type(error).__name__
    parent = os.getppid()
    attempt("read", lambda: open(path).read())
    attempt("list", lambda: os.listdir(os.path.dirname(os.path.dirname(path))))
    attempt("up", lambda: os.listdir(".."))
    data = os.path.dirname(os.path.dirname(path))
    attempt("mount", lambda: ctypes.CDLL(None, use_errno=True).umount2(data.encode(), 2))
    attempt("node", lambda: open(f"/proc/{parent}/environ").read())
    attempt("root", lambda: os.listdir(f"/proc/{parent}/root"))
    attempt("kill", lambda: os.kill(parent, 0))
    attempt("connect", lambda: socket.create_connection(("127.0.0.1", int(os.environ["XLA_TEST_PORT"])), 1))
    attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)))
    attempt("shell", lambda: subprocess.run(["sh", "-c", f"cat {path}"], capture_output=True).returncode)
    tried["environ"] = sorted(os.environ)
    tried["core"] = __import__("resource").getrlimit(4)
    tried["session"] = os.getsid(0) == os.getpid()
    return tried
"""


@pytest.fixture(scope="session")
def module(tmp_path_factory):
    """The fake plugin as an installed distribution would put it on the path."""
    site = tmp_path_factory.mktemp("site")
    (site / "soma_fake.py").write_text(MODULE)
    about = site / "soma_encoder_fake-0.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: soma-encoder-fake\nVersion: 0.3\nRequires-Dist: soma-core\n"
    )
    (about / "entry_points.txt").write_text("[soma.plugins]\nencoder-fake = soma_fake\n")
    return site


@pytest.fixture
def fake(module, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(module))
    return Plugin("encoder-fake", "soma_fake", "soma-encoder-fake", "0.3", "soma-core")


QUICK = Limits(seconds=20, open_seconds=20, backoff=0.001)


def opened(fake, tmp_path, *, limits=QUICK, needs=(), hidden=(), sign=None, **config):
    return open_worker(
        fake, config, tmp_path / "plugins" / "encoder-fake", limits=limits, needs=needs, hidden=hidden, sign=sign
    )


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


# --- what works -------------------------------------------------------------------------------------------------------


async def test_batches_of_any_length_come_back_in_order(fake, tmp_path):
    async with opened(fake, tmp_path, dim=5, ratio=0.25) as worker:
        assert (worker.info.dim, worker.info.architecture, worker.info.frame) == (5, "fake", b"map")
        assert worker.info.weights == bytes(32)
        for count in (0, 1, 2, 3, 4, 7):
            items = [bytes([i + 1]) for i in range(count)]
            vectors = await worker.encode(items)
            assert vectors.dtype == np.float32
            assert vectors.shape == (count, 5)
            assert (vectors == np.arange(1, count + 1)[:, None]).all()
            evaluation = await worker.evaluate(items, bytes(32))
            assert (evaluation.vectors == vectors).all()
            assert evaluation.bits_per_byte.dtype == np.float64
            assert evaluation.bits_per_byte.tolist() == [2.5] * count
    assert (tmp_path / "plugins" / "encoder-fake" / "closed").exists()


async def test_other_layouts_of_the_same_numbers_are_the_same_vectors(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        for item in (b"big_endian", b"fortran"):
            vectors = await worker.encode([b"a", item])
            assert vectors.tolist() == [[97] * 4, [item[0]] * 4]


async def test_many_callers_each_get_their_own(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        found = {}

        async def ask(i):
            found[i] = await worker.encode([bytes([i]), b"\xff"])

        async with trio.open_nursery() as nursery:
            for i in range(1, 60):
                nursery.start_soon(ask, i)
        assert all(found[i].tolist() == [[i] * 4, [255] * 4] for i in range(1, 60))


async def test_a_cancelled_answer_is_dropped_and_the_next_caller_gets_the_right_vector(fake, tmp_path):
    directory = tmp_path / "plugins" / "encoder-fake"
    async with opened(fake, tmp_path) as worker:
        await cancel(worker, b"waits", b"counts")  # one is computed, one waits in the worker
        (directory / "go").touch()
        assert (await worker.encode([b"z"])).tolist() == [[ord("z")] * 4]


async def test_prints_and_stray_bytes_go_to_the_log_under_the_plugins_name(fake, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    async with opened(fake, tmp_path) as worker:
        for item in (b"prints", b"logs", b"reads"):
            assert (await encode_one(worker, item)).tolist() == [item[0]] * 4
    said = [(r.name, r.getMessage()) for r in caplog.records]
    for text in ("printed at import", "a stray print", "\\x00\\x00\\x00\\x01 straight to one"):
        assert ("soma.encoder-fake", text) in said
    assert ("soma.encoder-fake", "WARNING a word from the encoder") in said


async def test_floods_are_bounded(fake, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    async with opened(fake, tmp_path) as worker:
        assert (await encode_one(worker, b"floods")).tolist() == [ord("f")] * 4
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4
    mine = [r.getMessage() for r in caplog.records if r.name == "soma.encoder-fake"]
    assert len(mine) <= LINES_MAX + 3
    assert max(map(len, mine)) <= LINE_MAX
    assert any("more lines were dropped" in line for line in mine)


# --- wrong answers ----------------------------------------------------------------------------------------------------


WRONG_VECTORS = [
    ([b"a", b"b", b"c", b"nan", b"d"], r"encoder-fake: vector 3 of 5 holds NaN; the answer is not used"),
    ([b"a", b"inf"], "vector 1 of 2 holds infinity"),
    ([b"zero"], "vector 0 of 1 is zero"),
    ([b"wide", b"a"], r"vectors have shape \[2, 8\] for 2 items of dim 4, not \[2, 4\]"),
    ([b"a", b"short"], r"vectors have shape \[1, 4\] for 2 items"),
    ([b"double"], "vectors are float64, not float32"),
    ([b"alist"], "it returned a list, not an array; return float32"),
    ([b"none"], "it returned a str, not an array"),
    ([b"objects"], "it returned 2 axes of object"),
    ([b"long_double"], "it returned 2 axes of (longdouble|float)"),
    ([b"deep"], "it returned 6 axes of float32"),
    ([b"huge"], r"it gave arrays of \[\(32768, 1024\)\]"),
    ([b"raises"], "encode raised ValueError: item 0 is bad; see the log above"),
    ([b"exits"], "encode raised SystemExit: 5"),
    ([b"unsayable"], "encode raised Odd"),
]


async def test_wrong_answers_are_named_and_the_worker_goes_on(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        for items, text in WRONG_VECTORS:
            with pytest.raises(EncoderError, match=text):
                await worker.encode(items)
            assert (await encode_one(worker, b"a")).tolist() == [97] * 4


WRONG_LOSSES = [
    (b"bits=nan", "bits_per_byte 1 of 2 is nan, outside 0..16"),
    (b"bits=inf", "bits_per_byte 1 of 2 is inf"),
    (b"bits=-0.1", "bits_per_byte 1 of 2 is -0.1"),
    (b"bits=16.5", "bits_per_byte 1 of 2 is 16.5"),
    (b"bits32", r"bits_per_byte are float32 \[2\], not float64 \[2\]"),
    (b"nan", "vector 1 of 2 holds NaN"),
    (b"raises", "evaluate raised ValueError"),
]


async def test_wrong_losses_are_named(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        for item, text in WRONG_LOSSES:
            with pytest.raises(EncoderError, match=text):
                await worker.evaluate([b"a", item], bytes(32))


async def test_items_above_the_limit_never_leave(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        with pytest.raises(EncoderError, match=r"item 1 of 2 has .* bytes; an item has at most"):
            await worker.encode([b"a", bytes(BULK_MAX + 1)])


def test_batches_are_split_by_number_and_by_bytes():
    big = bytes(BULK_MAX // 2)
    assert [(first, len(items)) for first, items in _split([b"a"] * 7, 3)] == [(0, 3), (3, 3), (6, 1)]
    assert [(first, len(items)) for first, items in _split([big, big, b"a", big], 9)] == [(0, 2), (2, 2)]
    assert [len(items) for _, items in _split([b""] * 3000, 1 << 16)] == [ITEMS_MAX, ITEMS_MAX, 952]
    assert list(_split([], 3)) == []


# --- workers that end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("item", "status"), [(b"dies", -9), (b"leaves", 9)])
async def test_a_worker_that_ends_is_said_and_started_again(fake, tmp_path, caplog, item, status):
    async with opened(fake, tmp_path) as worker:
        text = rf"encoder-fake \(soma-encoder-fake 0.3\): the worker ended with status {status}; see the log above"
        with pytest.raises(EncoderError, match=text):
            await worker.encode([item])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4
    assert any("started again" in r.getMessage() for r in caplog.records)


async def test_all_pending_requests_learn_of_the_end(fake, tmp_path):
    errors = []
    async with opened(fake, tmp_path) as worker:

        async def ask(item):
            try:
                await worker.encode([item])
            except EncoderError as error:
                errors.append((item, str(error)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, b"dies")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask, b"a")
    assert sorted(item for item, _ in errors) == [b"a", b"dies"]
    assert all("the worker ended with status -9" in text for _, text in errors)


async def test_a_worker_that_never_answers_anything_is_given_up(fake, tmp_path):
    async with opened(fake, tmp_path, limits=Limits(tries=3, backoff=0.001)) as worker:
        for _ in range(3):
            with pytest.raises(EncoderError, match="the worker ended with status -9"):
                await worker.encode([b"dies"])
        with trio.fail_after(10):
            with pytest.raises(EncoderError, match=r"the worker ended with status -9; see the log above"):
                await worker.encode([b"a"])
            with pytest.raises(PluginError):
                await worker.ready()


async def test_a_worker_that_cannot_be_opened_again_is_given_up(fake, tmp_path):
    async with opened(fake, tmp_path, limits=Limits(tries=2, backoff=0.001), at_open="once") as worker:
        with pytest.raises(EncoderError):
            await worker.encode([b"dies"])
        with pytest.raises(EncoderError, match="open raised OSError: only once"):
            await worker.encode([b"a"])


async def test_another_encoder_after_a_restart_is_refused(fake, tmp_path):
    async with opened(fake, tmp_path, limits=Limits(tries=2, backoff=0.001), at_open="change") as worker:
        with pytest.raises(EncoderError):
            await worker.encode([b"dies"])
        with pytest.raises(EncoderError, match="after its restart it is another encoder"):
            await worker.encode([b"a"])


async def test_a_worker_that_overstays_is_stopped_also_if_nobody_waits(fake, tmp_path):
    limits = Limits(seconds=0.3, backoff=0.001)
    async with opened(fake, tmp_path, limits=limits) as worker:
        with pytest.raises(EncoderError, match=r"no answer within 0\.3 s, the worker was stopped; give it smaller"):
            await worker.encode([b"hangs"])
        await cancel(worker, b"hangs")
        with trio.fail_after(10):
            with pytest.raises(EncoderError, match="no answer within"):  # it was behind the one that hangs
                await worker.encode([b"a"])
            assert (await encode_one(worker, b"a")).tolist() == [97] * 4


async def test_what_an_encoder_writes_to_the_pipe_ends_the_worker_and_not_the_node(fake, tmp_path):
    async def sign(body):
        await trio.sleep_forever()

    async with opened(fake, tmp_path, sign=sign) as worker:
        for item in (b"garbage", b"lies", b"asks"):
            with pytest.raises(EncoderError, match="the worker ended with status -9"):
                await worker.encode([item])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4


async def test_memory_has_a_limit(fake, tmp_path):
    async with opened(fake, tmp_path, limits=Limits(memory=800 << 20)) as worker:
        if "at most 800 MiB" in worker.isolation:
            with pytest.raises(EncoderError, match="encode raised MemoryError"):
                await worker.encode([b"eats"])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4


# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_open", "text"),
    [
        (
            "raise",
            (
                r"^encoder-fake \(soma-encoder-fake 0\.3\): open raised OSError: weights\.safetensors not found "
                r"\(soma_fake\.py:\d+\); `soma plugins check encoder-fake` shows the traceback$"
            ),
        ),
        ("exit", "open raised SystemExit: 7"),
        ("die", r"encoder-fake \(soma-encoder-fake 0\.3\): the worker ended with status 3; see the log above"),
        ("noinfo", r"encoder-fake \(soma-encoder-fake 0\.3\): open returned a object without info"),
        ("badinfo", r"encoder-fake \(soma-encoder-fake 0\.3\): info: dim 0 is outside 1\.\.8192; report it to"),
    ],
)
async def test_what_goes_wrong_in_open_is_one_plugin_error(fake, tmp_path, at_open, text):
    with pytest.raises(PluginError, match=text) as caught:
        async with opened(fake, tmp_path, at_open=at_open):
            pass
    assert "\n" not in str(caught.value)


async def test_an_open_that_hangs_is_ended(fake, tmp_path):
    text = r"not open after 0\.4 s; raise \[node\] open_timeout, or run `soma plugins check encoder-fake`"
    with pytest.raises(PluginError, match=text):
        async with opened(fake, tmp_path, limits=Limits(open_seconds=0.4), at_open="hang"):
            pass


async def test_faults_of_the_module_are_the_plugin_systems_lines(fake, tmp_path):
    with pytest.raises(PluginError, match="import of soma_absent failed: ModuleNotFoundError"):
        async with opened(fake._replace(module="soma_absent"), tmp_path):
            pass
    with pytest.raises(PluginError, match="did you mean dim"):
        async with opened(fake, tmp_path, dimm=3):
            pass


async def test_what_a_plugin_needs_must_have_been_granted(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_TEST_NEEDS", "network identity")
    with pytest.raises(PluginError, match="needs identity, which it was not granted"):
        async with opened(fake, tmp_path, needs=("network",)):
            pass


@pytest.mark.parametrize(
    "change", [{"numeric": "f16"}, {"weights": b"x"}, {"max_batch": 0}, {"modalities": ["x"] * 99}]
)
def test_what_an_encoder_says_of_itself_is_checked(fake, change):
    fields = {
        "dim": 4,
        "weights": b"",
        "architecture": "opaque",
        "numeric": "f32",
        "modalities": ["bytes"],
        "max_batch": 64,
    }
    assert _answers.checked_info(fake, fields, b"").dim == 4
    with pytest.raises(PluginError, match=f"info: {next(iter(change))}"):
        _answers.checked_info(fake, fields | change, b"")
    with pytest.raises(PluginError, match="another type"):
        _answers.checked_info(fake, fields | {"dim": "4"}, b"")


# --- signing ----------------------------------------------------------------------------------------------------------


async def test_an_encoder_with_an_identity_signs_through_the_node(fake, tmp_path):
    asked = []

    async def sign(body):
        asked.append(body)
        return bytes(64)

    async with opened(fake, tmp_path, needs=("identity",), sign=sign) as worker:
        assert (await encode_one(worker, b"signs")).tolist() == [64] * 4
        with pytest.raises(EncoderError, match="40000 bytes to sign"):
            await worker.encode([b"signs_much"])
    assert asked == [b"a request"]


async def test_without_a_signer_the_encoder_is_told(fake, tmp_path):
    async with opened(fake, tmp_path, needs=("identity",)) as worker:
        with pytest.raises(EncoderError, match="the node did not sign; see its log"):
            await worker.encode([b"signs"])
    async with opened(fake, tmp_path) as worker:
        with pytest.raises(EncoderError, match="'NoneType' object is not callable"):
            await worker.encode([b"signs"])


async def test_a_signer_that_refuses_is_no_end(fake, tmp_path, caplog):
    async def refuse(body):
        raise KeyStoreError("the key for encoder is not open", "make one")

    async with opened(fake, tmp_path, needs=("identity",), sign=refuse) as worker:
        with pytest.raises(EncoderError, match="the node did not sign"):
            await worker.encode([b"signs"])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4
    assert any("not signed: the key for encoder is not open" in r.getMessage() for r in caplog.records)


# --- the child, spoken to without the node's side ---------------------------------------------------------------------


def raw(data, directory):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "soma_core.node.worker"],
        input=data,
        cwd=directory,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.decode()


def opening(fake, directory):
    order = _order(fake, {}, directory, (), Limits(), ())
    return frame([0, "open", to_value(order)])


@pytest.mark.parametrize("garbage", [b"\xff" * 8, frame([0, "cancel"]), frame([0, "open", {}])])
def test_a_worker_that_is_not_asked_to_open_ends(tmp_path, garbage):
    status, out, log = raw(garbage, tmp_path)
    assert (status, out) == (1, b"")
    assert log.startswith("what came in was no request: ")
    assert "Traceback" not in log


def test_a_worker_that_is_asked_nothing_ends(tmp_path):
    assert raw(b"", tmp_path) == (0, b"", "")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 8,
        frame([1, "run", {"sizes": [1] * (ITEMS_MAX + 1), "seed": None}]),
        frame([1, "run", {"sizes": [BULK_MAX, 1], "seed": None}]),
        frame([1, "run", {"sizes": [-1], "seed": None}]),
        frame([1, "unknown"]),
    ],
)
def test_garbage_ends_a_worker_cleanly(fake, tmp_path, garbage):
    status, _, log = raw(opening(fake, tmp_path) + garbage, tmp_path)
    assert status in (0, 1)  # 0: the main thread was first to see the end
    assert "what came in was no request: " in log
    assert "Traceback" not in log


def test_a_worker_answers_and_skips_what_was_cancelled_before_its_turn(fake, tmp_path):
    requests = [
        frame([7, "cancel"]),
        frame([7, "run", {"sizes": [1], "seed": None}]) + b"a",
        frame([8, "run", {"sizes": [1], "seed": None}]) + b"a",
    ]
    status, out, _ = raw(opening(fake, tmp_path) + b"".join(requests), tmp_path)
    assert status == 0
    skipped, answer = frame([7, "skipped"]), frame([8, "run", [["<f4", [1, 4]]]])
    assert out[out.index(skipped) :] == skipped + answer + np.full(4, 97, "<f4").tobytes()


def test_settings_have_a_greatest_length(fake, tmp_path):
    with pytest.raises(PluginError, match="settings of 40012 characters; keep them below 32768"):
        _order(fake, {"path": "x" * 40000}, tmp_path, (), Limits(), ())


# --- what a worker can reach ------------------------------------------------------------------------------------------


@pytest.fixture
def secrets(tmp_path):
    data = tmp_path / "data"
    (data / "keys").mkdir(parents=True, mode=0o700)
    (data / "keys" / "account.key").write_text("secret")
    return data


async def try_to_escape(fake, data, monkeypatch, **more):
    import json

    monkeypatch.setenv("SOMA_PASSPHRASE", "secret")
    monkeypatch.setenv("AWS_SECRET", "secret")
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    monkeypatch.setenv("XLA_TEST_PORT", str(listener[0].socket.getsockname()[1]))
    directory = data / "plugins" / "encoder-fake"
    path = str(data / "keys" / "account.key")
    async with open_worker(fake, {"path": path} if more.pop("named", False) else {}, directory, **more) as worker:
        isolation = worker.isolation
        assert (await encode_one(worker, b"escapes")).tolist() == [ord("e")] * 4
    await listener[0].aclose()
    return json.loads((directory / "said").read_text()), isolation


@linux
async def test_a_worker_reaches_neither_keys_nor_network_nor_node(fake, tmp_path, secrets, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    (tmp_path / "site").mkdir()
    path = str(secrets / "keys" / "account.key")  # known to the plugin, and not named by the operator
    (tmp_path / "site" / "soma_fake.py").write_text(MODULE.replace("self.config.path", repr(path)))
    tried, isolation = await try_to_escape(fake, secrets, monkeypatch, hidden=[secrets])
    assert "SOMA_PASSPHRASE" not in tried["environ"]
    assert "AWS_SECRET" not in tried["environ"]
    assert tried["core"] == [0, 0]
    assert tried["session"]
    if "node's files hidden" in isolation:
        assert tried["read"] == "FileNotFoundError"
        assert tried["list"] == "['plugins']"
        assert tried["up"] == "['encoder-fake']"
        assert tried["mount"] == "-1"
        assert tried["shell"] == "1"
    if "memory of the node unreadable" in isolation:
        assert tried["node"] == "PermissionError"
        assert tried["root"] == "PermissionError"
    if "no signals to others" in isolation:
        assert tried["kill"] == "PermissionError"
    if "no network" in isolation or "no TCP" in isolation:
        assert tried["connect"] in ("OSError", "PermissionError", "ConnectionRefusedError", "TimeoutError")
        assert tried["listen"] in ("OSError", "PermissionError")


@linux
async def test_a_worker_that_needs_the_network_has_it_and_nothing_more(fake, tmp_path, secrets, monkeypatch):
    tried, isolation = await try_to_escape(fake, secrets, monkeypatch, hidden=[secrets], needs=("network",), named=True)
    assert tried["connect"].startswith("<socket.socket")
    assert "no network" not in isolation
    assert "no TCP" not in isolation
    assert tried["read"] == "'secret'"  # the operator named this file in its settings


async def test_the_system_says_what_it_offers(fake, tmp_path):
    offered = offered_isolation()
    assert offered[0].startswith("at most 1024 open files")
    async with opened(fake, tmp_path, hidden=[tmp_path]) as worker:
        assert {*offered} - {"limited memory", "unlimited memory"} <= {*worker.isolation}
        assert "no core file" in worker.isolation


def test_what_the_system_refuses_is_left_out(monkeypatch, tmp_path):
    calls = []

    def refuse(name, *arguments):
        calls.append(name)
        return False

    monkeypatch.setattr(_confinement, "system_call", refuse)
    monkeypatch.setattr(_confinement, "_limit_files", lambda: False)
    monkeypatch.setattr(_confinement, "_landlock", lambda **_: ())
    assert _confinement.confine(tmp_path, [tmp_path], [], network=False) == ()
    assert calls == ["prctl", "unshare", "unshare"]


# --- lines of the log -------------------------------------------------------------------------------------------------


def test_lines_survive_every_cut():
    stream = b"one\ntwo\r\n\n" + b"x" * 5000 + b"\nfour \x1b[31m\xff\tend"
    for size in (1, 3, 100, 4096, 10000):
        lines, found = Lines(0.0), []
        for start in range(0, len(stream), size):
            found += lines.feed(stream[start : start + size], 0.0)
        found += lines.end()
        assert found == ["one", "two", "", "x" * LINE_MAX, "four \\x1b[31m\\xff\tend"]


def test_lines_have_a_rate():
    lines = Lines(0.0)
    assert len(lines.feed(b"a\n" * 1000, 1.0)) == LINES_MAX
    assert lines.flooding
    assert lines.feed(b"b\n", 11.0) == ["… 800 more lines were dropped", "b"]
    assert not lines.flooding
    assert lines.end() == []


@pytest.mark.parametrize(
    "header",
    [
        None,
        {},
        ["<f4"],
        [["<f4", [-1]]],
        [["<f4", [True]]],
        [["<f4", ["1"]]],
        [["object", [1]]],
        [["<f4", [1, 1, 1, 1, 1]]],
        [["<f4", [1 << 40]]],
        [["<f4", [1 << 24]], ["<f8", [1]]],
        [["<f4", [1]]] * 3,
    ],
)
def test_announced_arrays_are_bounded_before_anything_is_allocated(header):
    with pytest.raises(Exception, match=r"array|bytes"):
        _answers.bulk_size(header)


def test_the_longest_batch_has_a_frame():
    assert frame([1, "run", {"sizes": [BULK_MAX] * ITEMS_MAX, "seed": bytes(64)}])
