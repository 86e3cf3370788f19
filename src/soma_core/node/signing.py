"""The node's side of the signer: capabilities, each bound to one role, that sign by asking the child process.

``async with open_signer(data_dir, chain) as signer:`` before any plugin is imported; then ``signer.role("validator")``
for whoever signs in that role. No secret is ever in this process.
"""

import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, final

import trio

from soma_core import crypto
from soma_core.api.transport import PeerId
from soma_core.errors import DecodeError, KeyStoreError
from soma_core.keystore import ROLES, KeyStore
from soma_core.records import to_value

from ._children import Child, ChildEndedError, beside, environment, start
from ._frames import FrameReader, frame
from .signer import REQUESTS, Anchor, Link, Open, Sign

SIGNATURES_MAX: Final = 256
"""Requests on their way to the signer; further callers wait."""
OPEN_TIMEOUT: Final = 30.0
"""Seconds in which the keys must be open. Stretching a passphrase takes about 0.1 s; a loaded machine more."""
CHALLENGE_MAX: Final = 256
"""Bytes of a transport's challenge."""

_log = logging.getLogger("soma.signer")
_Answer = bytes | KeyStoreError | dict[str, object]


@final
class Signing:
    """The right to sign in one role. The signer process checks role, domain and slot; this only asks it."""

    def __init__(self, role: str, key: bytes, child: Child[_Answer]) -> None:
        self.role = role
        self.key = key
        """The 32-byte public key."""
        self._child = child

    async def sign(self, domain: str, epoch: int, body: bytes, slot: int | None = None) -> bytes:
        """The 64-byte signature by `key` of ``crypto.signing_digest(domain, chain, epoch, body)``.

        `slot` is given exactly for ``soma/block`` and ``soma/checkpoint``: (epoch, slot) signs one body, ever, and
        never goes back; the same request gives the same signature. Raises `KeyStoreError` for what may not be signed.
        """
        return await _ask(self._child, Sign(role=self.role, domain=domain, epoch=epoch, slot=slot, body=body), "sign")

    verify = staticmethod(crypto.verify)

    async def beacon_anchor(self, epoch: int, rounds: int) -> bytes:
        """The anchor of this validator's beacon chain of `rounds` links in `epoch`, 32 bytes.

        Takes about 1 µs a round the first time; other requests go on meanwhile. Raises `KeyStoreError`.
        """
        return await _ask(self._child, Anchor(epoch=epoch, rounds=rounds), "anchor")

    async def beacon_link(self, epoch: int, round_: int) -> bytes:
        """The link of `round_`, 32 bytes; the chain's anchor was asked for before. Raises `KeyStoreError`."""
        return await _ask(self._child, Link(epoch=epoch, round=round_), "link")

    def __repr__(self) -> str:
        return f"Signing({self.role}, key={self.key.hex()[:12]}…)"


@final
class NodeIdentity:
    """Who this node is to its peers (`soma_core.api.Identity`): the node key, under ``soma/hello``."""

    def __init__(self, signing: Signing, chain: bytes) -> None:
        self.peer = PeerId(signing.key)
        self._signing, self._chain = signing, chain

    async def sign(self, challenge: bytes, /) -> bytes:
        """The 64-byte signature of `challenge`, at most 256 bytes. Raises `KeyStoreError`."""
        if len(challenge) > CHALLENGE_MAX:
            raise KeyStoreError(f"a challenge of {len(challenge)} bytes", f"sign at most {CHALLENGE_MAX}")
        return await self._signing.sign("soma/hello", 0, challenge)

    def verify(self, peer: PeerId, challenge: bytes, signature: bytes, /) -> bool:
        """Whether `peer` signed `challenge` so, for this chain. Never raises."""
        return crypto.verify(peer, crypto.signing_digest("soma/hello", self._chain, 0, challenge), signature)


