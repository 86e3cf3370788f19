"""The signer as a real process: who may sign what, one body a slot over restarts, garbage, and what it imports."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import evolve
from constants import SPECS, constants
from hypothesis import given
from hypothesis import strategies as st

from soma_core import crypto, keystore
from soma_core.beacon import Chain
from soma_core.codec import decode
from soma_core.crypto import SecretKey, signing_digest
from soma_core.errors import DecodeError, KeyStoreError
from soma_core.keystore import KeyStore
from soma_core.node import _answers, _child_log, _confinement, _frames, encoding, signing, worker
from soma_core.node import signer as child
from soma_core.node._frames import FRAME_MAX, Splitter, frame
from soma_core.node._slots import SignedSlot, SignedSlots
from soma_core.node.signing import open_signer
from soma_core.records import to_value

CHAIN = bytes(range(32))


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """Key files made once; every test copies them."""
    data = tmp_path_factory.mktemp("master")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keystore, "SCRYPT_N", 1 << 14)
        patch.setenv("SOMA_PASSPHRASE", "for tests")
        KeyStore(data).ensure(keystore.ROLES)
    return data


@pytest.fixture
def data(master, tmp_path, monkeypatch):
    monkeypatch.setenv("SOMA_PASSPHRASE", "for tests")
    monkeypatch.delenv("SOMA_PASSPHRASE_FILE", raising=False)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for file in (master / "keys").glob("*.key"):
        (keys / file.name).write_bytes(file.read_bytes())
        (keys / file.name).chmod(0o600)
    return tmp_path


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


# --- what each role signs ---------------------------------------------------------------------------------------------


async def test_every_role_signs_under_its_domains_and_the_chain_checks_it(data):
    async with open_signer(data, CHAIN) as signer:
        assert signer.roles == keystore.ROLES
        for role, domains in child.DOMAINS_OF.items():
            key = signer.role(role)
            assert key.key == next(e.key for e in KeyStore(data).list() if e.role == role)
            for domain in domains:
                signature = await key.sign(domain, 7, b"body", slot=1 if domain in child.SLOTTED else None)
                assert key.verify(key.key, signing_digest(domain, CHAIN, 7, b"body"), signature)
                assert not key.verify(key.key, signing_digest(domain, bytes(32), 7, b"body"), signature)
                assert not key.verify(key.key, signing_digest(domain, CHAIN, 8, b"body"), signature)


async def test_the_node_side_gets_a_clear_refusal(data):
    async with open_signer(data, CHAIN, roles=("account", "validator")) as signer:
        with pytest.raises(
            KeyStoreError, match=r"for account does not sign under soma/block; it signs under soma/poss"
        ):
            await signer.role("account").sign("soma/block", 0, b"x", slot=1)
        with pytest.raises(KeyStoreError, match="soma/block needs a slot"):
            await signer.role("validator").sign("soma/block", 0, b"x")
        with pytest.raises(KeyStoreError, match="soma/possession has no slots"):
            await signer.role("validator").sign("soma/possession", 0, b"x", slot=3)
        with pytest.raises(KeyStoreError, match="the key for encoder is not open; make one with `soma keys new enc"):
            signer.role("encoder")
        with pytest.raises(KeyStoreError, match=r"for account does not sign"):
            await signer.role("account").sign("soma/checkpoint", 0, b"x", slot=1)
        # after every refusal it still serves
        assert await signer.role("account").sign("soma/tx", 0, b"x")


def test_the_child_refuses_wrong_domains_by_itself(data):
    status, answers, _ = raw(
        data,
        sign_frame(1, "account", "soma/block", slot=1),
        sign_frame(2, "account", "soma/checkpoint", slot=1),
        sign_frame(3, "validator", "soma/tx"),
        sign_frame(4, "validator", "soma/hello"),
        sign_frame(5, "account", "soma/beaconseed"),
        sign_frame(6, "account", "no/domain"),
        sign_frame(7, "node", "soma/hello"),  # a role that was not opened
        sign_frame(8, "root", "soma/tx"),
        sign_frame(9, "account", "soma/tx"),
    )
    assert status == 0
    assert [(a[0], a[1]) for a in answers] == [(0, True), *((n, False) for n in range(1, 9)), (9, True)]


def test_keys_are_opened_once(data):
    again = frame([5, "open", to_value(child.Open(directory=str(data), chain=bytes(32), roles=("node",)))])
    status, answers, _ = raw(data, again, sign_frame(6, "node", "soma/hello"))
    assert status == 0
    assert [a[1] for a in answers] == [True, False, False]


async def test_several_encoders_have_keys_of_their_own(data):
    KeyStore(data).create("encoder-one")
    KeyStore(data).create("encoder-two")
    async with open_signer(data, CHAIN) as signer:
        assert signer.roles == (*keystore.ROLES, "encoder-one", "encoder-two")
        one, two = signer.role("encoder-one"), signer.role("encoder-two")
        assert one.key != two.key
        assert await one.sign("soma/webhook", 0, b"x")
        with pytest.raises(KeyStoreError, match="the key for encoder-two does not sign under soma/hello"):
            await two.sign("soma/hello", 0, b"x")


async def test_the_identity_is_the_node_key(data):
    async with open_signer(data, CHAIN, roles=("node",)) as signer:
        identity = signer.identity()
        signature = await identity.sign(b"challenge")
        assert identity.verify(identity.peer, b"challenge", signature)
        assert not identity.verify(identity.peer, b"another", signature)
        assert not identity.verify(SecretKey.generate().public, b"challenge", signature)
        assert not identity.verify(b"short", b"challenge", b"")
        with pytest.raises(KeyStoreError, match="at most 256"):
            await identity.sign(bytes(257))


# --- one body a slot --------------------------------------------------------------------------------------------------


async def test_a_slot_signs_one_body_ever_over_restarts(data):
    async with open_signer(data, CHAIN, roles=("validator",)) as signer:
        key = signer.role("validator")
        first = await key.sign("soma/block", 2, b"one", slot=5)
        assert await key.sign("soma/block", 2, b"one", slot=5) == first
    async with open_signer(data, CHAIN, roles=("validator",)) as signer:
        key = signer.role("validator")
        assert await key.sign("soma/block", 2, b"one", slot=5) == first
        with pytest.raises(KeyStoreError, match="slot 5 of epoch 2 has signed something else"):
            await key.sign("soma/block", 2, b"two", slot=5)
        with pytest.raises(KeyStoreError, match="slot 4 of epoch 2 is behind slot 5 of epoch 2"):
            await key.sign("soma/block", 2, b"two", slot=4)
        with pytest.raises(KeyStoreError, match="slot 9 of epoch 1 is behind"):
            await key.sign("soma/block", 1, b"two", slot=9)
        # domains, and chains, have slots of their own; a later epoch begins again
        await key.sign("soma/checkpoint", 2, b"two", slot=5)
        await key.sign("soma/block", 3, b"two", slot=0)
    async with open_signer(data, bytes(32), roles=("validator",)) as signer:
        assert await signer.role("validator").sign("soma/block", 2, b"two", slot=5)


async def test_what_was_signed_before_a_kill_is_known_after_it(data):
    async with open_signer(data, CHAIN, roles=("validator",)) as signer:
        for slot in range(20):
            await signer.role("validator").sign("soma/block", 0, b"one", slot=slot)
        os.kill(pid_of(signer), signal.SIGKILL)
        with pytest.raises(KeyStoreError, match="the signer ended with status -9; see the log above, restart"):
            await signer.role("validator").sign("soma/block", 0, b"one", slot=21)
    async with open_signer(data, CHAIN, roles=("validator",)) as signer:
        with pytest.raises(KeyStoreError, match="has signed something else"):
            await signer.role("validator").sign("soma/block", 0, b"two", slot=19)


def pid_of(signer):
    return signer.role("validator")._child.process.pid


def test_two_bodies_of_one_slot_in_one_read(data):
    status, answers, _ = raw(
        data,
        sign_frame(1, "validator", "soma/block", b"one", slot=1),
        sign_frame(2, "validator", "soma/block", b"two", slot=1),
        sign_frame(3, "validator", "soma/block", b"one", slot=1),
        sign_frame(4, "validator", "soma/block", b"two", slot=2),
        sign_frame(5, "validator", "soma/block", b"one", slot=1),
    )
    assert status == 0
    assert [a[1] for a in answers[1:]] == [True, False, True, True, False]
    assert answers[1][2] == answers[3][2]


async def test_a_second_signer_of_the_same_keys_is_refused(data):
    async with open_signer(data, CHAIN, roles=("validator",)) as signer:
        with pytest.raises(KeyStoreError, match=r"signed\.sqlite: another signer holds it; stop the other node"):
            async with open_signer(data, CHAIN, roles=("validator",)):
                pass
        assert await signer.role("validator").sign("soma/block", 0, b"x", slot=1)
        async with open_signer(data, CHAIN, roles=("node",)):
            pass  # keys without slots need no record


SLOT = SignedSlot(
    key=bytes(32), domain="soma/block", chain=CHAIN, epoch=1, slot=7, digest=bytes(32), signature=bytes(64)
)


def damage_checksum(path):
    with sqlite3.connect(path) as file:
        file.execute("UPDATE signed SET slot = 3")
    file.close()


def damage_type(path):
    with sqlite3.connect(path) as file:
        file.execute("UPDATE signed SET digest = x'00'")
    file.close()


def damage_page(path):
    path.write_bytes(path.read_bytes()[:5000])


def damage_all(path):
    path.write_bytes(b"not a database at all" * 100)


@pytest.mark.parametrize("damage", [damage_checksum, damage_type, damage_page, damage_all])
def test_a_damaged_record_refuses_to_sign(data, damage):
    path = data / "keys" / "signed.sqlite"
    slots = SignedSlots(path)
    slots.promise(SLOT)
    slots.commit()
    slots.close()
    damage(path)
    status, answers, _ = raw(data, sign_frame(1, "validator", "soma/block", slot=9), roles=("validator",))
    assert status == 1
    assert [a[:2] for a in answers] == [[0, False]]
    assert "the record of what was signed is damaged" in answers[0][2]


class _Refuses:
    """A database connection whose statements that begin with `word` fail."""

    def __init__(self, real, word):
        self._real, self._word = real, word

    def execute(self, statement, *rest):
        if statement.startswith(self._word):
            raise sqlite3.OperationalError("disk I/O error")
        return self._real.execute(statement, *rest)

    def __getattr__(self, name):
        return getattr(self._real, name)


@pytest.mark.parametrize("word", ["COMMIT", "INSERT", "BEGIN"])
def test_a_write_that_fails_lets_no_signature_out_and_ends_signing(data, word):
    keys = child.Keys(child.Open(directory=str(data), chain=CHAIN, roles=("account", "validator")))
    real = keys._slots._file
    keys._slots._file = _Refuses(real, word)
    frames = [
        sign_frame(1, "account", "soma/tx"),
        sign_frame(2, "validator", "soma/block", slot=1),
        sign_frame(3, "validator", "soma/block", slot=1),
    ]
    answers = child.answer_all(keys, [decode(f[4:]) for f in frames])
    assert [a[1] for a in answers] == [True, False, False]
    assert "could not be written" in answers[1][2]
    keys._slots._file = real
    answers = child.answer_all(keys, [decode(f[4:]) for f in [*frames, sign_frame(4, "validator", "soma/possession")]])
    assert [a[1] for a in answers] == [True, False, False, True]
    keys._slots.close()
    # nothing was recorded either: after the restart the slot is free
    slots = SignedSlots(data / "keys" / "signed.sqlite")
    assert slots.signature(keys.public["validator"], "soma/block", CHAIN, (0, 1), bytes(32)) is None
    slots.close()


def test_the_promise_is_durable_before_the_answer_exists(data):
    keys = child.Keys(child.Open(directory=str(data), chain=CHAIN, roles=("validator",)))
    order = []
    real = keys._slots.commit
    keys._slots.commit = lambda: (order.append("commit"), real())
    sink = child.Sink(os.open(os.devnull, os.O_WRONLY))
    sink.send = lambda answers: order.append("answer")
    sink.send(child.answer_all(keys, [decode(sign_frame(1, "validator", "soma/block", slot=1)[4:])]))
    assert order == ["commit", "answer"]
    keys._slots.close()
    os.close(sink._descriptor)


def test_slots_are_kept_per_key(tmp_path):
    slots = SignedSlots(tmp_path / "s.sqlite")
    slots.promise(SLOT)
    slots.commit()
    assert slots.signature(SLOT.key, "soma/block", CHAIN, (1, 7), SLOT.digest) == SLOT.signature
    assert slots.signature(bytes([1] * 32), "soma/block", CHAIN, (0, 0), bytes(32)) is None
    slots.promise(evolve(SLOT, slot=8))
    slots.commit()
    slots.close()
    again = SignedSlots(tmp_path / "s.sqlite")
    with pytest.raises(KeyStoreError, match="behind slot 8"):
        again.signature(SLOT.key, "soma/block", CHAIN, (1, 7), SLOT.digest)
    again.close()


# --- the beacon's chains ----------------------------------------------------------------------------------------------


async def test_beacon_chains_come_from_the_secret_and_outlive_restarts(data):
    seed = KeyStore(data).open("validator").derive("soma/beaconseed", CHAIN, (3).to_bytes(8, "big"))
    expected = Chain(seed, 50)
    async with open_signer(data, CHAIN, roles=("validator", "account")) as signer:
        key = signer.role("validator")
        with pytest.raises(KeyStoreError, match="no beacon chain of epoch 3 is built; ask for its anchor first"):
            await key.beacon_link(3, 1)
        assert await key.beacon_anchor(3, 50) == expected.anchor
        assert await key.beacon_anchor(3, 50) == expected.anchor
        assert await key.beacon_link(3, 17) == expected.link(17)
        with pytest.raises(KeyStoreError, match="epoch 3 has 50 rounds, not 51"):
            await key.beacon_link(3, 51)
        with pytest.raises(KeyStoreError, match="of epoch 3 has 50 rounds, not 51; an epoch has one chain"):
            await key.beacon_anchor(3, 51)
        for epoch in range(4, 8):
            await key.beacon_anchor(epoch, 5)
        with pytest.raises(KeyStoreError, match="no beacon chain of epoch 3"):
            await key.beacon_link(3, 1)


async def test_signing_goes_on_while_a_chain_is_built(data):
    async with open_signer(data, CHAIN, roles=("validator",)) as signer:
        key, order = signer.role("validator"), []

        async def build():
            await key.beacon_anchor(1, 1 << 19)
            order.append("anchor")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(build)
            await trio.testing.wait_all_tasks_blocked()
            for slot in range(3):
                await key.sign("soma/block", 0, b"x", slot=slot)
                order.append("signed")
        assert order == ["signed"] * 3 + ["anchor"]


def test_beacons_need_the_validator_and_have_a_bound(data):
    _, answers, _ = raw(
        data,
        frame([1, "anchor", {"epoch": 0, "rounds": 5}]),
        frame([2, "link", {"epoch": 0, "round": 5}]),
        roles=("account",),
    )
    assert [a[1] for a in answers] == [True, False, False]
    beacons = child.Beacons(SecretKey.generate(), CHAIN)
    for number in range(child.BUILDING_MAX):
        beacons.order(number, child.Anchor(epoch=0, rounds=1))
    with pytest.raises(KeyStoreError, match="8 beacon chains are being built already"):
        beacons.order(9, child.Anchor(epoch=0, rounds=1))


# --- the process ------------------------------------------------------------------------------------------------------


async def test_many_requests_are_in_flight_and_each_gets_its_own_answer(data):
    async with open_signer(data, CHAIN, roles=("account",)) as signer:
        key, found = signer.role("account"), {}

        async def sign(i):
            found[i] = await key.sign("soma/tx", i, b"body")

        async with trio.open_nursery() as nursery:
            for i in range(600):
                nursery.start_soon(sign, i)
        assert all(crypto.verify(key.key, signing_digest("soma/tx", CHAIN, i, b"body"), found[i]) for i in range(600))


async def test_the_answer_of_a_cancelled_request_goes_to_nobody(data):
    async with open_signer(data, CHAIN, roles=("account",)) as signer:
        key = signer.role("account")
        for i in range(20):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(key.sign, "soma/tx", 1000 + i, b"cancelled")
                    await trio.lowlevel.checkpoint()
                    scope.cancel()
            signature = await key.sign("soma/tx", i, b"kept")
            assert crypto.verify(key.key, signing_digest("soma/tx", CHAIN, i, b"kept"), signature)


async def test_a_capability_that_outlives_its_signer_says_so(data):
    async with open_signer(data, CHAIN, roles=("account",)) as signer:
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
def test_garbage_ends_the_child_cleanly(data, garbage):
    status, answers, log = raw(data, garbage, roles=("account",))
    assert status == 1
    assert [a[:2] for a in answers] in ([[0, True]], [])
    assert log.startswith("what came in was no request: ")
    assert "Traceback" not in log


def test_half_a_frame_at_the_end_is_only_an_end(data):
    status, answers, log = raw(data, sign_frame(1, "account", "soma/tx")[:-1], roles=("account",))
    assert (status, len(answers), log) == (0, 1, "")


def test_the_first_request_must_open_the_keys(data):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "soma_core.node.signer"],
        input=sign_frame(0, "account", "soma/tx"),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == b""


async def test_faults_of_the_keys_are_raised_on_the_nodes_side(data, monkeypatch):
    (data / "keys" / "account.key").chmod(0o644)
    with pytest.raises(KeyStoreError, match="chmod 600"):
        async with open_signer(data, CHAIN, roles=("account",)):
            pass
    (data / "keys" / "account.key").chmod(0o600)
    monkeypatch.setenv("SOMA_PASSPHRASE", "wrong")
    with pytest.raises(KeyStoreError, match="does not open it"):
        async with open_signer(data, CHAIN, roles=("account",)):
            pass
    with pytest.raises(KeyStoreError, match="'root' is not a role"):
        async with open_signer(data, CHAIN, roles=("root",)):
            pass


async def test_what_the_block_raises_leaves_as_it_is(data):
    with pytest.raises(ZeroDivisionError):
        async with open_signer(data, CHAIN, roles=("account",)):
            _ = 1 / 0


async def test_the_child_ignores_interrupts_and_ends_with_its_pipe(data):
    async with open_signer(data, CHAIN, roles=("validator",)) as signer:
        process = signer.role("validator")._child.process
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGTERM)
        assert await signer.role("validator").sign("soma/possession", 0, b"still here")
        assert os.getsid(process.pid) == process.pid
    assert process.returncode == 0


async def test_the_child_closes_everything_and_hides_its_memory(data, monkeypatch):
    monkeypatch.setenv("SOMA_OTHER", "not for the signer")
    read, write = os.pipe()
    os.set_inheritable(read, True)  # noqa: FBT003
    async with open_signer(data, CHAIN, roles=("validator",)) as signer:
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


def test_the_child_imports_no_plugin_no_trio_and_no_numpy(data):
    code = (
        "import sys, soma_core.node.signer\n"
        "heavy = {'trio', 'numpy', 'pluggy', 'libp2p', 'jax', 'click', 'soma_core.plugins', 'soma_core.api'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\n", b"")


# --- frames -----------------------------------------------------------------------------------------------------------


def test_frames_survive_every_cut():
    values = [[1, b"x" * 300], {"a": None}, "text", 0]
    stream = b"".join(frame(value) for value in values)
    for size in (1, 2, 3, 5, 7, 64, len(stream)):
        splitter, found = Splitter(), []
        for start in range(0, len(stream), size):
            found += splitter.feed(stream[start : start + size])
        assert found == values


def test_frames_have_a_bound():
    with pytest.raises(DecodeError, match="a frame of 70005 bytes, not 1 to 65536"):
        frame(bytes(70000))


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_no_bytes_break_the_splitter(pieces):
    splitter = Splitter()
    for piece in pieces:
        try:
            splitter.feed(piece)
        except DecodeError:
            break
    assert len(splitter._rest) <= sum(map(len, pieces))


def test_an_unfinished_frame_is_all_that_is_kept():
    splitter = Splitter()
    whole = frame(bytes(60_000))
    for _ in range(20):
        assert splitter.feed(whole + whole[:-1]) == [bytes(60_000)]
        assert len(splitter._rest) == len(whole) - 1
        assert splitter.feed(whole[-1:]) == [bytes(60_000)]
        assert len(splitter._rest) == 0


# --- the chapter ------------------------------------------------------------------------------------------------------


def test_the_chapters_numbers_are_the_programs():
    modules = (keystore, _frames, child, signing, worker, _answers, encoding, _confinement, _child_log)
    for name, value in constants("05-keys-and-processes.md").items():
        assert {getattr(module, name) for module in modules if hasattr(module, name)} == {value}, name
    said = (SPECS / "05-keys-and-processes.md").read_text("utf-8")
    rows = re.findall(r"^\| (.*) \| (`soma/.*)\|$", said, re.MULTILINE)
    domains = {role: re.findall(r"`(soma/\w+)`", row) for role, row in rows}
    everyone = set(domains.pop("every role"))
    assert {re.findall(r"\w+", role)[0]: {*found} | everyone for role, found in domains.items()} == child.DOMAINS_OF
