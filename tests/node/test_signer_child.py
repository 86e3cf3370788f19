"""The signer as a process: many at once, garbage, its end, and what others see of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from refusing_kernel import KNOWN, PRCTL, refuse, without_capabilities
from signer_world import CHAIN, pid_of, raw, sign_frame

from soma_core import crypto
from soma_core.cli import _health
from soma_core.crypto import signing_digest
from soma_core.errors import KeyStoreError
from soma_core.node._confinement import HIDDEN
from soma_core.node._frames import FRAME_MAX, frame
from soma_core.node.signing import open_signer


async def test_many_requests_are_in_flight_and_each_gets_its_own_answer(home):
    async with open_signer(home, CHAIN, roles=("account",)) as signer:
        key, found = signer.role("account"), {}

        async def sign(i):
            found[i] = await key.sign("soma/tx", i, b"body")

        async with trio.open_nursery() as nursery:
            for i in range(600):
                nursery.start_soon(sign, i)
        assert all(crypto.verify(key.key, signing_digest("soma/tx", CHAIN, i, b"body"), found[i]) for i in range(600))


async def test_the_answer_of_a_cancelled_request_goes_to_nobody(home):
    async with open_signer(home, CHAIN, roles=("account",)) as signer:
        key = signer.role("account")
        for i in range(20):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(key.sign, "soma/tx", 1000 + i, b"cancelled")
                    await trio.lowlevel.checkpoint()
                    scope.cancel()
            signature = await key.sign("soma/tx", i, b"kept")
            assert crypto.verify(key.key, signing_digest("soma/tx", CHAIN, i, b"kept"), signature)


async def test_a_signer_that_dies_ends_the_block_that_needs_it_though_nothing_is_signed(home):
    with pytest.raises(KeyStoreError, match="the signer ended with status -9"), trio.fail_after(20):
        async with open_signer(home, CHAIN, roles=("validator",)) as signer:
            os.kill(pid_of(signer), signal.SIGKILL)
            await trio.sleep_forever()


async def test_a_capability_that_outlives_its_signer_says_so(home):
    async with open_signer(home, CHAIN, roles=("account",)) as signer:
        key = signer.role("account")
    with pytest.raises(KeyStoreError, match="the signer ended with status 0"):
        await key.sign("soma/tx", 0, b"x")
    assert repr(key) == f"Signing(account, key={key.key.hex()[:12]}…)"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        (FRAME_MAX + 1).to_bytes(4, "big") + bytes(10),
        b"\x00\x00\x00\x02\xff\xff",
        b"\x00\x00\x00\x03\x18\x01\x00",
        frame(["no", "request"]),
        frame([1, "unknown", {}]),
        frame([-1, "sign", {}]),
        frame([1, "sign", {"role": "account"}]),
        frame([1, "sign", {"role": "account", "domain": "soma/tx", "epoch": -1, "slot": None, "body": b""}]),
        frame([1, "sign", {"role": "account", "domain": "soma/tx", "epoch": 0, "slot": True, "body": b""}]),
        frame([1, "sign", {"role": "account", "domain": "soma/tx", "epoch": 0, "slot": None, "body": bytes(60_001)}]),
        frame([1, "anchor", {"epoch": 0, "rounds": 0}]),
    ],
)
def test_garbage_ends_the_child_cleanly(home, garbage):
    status, answers, log = raw(home, garbage, roles=("account",))
    assert status == 1
    assert [a[:2] for a in answers] in ([[0, True]], [])
    assert log.startswith("what came in was no request: ")
    assert "Traceback" not in log


def test_half_a_frame_at_the_end_is_only_an_end(home):
    status, answers, log = raw(home, sign_frame(1, "account", "soma/tx")[:-1], roles=("account",))
    assert (status, len(answers), log) == (0, 1, "")


def test_the_first_request_must_open_the_keys(home):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "soma_core.node.signer"],
        input=sign_frame(0, "account", "soma/tx"),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == b""


async def test_faults_of_the_keys_are_raised_on_the_nodes_side(home, monkeypatch):
    (home / "keys" / "account.key").chmod(0o644)
    with pytest.raises(KeyStoreError, match="chmod 600"):
        async with open_signer(home, CHAIN, roles=("account",)):
            pass
    (home / "keys" / "account.key").chmod(0o600)
    monkeypatch.setenv("SOMA_PASSPHRASE", "wrong")
    with pytest.raises(KeyStoreError, match="does not open it"):
        async with open_signer(home, CHAIN, roles=("account",)):
            pass
    with pytest.raises(KeyStoreError, match="'root' is not a role"):
        async with open_signer(home, CHAIN, roles=("root",)):
            pass


async def test_what_the_block_raises_leaves_as_it_is(home):
    with pytest.raises(ZeroDivisionError):
        async with open_signer(home, CHAIN, roles=("account",)):
            _ = 1 / 0


async def test_the_child_ignores_interrupts_and_ends_with_its_pipe(home):
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        process = signer.role("validator")._child.process
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGTERM)
        assert await signer.role("validator").sign("soma/possession", 0, b"still here")
        assert os.getsid(process.pid) == process.pid
    assert process.returncode == 0


async def test_the_child_closes_everything_and_hides_its_memory(home, monkeypatch):
    monkeypatch.setenv("SOMA_OTHER", "not for the signer")
    read, write = os.pipe()
    os.set_inheritable(read, True)  # noqa: FBT003
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        assert "no core file" in signer.hardening
        if sys.platform == "linux":
            assert "memory unreadable to others" in signer.hardening
        if sys.platform == "linux" and os.geteuid() == 0:  # nobody else may look into it by now
            folder = Path(f"/proc/{pid_of(signer)}")
            assert b"SOMA_OTHER" not in (folder / "environ").read_bytes()
            links = [str(fd.readlink()) for fd in (folder / "fd").iterdir()]
            assert str(Path(f"/proc/self/fd/{read}").readlink()) not in links  # noqa: ASYNC240  # no disk behind it
            assert not any(link.startswith("socket") for link in links)
    os.close(read)
    os.close(write)


NEIGHBOUR = """
import os, sys