@final
class Signer:
    """The open keys of a node. `hardening`: what the child achieved against being read, for ``soma doctor``."""

    def __init__(
        self, chain: bytes, keys: Mapping[str, bytes], hardening: Sequence[str], child: Child[_Answer]
    ) -> None:
        self.chain = chain
        self.hardening = tuple(hardening)
        self._signings = {
            role: Signing(role, key, child)
            for role, key in sorted(keys.items(), key=lambda item: (ROLES.index(item[0].partition("-")[0]), item[0]))
        }

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles whose keys are open."""
        return tuple(self._signings)

    def role(self, role: str) -> Signing:
        """The capability to sign in `role`. Raises `KeyStoreError` if its key is not open."""
        self.need(role)
        return self._signings[role]

    def need(self, *roles: str) -> None:
        """Raise `KeyStoreError`, which names all that are not open, unless all of these are."""
        missing = [role for role in roles if role not in self._signings]
        if missing:
            keys = "the key for" if len(missing) == 1 else "the keys for"
            are = "is" if len(missing) == 1 else "are"
            make = " && ".join(f"soma keys new {role}" for role in missing)
            raise KeyStoreError(
                f"{keys} {', '.join(missing)} {are} not open", f"make what is missing: `{make}`; then restart"
            )

    def identity(self) -> NodeIdentity:
        """Who the node is to its peers: its key for the role ``node``. Raises `KeyStoreError`."""
        return NodeIdentity(self.role("node"), self.chain)


@asynccontextmanager
async def open_signer(data_dir: Path, chain: bytes, *, roles: Sequence[str] | None = None) -> AsyncIterator[Signer]:
    """The signer process with the keys in `data_dir` for `roles` (None: all that are there), signing for one `chain`.

    `chain`: the genesis digest, 32 bytes. Raises `KeyStoreError` where a key cannot be opened, and when the signer ends
    before the block does, which is cancelled: that is final, the node stops.
    """
    if roles is None:
        roles = [entry.role for entry in KeyStore(data_dir).list()]
    request = Open(directory=os.path.abspath(data_dir), chain=chain, roles=tuple(roles))  # noqa: ASYNC240, PTH100  # no I/O
    process = await start("soma_core.node.signer", environment(("SOMA_PASSPHRASE", "SOMA_PASSPHRASE_FILE")))
    async with beside() as nursery:
        child = Child(process, _receive, most=SIGNATURES_MAX, log=_log)
        nursery.start_soon(child.run)
        try:
            with trio.move_on_after(OPEN_TIMEOUT) as waiting:
                hello = await _answer(child, request, "open")
            if waiting.cancelled_caught:
                raise KeyStoreError(f"the signer is not open after {OPEN_TIMEOUT:g} s", "see the log above")
            match hello:
                case {"keys": dict(keys), "hardening": list(hardening)}:
                    with trio.CancelScope() as signing:
                        nursery.start_soon(_end_with, child, signing)
                        yield Signer(chain, keys, hardening, child)
                    if signing.cancelled_caught:
                        raise _gone(child.status)
                case _:
                    raise KeyStoreError("the signer did not say which keys it opened", "reinstall soma-core")
        finally:
            await child.end()


async def _ask(child: Child[_Answer], request: object, name: str) -> bytes:
    answer = await _answer(child, request, name)
    assert isinstance(answer, bytes)
    return answer


async def _answer(child: Child[_Answer], request: object, name: str) -> _Answer:
    assert type(request) is REQUESTS[name]
    fields = to_value(request)
    try:
        answer = await child.ask(lambda number: frame([number, name, fields]))
    except ChildEndedError as error:
        raise _gone(error.status) from None
    if isinstance(answer, KeyStoreError):
        raise answer
    return answer


async def _end_with(child: Child[_Answer], signing: trio.CancelScope) -> None:
    """A node that cannot sign any more would go on as if it could, until it is asked to."""
    await child.ended.wait()
    signing.cancel()


def _gone(status: int) -> KeyStoreError:
    return KeyStoreError(f"the signer ended with status {status}", "see the log above, restart")


async def _receive(reader: FrameReader) -> tuple[int, _Answer]:
    match await reader.value():
        case [int(number), True, bytes(value)]:
            return number, value
        case [int(number), True, dict(value)]:
            return number, {str(k): v for k, v in value.items()}
        case [int(number), False, str(what), str(remedy)]:
            return number, KeyStoreError(what, remedy)
    raise DecodeError("the signer said what is no answer", "reinstall soma-core")
