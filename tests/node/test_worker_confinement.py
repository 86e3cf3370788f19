"""What a worker can reach: keys, network, the node. And what is said where a system does not keep it from that.

Mechanisms that this kernel has are taken away by a filter of system calls, so that the worker meets a real refusal.
"""

import ctypes
import json
import logging
import os
import socket
import subprocess
import sys

import pytest
import trio
from refusing_kernel import KNOWN, LANDLOCK, UNSHARE, refuse
from worker_world import encode_one, opened

from soma_core.cli import _health
from soma_core.node import _confinement
from soma_core.node._confinement import within_reach
from soma_core.node.encoding import open_worker
from soma_core.node.offering import offered_isolation

linux = pytest.mark.skipif(not KNOWN, reason="Linux confines, on these machines")


def kernel_offers(call):
    """Whether a process that does nothing else succeeds with `call`, Python on the C library ``c``."""
    code = f"import ctypes, sys; c = ctypes.CDLL(None, use_errno=True); sys.exit(not ({call}))"
    return sys.platform == "linux" and subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


OFFERED = {
    "user namespaces": kernel_offers("c.unshare(0x10000000) == 0"),
    "landlock": kernel_offers("c.syscall(444, None, 0, 1) >= 6"),
    "seccomp": kernel_offers("c.prctl(22, 2, None, 0, 0) == -1 and ctypes.get_errno() == 14"),  # a filter at address 0
}
"""What this kernel has, found without the code under test."""


@pytest.fixture
def without(tmp_path, monkeypatch):
    """Start children from now on where the kernel refuses these mechanisms."""

    def take_away(*mechanisms):
        calls = {"user namespaces": UNSHARE, "landlock": LANDLOCK, "seccomp": ()}
        refused = [call for mechanism in mechanisms for call in calls[mechanism]]
        refuse(monkeypatch, tmp_path, refused, filters="seccomp" in mechanisms)

    return take_away


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A node's data directory with a key, and a control socket that somebody serves."""
    data = tmp_path / "data"
    (data / "keys").mkdir(parents=True, mode=0o700)
    (data / "keys" / "account.key").write_text("secret")
    monkeypatch.setenv("XLA_TEST_SECRET", str(data / "keys" / "account.key"))
    monkeypatch.setenv("XLA_TEST_NODE", str(os.getpid()))
    monkeypatch.setenv("SOMA_PASSPHRASE", "secret")
    monkeypatch.setenv("AWS_SECRET", "secret")
    with socket.socket(socket.AF_UNIX) as control, socket.create_server(("127.0.0.1", 0)) as tcp:
        control.bind(str(data / "control"))
        control.listen()
        monkeypatch.setenv("XLA_TEST_PORT", str(tcp.getsockname()[1]))
        yield data


async def try_to_escape(fake, data, *, config=None, needs=()):
    """What a worker of `fake` could do, and what confined it."""
    own = data / "components" / "encoder-fake"
    async with open_worker(fake, config or {}, own, hidden=[data], needs=needs) as worker:
        isolation = worker.isolation
        assert (await encode_one(worker, b"escapes")).tolist() == [ord("e")] * 4
    return json.loads((own / "said").read_text()), isolation


def holds_everywhere(tried):
    """What no system can refuse."""
    assert {"SOMA_PASSPHRASE", "AWS_SECRET"}.isdisjoint(tried["environ"])
    assert tried["core"] == [0, 0]
    assert tried["session"]
    assert tried["pair"] == "2"


FORBIDDEN = ("PermissionError", "FileNotFoundError", "OSError")


@linux
async def test_a_worker_reaches_neither_keys_nor_network_nor_node(fake, data):
    """The strong form: it holds for certain wherever the kernel has the mechanisms."""
    tried, isolation = await try_to_escape(fake, data)
    holds_everywhere(tried)
    assert OFFERED["seccomp"]
    assert {"no sockets", "no process outlives it", "no new privileges"} <= {*isolation}
    for attempt in ("connect", "listen", "udp", "unix", "setsid"):
        assert tried[attempt] == "PermissionError", attempt
    if OFFERED["user namespaces"]:
        assert {"no network", "node's files hidden", "memory of the node unreadable"} <= {*isolation}
        assert tried["read"] == "FileNotFoundError"
        assert tried["list"] == "['components']"
        assert tried["up"] == "['encoder-fake']"
        assert tried["mount"] == "-1"
    elif OFFERED["landlock"]:
        assert {"node's files unreadable", "memory of the node unreadable"} <= {*isolation}
        assert tried["read"] == "PermissionError"
    if OFFERED["user namespaces"] or OFFERED["landlock"]:
        assert tried["shell"] == "1"
        assert tried["node"] == tried["root"] == "PermissionError"
    if OFFERED["landlock"]:
        assert "no signals to others" in isolation
        assert tried["kill"] == "PermissionError"
    if all(OFFERED.values()):
        assert within_reach(isolation, network=False) == ()


