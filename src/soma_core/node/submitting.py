"""Data on their way into the race: stored, sealed under a bond, shown, until they hit or have lost.

What is shown is on disk before its seal leaves, so that a node that stops in between can still show it: a seal that is
not shown costs part of its bond. What comes next is read off the chain each time, never remembered.
"""

import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, final

import trio
from attrs import frozen

from soma_core import chain
from soma_core.errors import RefusedError, UnreachableError
from soma_core.net import BlobStore
from soma_core.records import octets, pack, uint, unpack

from .durable import write_durably
from .events import Hub
from .store import Store
from .threads import Thread
from .wallet import INSIST_AFTER, Wallet

AT_ONCE: Final = 16
"""Submissions under way at a time; an account has a window of numbers for all it sends."""

Stage = Literal["open", "sealed", "shown", "waiting", "hit", "over"]
_log = logging.getLogger("soma.submitting")


@frozen(kw_only=True)
class SealedSubmission:
    """What is shown later. `vector`: int16 little endian; with `loss`, Q16, what `encoder` gave for `blob`."""

    target: int = uint()
    salt: bytes = octets(32)
    blob: bytes = octets(32)
    size: int = uint(least=1)
    encoder: bytes = octets(32)
    loss: int = uint()
    vector: bytes = octets(most=1 << 14)


@frozen
class Outcome:
    """``hit``; ``waiting``, shown, for the audit of another's; ``lost``, with the bond back; ``refused``, and why."""

    word: Literal["hit", "waiting", "lost", "refused"]
    text: str = ""


@final
class Submitting:
    """One account in the race. `directory` keeps what is sealed. `require`: raises where no new work is taken."""

    def __init__(
        self,
        wallet: Wallet,
        store: Store,
        thread: Thread,
        hub: Hub,
        blobs: BlobStore,
        directory: Path,
        require: Callable[[], None] = lambda: None,
    ) -> None:
        self._wallet = wallet
        self._store = store
        self._thread = thread
        self._hub = hub
        self._blobs = blobs
        self._directory = directory
        self._require = require
        self._room = trio.CapacityLimiter(AT_ONCE)
        self._doing: set[int] = set()

    async def run(self) -> None:
        """Bring what was under way when the node stopped to its end."""
        async with trio.open_nursery() as nursery:
            for path in sorted(await trio.to_thread.run_sync(lambda: list(self._directory.glob("[0-9]*")))):
                sealed = unpack(SealedSubmission, await trio.to_thread.run_sync(path.read_bytes))
                nursery.start_soon(self._resume, sealed)

    async def submit(self, target: int, encoder: bytes, loss: int, vector: bytes, data: bytes) -> tuple[bytes, Outcome]:
        """The digest of the blob, and what came of it. Raises `RefusedError` where this node takes no new work.

        It does too while this account has a submission to the target under way.
        """
        self._require()
        if target in self._doing:
            raise RefusedError(f"target {target}: a submission of this account is under way", "try another target")
        self._doing.add(target)
        try:
            async with self._room:
                blob = await trio.to_thread.run_sync(self._blobs.put, data)
                sealed = SealedSubmission(
                    target=target,
                    salt=secrets.token_bytes(32),
                    blob=blob,
                    size=len(data),
                    encoder=encoder,
                    loss=loss,
                    vector=vector,
                )
                await trio.to_thread.run_sync(write_durably, self._path(target), pack(sealed))
                return blob, await self._finish(sealed)
        finally:
            self._doing.discard(target)

    async def _resume(self, sealed: SealedSubmission) -> None:
        self._doing.add(sealed.target)
        async with self._room:
            outcome = await self._finish(sealed)
        self._doing.discard(sealed.target)
        _log.info("target %d: %s %s", sealed.target, outcome.word, outcome.text)

    async def _finish(self, sealed: SealedSubmission) -> Outcome:
        """Do what the chain waits for, until it waits for nothing more; then forget what was sealed."""
        while True:
            changed = self._hub.changed
            stage = await self._thread.run(self._store.read, lambda state: self._stage(state, sealed))
            done: chain.TransactionDone | None = None
            if stage == "open":
                done = await self._send("seal_submission", self._sealing(sealed))
            elif stage == "sealed":
                done = await self._send("show_submission", self._showing(sealed))
            elif stage == "shown":  # somebody sealed earlier, and has still time to show
                await changed.wait()
            elif stage == "waiting":  # the chain does the rest
                return self._end(sealed, Outcome("waiting", "somebody who sealed earlier has hit, and is audited"))
            else:
                return self._end(sealed, Outcome("hit" if stage == "hit" else "lost"))
            if done is not None and done.code and done.code != "exists":
                return self._end(sealed, Outcome("refused", done.text))

    def _end(self, sealed: SealedSubmission, outcome: Outcome) -> Outcome:
        self._path(sealed.target).unlink(missing_ok=True)
        return outcome

    def _stage(self, state: chain.State, sealed: SealedSubmission) -> Stage:
        """Where it stands on the chain."""
        key = chain.target_key(sealed.target)
        submission = state.get(chain.SUBMISSIONS, key + self._wallet.address)
        if submission is not None:
            if submission.commitment != self._sealing(sealed).commitment:
                return "over"
            if submission.state == "sealed":
                return "sealed"
            return "shown" if state.get(chain.TARGETS, key) is not None else "waiting"
        hit = state.get(chain.HITS, key)
        if hit is not None:
            return "hit" if (hit.submitter, hit.blob) == (self._wallet.address, sealed.blob) else "over"
        target = state.get(chain.TARGETS, key)
        if target is None or target.closed or target.epoch != state.need(chain.EPOCH).number:
            return "over"
        return "open"

    async def _send(self, kind: str, action: object) -> chain.TransactionDone | None:
        """What the chain says of it, or None if it cannot be had now: then the chain is looked at again."""
        try:
            return await self._wallet.send(kind, action)
        except (RefusedError, UnreachableError) as error:
            _log.warning("%s: %s", kind, error)
            await trio.sleep(INSIST_AFTER)
            return None

    def _sealing(self, sealed: SealedSubmission) -> chain.SealSubmission:
        commitment = chain.submission_seal(
            sealed.target,
            self._wallet.address,
            sealed.salt,
            sealed.blob,
            sealed.encoder,
            sealed.loss,
            sealed.vector,
        )
        return chain.SealSubmission(target=sealed.target, commitment=commitment, size=sealed.size)

    def _showing(self, sealed: SealedSubmission) -> chain.ShowSubmission:
        return chain.ShowSubmission(
            target=sealed.target,
            salt=sealed.salt,
            blob=sealed.blob,
            encoder=sealed.encoder,
            loss=sealed.loss,
            vector=sealed.vector,
        )

    def _path(self, target: int) -> Path:
        return self._directory / str(target)
