"""Who is there: both ends prove their Soma keys on the sync stream, right after it is opened.

Noise proves libp2p's keys, which only make addresses stable. The hello binds the Soma keys to them::

    dialler  → acceptor   version (1 byte, 1), nonce (32), Soma key (32)
    acceptor → dialler    version (1 byte, 1), nonce (32), Soma key (32)
    dialler  → acceptor   signature (64) of the challenge with role 0
    acceptor → dialler    signature (64) of the challenge with role 1

each as a frame. The challenge is ``soma/libp2p/1``, the role, then for the dialler and then for the acceptor: nonce,
Soma key, SHA-256 of the libp2p peer id (206 bytes). It names both ends of this Noise connection, so that nobody in the
middle can pass it on, both nonces, so that nobody can play it again, and the signer's role, so that nobody can send it
back. The acceptor signs last: a stranger who proves nothing gets no signature.
"""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from attrs import frozen

from soma_core.api import Identity, PeerId

from ._frames import HEADER, frame
from ._stream import Stream

VERSION: Final = b"\x01"
_TAG: Final = b"soma/libp2p/1"
_NONCE: Final = 32
_KEY: Final = 32
_SIGNATURE: Final = 64


class HelloError(Exception):
    """The other end did not prove the key it should hold."""


@frozen
class _Side:
    nonce: bytes
    key: PeerId
    p2p: bytes

    def words(self) -> bytes:
        return self.nonce + self.key + sha256(self.p2p).digest()


async def greet(stream: Stream, identity: Identity, expected: PeerId, ours: bytes, theirs: bytes) -> None:
    """The dialler's part: return once the other end has proved to hold `expected`.

    `ours` and `theirs` are the libp2p peer ids that Noise has proved.
    """
    us = _Side(secrets.token_bytes(_NONCE), identity.peer, ours)
    await stream.write(frame(VERSION + us.nonce + us.key))
    them = await _read_side(stream, theirs)
    if them.key != expected:
        raise HelloError(f"{them.key.hex()} answers, not {expected.hex()}")
    await stream.write(frame(await identity.sign(_challenge(0, us, them))))
    if not identity.verify(them.key, _challenge(1, us, them), await _read(stream, _SIGNATURE)):
        raise HelloError(f"who answers does not hold the key {expected.hex()}")


async def welcome(
    stream: Stream, identity: Identity, ours: bytes, theirs: bytes, *, proved: Callable[[], None] = lambda: None
) -> PeerId:
    """The acceptor's part: the key that the other end has proved to hold.

    Calls `proved` before it answers the proof: from the answer on the dialler may send.
    """
    us = _Side(secrets.token_bytes(_NONCE), identity.peer, ours)
    them = await _read_side(stream, theirs)
    await stream.write(frame(VERSION + us.nonce + us.key))
    if not identity.verify(them.key, _challenge(0, them, us), await _read(stream, _SIGNATURE)):
        raise HelloError(f"who dials does not hold the key {them.key.hex()}")
    proved()
    await stream.write(frame(await identity.sign(_challenge(1, them, us))))
    return them.key


def _challenge(role: int, dialler: _Side, acceptor: _Side) -> bytes:
    return _TAG + bytes([role]) + dialler.words() + acceptor.words()


async def _read_side(stream: Stream, p2p: bytes) -> _Side:
    words = await _read(stream, len(VERSION) + _NONCE + _KEY)
    if words[:1] != VERSION:
        raise HelloError(f"the other end speaks hello version {words[0]}, this is {VERSION[0]}")
    return _Side(words[1 : 1 + _NONCE], PeerId(words[1 + _NONCE :]), p2p)


async def _read(stream: Stream, size: int) -> bytes:
    announced = int.from_bytes(await stream.read(HEADER), "big")
    if announced != size:
        raise HelloError(f"a hello of {announced} bytes where {size} belong")
    return await stream.read(size)