@linux
async def test_a_worker_that_needs_the_network_has_it_and_nothing_more(fake, data):
    key = str(data / "keys" / "account.key")
    tried, isolation = await try_to_escape(fake, data, config={"path": key}, needs=("network",))
    holds_everywhere(tried)
    assert tried["connect"].startswith("<socket.socket")
    assert tried["udp"].startswith("<socket.socket")
    assert {"no network", "no TCP", "no sockets"}.isdisjoint(isolation)
    assert tried["unix"] in FORBIDDEN, "the node's control socket, or the session's bus, would do what it asks"
    assert tried["read"] == "'secret'", "the operator named this file in its settings"


WITHOUT = [
    (("user namespaces",), {"node's files unreadable", "memory of the node unreadable", "no TCP"}, ()),
    (("landlock",), {"node's files hidden", "memory of the node unreadable", "no network"}, ("signals to the node",)),
    (
        ("seccomp",),
        {"node's files hidden", "no network", "no TCP", "no signals to others"},
        ("processes that outlive it",),
    ),
    (
        ("user namespaces", "landlock"),
        {"no sockets", "no process outlives it", "no new privileges"},
        ("the node's files, with its keys", "the node's memory", "signals to the node"),
    ),
    (
        ("user namespaces", "seccomp"),
        {"node's files unreadable", "memory of the node unreadable", "no TCP"},
        ("processes that outlive it", "the network"),
    ),
    (
        ("user namespaces", "landlock", "seccomp"),
        {"at most 1024 open files", "no core file", "no new privileges"},
        (
            "the node's files, with its keys",
            "the node's memory",
            "signals to the node",
            "processes that outlive it",
            "the network",
        ),
    ),
]


@linux
@pytest.mark.skipif(not all(OFFERED.values()), reason="what the kernel lacks cannot be taken away")
@pytest.mark.parametrize(("mechanisms", "kept", "lost"), WITHOUT, ids=[" and ".join(one[0]) for one in WITHOUT])
async def test_what_a_system_does_not_offer_is_said_and_the_rest_holds(
    fake, data, without, caplog, mechanisms, kept, lost
):
    without(*mechanisms)
    tried, isolation = await try_to_escape(fake, data)
    holds_everywhere(tried)
    assert kept <= {*isolation}
    assert within_reach(isolation, network=False) == lost
    assert (tried["read"] in FORBIDDEN) == ("the node's files, with its keys" not in lost)
    kept_from_tcp = "the network" not in lost or "no TCP" in isolation
    assert (tried["connect"] in FORBIDDEN) == (tried["listen"] in FORBIDDEN) == kept_from_tcp
    assert (tried["setsid"] == "PermissionError") == ("processes that outlive it" not in lost)
    assert (tried["kill"] == "PermissionError") == ("signals to the node" not in lost)
    if "the node's memory" not in lost:
        assert tried["node"] == tried["root"] == "PermissionError"
    said = [r.getMessage() for r in caplog.records if r.name == "soma.encoder-fake" and r.levelno == logging.WARNING]
    assert said == ([f"this system does not keep from it: {', '.join(lost)}; see `soma doctor`"] if lost else [])
    finding = await trio.to_thread.run_sync(_health.isolation)
    assert finding.level == ("warn" if lost else "ok")
    assert all(what in finding.detail for what in lost)


@linux
async def test_the_system_says_what_it_offers_as_a_worker_finds_it(fake, tmp_path):
    offered, lost = await trio.to_thread.run_sync(offered_isolation)
    assert {"no core file", "at most 1024 open files"} <= {*offered}
    assert any(word.endswith("MiB") for word in offered)
    async with opened(fake, tmp_path, hidden=[tmp_path]) as worker:
        words = {word for word in worker.isolation if not word.endswith("MiB")}
        assert words == {word for word in offered if not word.endswith("MiB")}
        assert within_reach(worker.isolation, network=False) == lost


def test_what_no_system_offers_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(_confinement, "system_call", lambda *_: False)
    for step in ("restrict", "refuse_calls", "_limit_files", "_limit_memory", "forbid_core_files"):
        monkeypatch.setattr(_confinement, step, lambda *_, **__: ())
    assert _confinement.confine(tmp_path, [tmp_path], [], network=False, memory=1) == ()
    assert len(within_reach((), network=False)) == 6
    assert "the network" not in within_reach((), network=True)


def test_what_the_kernel_lacks_is_no_success():
    from soma_core.node._kernel import linux_call, system_call

    assert not system_call("no_such_function", 1)
    assert linux_call(100_000) == -1
    assert not system_call("close", -1)
    assert ctypes.sizeof(ctypes.c_long) == 8
