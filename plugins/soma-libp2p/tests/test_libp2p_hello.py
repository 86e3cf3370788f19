"""The hello alone, over pipes in memory: what each side accepts."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from soma_core.api import PeerId
from soma_core.testing import KeyIdentity
from soma_libp2p._frames import frame
from soma_libp2p._hello import HelloError, _challenge, _Side, greet, welcome

ALICE, BOB, MALLORY = (KeyIdentity.number(n) for n in (1, 2, 3))
A, B, M = b"peer id of alice", b"peer id of bob", b"peer id of mallory"


class Pipe:
    """One end of a byte stream, with what `Stream` offers to a hello."""

    def __init__(self, sends: "trio.MemorySendChannel[bytes]", receives: "trio.MemoryReceiveChannel[bytes]") -> None:
        self._sends, self._receives = sends, receives
        self._buffer = b""

    async def write(self, data: bytes) -> None:
        await self._sends.send(data)

    async def read(self, n: int) -> bytes:
        while len(self._buffer) < n:
            self._buffer += await self._receives.receive()
        data, self._buffer = self._buffer[:n], self._buffer[n:]
        return data

    async def read_frame(self) -> bytes:
        return await self.read(int.from_bytes(await self.read(4), "big"))


def pipe() -> tuple[Pipe, Pipe]:
    there, back = trio.open_memory_channel[bytes](10), trio.open_memory_channel[bytes](10)
    return Pipe(there[0], back[1]), Pipe(back[0], there[1])


class Verdicts(dict[str, object]):
    async def run(self, name: str, work: Awaitable[object]) -> None:
        try:
            self[name] = await work
        except HelloError as error:
            self[name] = str(error)


async def meet(dialler: Callable[[Pipe], Awaitable[object]], acceptor: Callable[[Pipe], Awaitable[object]]) -> Verdicts:
    """What each side says; a side that still waits when the other is done says nothing."""
    near, far = pipe()
    verdicts = Verdicts()
    with trio.move_on_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(verdicts.run, "dialler", dialler(near))
            nursery.start_soon(verdicts.run, "acceptor", acceptor(far))
    return verdicts


def alice(end: Pipe, expected: PeerId = BOB.peer, theirs: bytes = B) -> Awaitable[object]:
    return greet(end, ALICE, expected, A, theirs)  # type: ignore[arg-type]


def bob(end: Pipe, theirs: bytes = A) -> Awaitable[object]:
    return welcome(end, BOB, B, theirs)  # type: ignore[arg-type]


async def test_both_know_each_other(autojump_clock: MockClock) -> None:
    assert await meet(alice, bob) == {"dialler": None, "acceptor": ALICE.peer}


async def test_somebody_else_gets_no_signature(autojump_clock: MockClock) -> None:
    verdicts = await meet(lambda end: alice(end, MALLORY.peer), bob)
    assert verdicts == {"dialler": f"{BOB.peer.hex()} answers, not {MALLORY.peer.hex()}"}


async def test_different_connections_do_not_agree(autojump_clock: MockClock) -> None:
    """Alice's Noise reached mallory, bob's came from mallory: the words fit, the connections do not."""
    verdicts = await meet(lambda end: alice(end, theirs=M), lambda end: bob(end, theirs=M))
    assert verdicts == {"acceptor": f"who dials does not hold the key {ALICE.peer.hex()}"}


async def test_own_signature_does_not_come_back_as_anothers(autojump_clock: MockClock) -> None:
    """Alice dials her own key, and an echo answers with her nonce, her key, her signature."""

    async def echo(end: Pipe) -> None:
        while True:
            await end.write(frame(await end.read_frame()))

    verdicts = await meet(lambda end: alice(end, ALICE.peer, theirs=A), echo)
    assert verdicts["dialler"] == f"who answers does not hold the key {ALICE.peer.hex()}"


async def test_old_words_prove_nothing(autojump_clock: MockClock) -> None:
    """Mallory saw a whole hello of alice and says it again."""
    heard: list[bytes] = []

    async def overheard(end: Pipe) -> object:
        write = end.write

        async def tapped(data: bytes) -> None:
            heard.append(data)
            await write(data)

        end.write = tapped  # type: ignore[method-assign]
        return await alice(end)

    assert await meet(overheard, bob) == {"dialler": None, "acceptor": ALICE.peer}

    async def again(end: Pipe) -> None:
        for words in heard:
            await end.write(words)

    verdicts = await meet(again, bob)
    assert verdicts["acceptor"] == f"who dials does not hold the key {ALICE.peer.hex()}"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (frame(b"\x02" + bytes(64)), "the other end speaks hello version 2, this is 1"),
        (frame(b"\x01" + bytes(63)), "a hello of 64 bytes where 65 belong"),
        ((66).to_bytes(4, "big") + b"\x01" + bytes(64), "a hello of 66 bytes where 65 belong"),
        (b"\xff\xff\xff\xff" + bytes(65), "a hello of 4294967295 bytes where 65 belong"),
        (frame(b"\x01" + bytes(64)) + frame(bytes(64)), f"who dials does not hold the key {bytes(32).hex()}"),
        (frame(b"\x01" + bytes(64)) + frame(bytes(63)), "a hello of 63 bytes where 64 belong"),
    ],
    ids=["version", "short", "long", "huge", "signature of nobody", "short signature"],
)
async def test_bad_words_are_named(autojump_clock: MockClock, words: bytes, why: str) -> None:
    verdicts = await meet(lambda end: end.write(words), bob)
    assert verdicts["acceptor"] == why


async def test_challenge_fits_the_signer(autojump_clock: MockClock) -> None:
    sizes: list[int] = []

    class Measured(KeyIdentity):
        async def sign(self, challenge: bytes, /) -> bytes:
            sizes.append(len(challenge))
            return await super().sign(challenge)

    us = Measured(ALICE.key)
    verdicts = await meet(lambda end: greet(end, us, BOB.peer, A * 10, B), lambda end: bob(end, A * 10))  # type: ignore[arg-type]
    assert verdicts == {"dialler": None, "acceptor": ALICE.peer}
    assert sizes == [206]


def test_challenges_and_signatures_are_those_of_the_vectors() -> None:
    vectors = Path(__file__).resolve().parents[3] / "specs" / "vectors" / "net.json"
    for case in json.loads(vectors.read_text("utf-8"))["proofs"]:
        dialled, accepted = (
            _Side(bytes.fromhex(side["nonce"]), PeerId(bytes.fromhex(side["key"])), bytes.fromhex(side["peer_id"]))
            for side in (case["dialled"], case["accepted"])
        )
        verifier = KeyIdentity(chain=bytes.fromhex(case["chain"]))
        for role, signer in enumerate((dialled, accepted)):
            challenge = _challenge(role, dialled, accepted)
            assert challenge.hex() == case["challenges"][role]
            assert verifier.verify(signer.key, challenge, bytes.fromhex(case["signatures"][role]))