def look(path):
    if path.endswith("/0"):
        return os.readlink(path)
    with open(path, "rb", buffering=0) as file:
        return path.endswith("/mem") or file.read(1)

for pid in sys.argv[1:]:
    found = []
    for name in ("mem", "environ", "maps", "fd/0"):
        try:
            look(f"/proc/{pid}/{name}")
            found.append(name)
        except PermissionError:
            pass
    print(*found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux hides a process from others of its user")
async def test_another_process_of_the_same_user_reads_nothing_of_the_signer(home, tmp_path_factory, monkeypatch):
    without_capabilities(monkeypatch, tmp_path_factory.mktemp("kernel"))
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        ordinary = await trio.lowlevel.open_process(
            [sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            await ordinary.stdout.receive_some()
            command = [sys.executable, "-c", NEIGHBOUR, str(ordinary.pid), str(pid_of(signer))]
            done = await trio.run_process(command, capture_stdout=True)
        finally:
            ordinary.kill()
            await ordinary.wait()
            await ordinary.stdio.aclose()
    seen, hidden = done.stdout.decode().split("\n")[:2]
    assert seen == "mem environ maps fd/0", "else this test could not fail"
    assert hidden == ""


def test_the_doctor_says_whether_the_signer_can_be_read(tmp_path, monkeypatch):
    finding = _health.signer()
    assert "no core file" in finding.detail
    assert (HIDDEN in finding.detail) == (finding.level == "ok") == (sys.platform == "linux")
    if KNOWN:
        refuse(monkeypatch, tmp_path, PRCTL)
        finding = _health.signer()
        assert (finding.level, HIDDEN in finding.detail) == ("warn", False)
        assert finding.fix


def test_the_child_imports_no_plugin_no_trio_and_no_numpy(home):
    code = (
        "import sys, soma_core.node.signer\n"
        "heavy = {'trio', 'numpy', 'pluggy', 'libp2p', 'jax', 'click', 'soma_core.plugins', 'soma_core.api'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\n", b"")
