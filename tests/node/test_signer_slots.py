"""One body a slot, ever: over restarts, kills, damage, disks that fail, and a second signer."""

import os
import resource
import signal
import sqlite3
import sys

import pytest
from attrs import evolve
from refusing_kernel import KNOWN, SYNC, refuse
from signer_world import CHAIN, pid_of, raw, sign_frame

from soma_core.codec import decode
from soma_core.errors import KeyStoreError
from soma_core.node import signer as child
from soma_core.node._slots import SignedSlot, SignedSlots
from soma_core.node.signing import open_signer


async def test_a_slot_signs_one_body_ever_over_restarts(home):
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        key = signer.role("validator")
        first = await key.sign("soma/block", 2, b"one", slot=5)
        assert await key.sign("soma/block", 2, b"one", slot=5) == first
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        key = signer.role("validator")
        assert await key.sign("soma/block", 2, b"one", slot=5) == first
        with pytest.raises(KeyStoreError, match="slot 5 of epoch 2 has signed something else"):
            await key.sign("soma/block", 2, b"two", slot=5)
        with pytest.raises(KeyStoreError, match="slot 4 of epoch 2 is behind slot 5 of epoch 2"):
            await key.sign("soma/block", 2, b"two", slot=4)
        with pytest.raises(KeyStoreError, match="slot 9 of epoch 0 is behind slot 5 of epoch 2"):
            await key.sign("soma/block", 0, b"two", slot=9)
        # domains, and chains, have slots of their own; a later epoch begins again
        await key.sign("soma/checkpoint", 2, b"two", slot=5)
        await key.sign("soma/block", 3, b"two", slot=0)
    async with open_signer(home, bytes(32), roles=("validator",)) as signer:
        assert await signer.role("validator").sign("soma/block", 2, b"two", slot=5)


async def test_the_epoch_before_goes_on_and_those_before_it_are_over(home):
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        key = signer.role("validator")
        await key.sign("soma/block", 7, b"one", slot=5)
        await key.sign("soma/block", 8, b"one", slot=1)
        await key.sign("soma/block", 7, b"one", slot=6)
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        key = signer.role("validator")
        with pytest.raises(KeyStoreError, match="slot 6 of epoch 7 has signed something else"):
            await key.sign("soma/block", 7, b"two", slot=6)
        with pytest.raises(KeyStoreError, match="slot 5 of epoch 7 is behind slot 6 of epoch 7"):
            await key.sign("soma/block", 7, b"one", slot=5)
        with pytest.raises(KeyStoreError, match="slot 1 of epoch 8 has signed something else"):
            await key.sign("soma/block", 8, b"two", slot=1)
        with pytest.raises(KeyStoreError, match="slot 9 of epoch 6 is behind slot 1 of epoch 8"):
            await key.sign("soma/block", 6, b"one", slot=9)
        await key.sign("soma/block", 9, b"one", slot=1)
        with pytest.raises(KeyStoreError, match="slot 7 of epoch 7 is behind slot 1 of epoch 9"):
            await key.sign("soma/block", 7, b"one", slot=7)
    with sqlite3.connect(home / "keys" / "signed.sqlite") as file:
        assert file.execute("SELECT epoch, slot FROM signed ORDER BY epoch").fetchall() == [(8, 1), (9, 1)]
    file.close()


def test_a_record_in_the_format_of_an_older_version_is_refused(home):
    path = home / "keys" / "signed.sqlite"
    SignedSlots(path).close()
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 0")
    file.close()
    with pytest.raises(KeyStoreError, match=r"damaged \(format 0, and this is format 2\)"):
        SignedSlots(path)


async def test_what_was_signed_before_a_kill_is_known_after_it(home):
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        for slot in range(20):
            await signer.role("validator").sign("soma/block", 0, b"one", slot=slot)
        os.kill(pid_of(signer), signal.SIGKILL)
        with pytest.raises(KeyStoreError, match="the signer ended with status -9; see the log above, restart"):
            await signer.role("validator").sign("soma/block", 0, b"one", slot=21)
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        with pytest.raises(KeyStoreError, match="has signed something else"):
            await signer.role("validator").sign("soma/block", 0, b"two", slot=19)


def test_two_bodies_of_one_slot_in_one_read(home):
    status, answers, _ = raw(
        home,
        sign_frame(1, "validator", "soma/block", b"one", slot=1),
        sign_frame(2, "validator", "soma/block", b"two", slot=1),
        sign_frame(3, "validator", "soma/block", b"one", slot=1),
        sign_frame(4, "validator", "soma/block", b"two", slot=2),
        sign_frame(5, "validator", "soma/block", b"one", slot=1),
    )
    assert status == 0
    assert [a[1] for a in answers[1:]] == [True, False, True, True, False]
    assert answers[1][2] == answers[3][2]


async def test_a_second_signer_of_the_same_keys_is_refused(home):
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        with pytest.raises(KeyStoreError, match=r"signed\.sqlite: another signer holds it; stop the other node"):
            async with open_signer(home, CHAIN, roles=("validator",)):
                pass
        assert await signer.role("validator").sign("soma/block", 0, b"x", slot=1)
        async with open_signer(home, CHAIN, roles=("node",)):
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
def test_a_damaged_record_refuses_to_sign(home, damage):
    path = home / "keys" / "signed.sqlite"
    slots = SignedSlots(path)
    slots.promise(SLOT)
    slots.commit()
    slots.close()
    damage(path)
    status, answers, _ = raw(home, sign_frame(1, "validator", "soma/block", slot=9), roles=("validator",))
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
def test_a_write_that_fails_lets_no_signature_out_and_ends_signing(home, word):
    keys = child.Keys(child.Open(directory=str(home), chain=CHAIN, roles=("account", "validator")))
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
    slots = SignedSlots(home / "keys" / "signed.sqlite")
    assert slots.signature(keys.public["validator"], "soma/block", CHAIN, (0, 1), bytes(32)) is None
    slots.close()


@pytest.mark.skipif(not KNOWN, reason="Linux refuses single calls, on these machines")
async def test_where_the_disk_does_not_sync_no_slot_is_signed(home, tmp_path_factory, monkeypatch):
    """The kernel itself refuses: a signature that left had not waited for the disk."""
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        await signer.role("validator").sign("soma/block", 0, b"one", slot=1)
    with monkeypatch.context() as patch:
        refuse(patch, tmp_path_factory.mktemp("kernel"), SYNC)
        with pytest.raises(KeyStoreError, match=r"signed\.sqlite: the record of what was signed .*disk I/O error"):
            async with open_signer(home, CHAIN, roles=("validator", "account")):
                pytest.fail("a record that cannot be synced was opened")
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        assert await signer.role("validator").sign("soma/block", 0, b"three", slot=3)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits another process")
async def test_where_the_disk_is_full_no_slot_is_signed(home):
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        key = signer.role("validator")
        await key.sign("soma/block", 0, b"one", slot=1)
        resource.prlimit(pid_of(signer), resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        with pytest.raises(KeyStoreError, match=r"signed\.sqlite: could not be written"):
            await key.sign("soma/block", 0, b"two", slot=2)
        resource.prlimit(pid_of(signer), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with pytest.raises(KeyStoreError, match="nothing more is signed"):
            await key.sign("soma/block", 0, b"two", slot=2)
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        assert await signer.role("validator").sign("soma/block", 0, b"one", slot=1)
        assert await signer.role("validator").sign("soma/block", 0, b"another", slot=2), "nothing was promised"


def test_the_promise_is_durable_before_the_answer_exists(home):
    keys = child.Keys(child.Open(directory=str(home), chain=CHAIN, roles=("validator",)))
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
