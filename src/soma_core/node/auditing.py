"""What a validator does on a panel: get data, weights and frame map, compute the answers again, seal that, show it.

What it computed is on disk before its seal leaves, so that a node that stops in between can still show it. Rules AU22
to AU24 of ``specs/25-audits.md``.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar, final

import trio
from attrs import define, field, frozen

from soma_core import chain, fixed
from soma_core.crypto import digest
from soma_core.errors import SomaError
from soma_core.records import octets, pack, unpack

from .answering import Judged
from .checking import OWN, Checker, Checking
from .durable import read_if_there, write_durably
from .store import Store
from .threads import Thread
from .validating import Fetch
from .wallet import Wallet, insist

T = TypeVar("T")

NOTHING: Final = chain.Result(loss=0, vector=b"")
"""Says that weights or data could not be had, or that the weights give no answer."""
AGAIN: Final = 5.0
"""Seconds until it is looked for again what is not to be had."""

_log = logging.getLogger("soma.auditing")


class Referee(Protocol):
    """The engine of reference."""

    async def answer(self, item: chain.Item, data: bytes, seed: bytes, /) -> Judged:
        """Vector and loss that the item's weights and frame give of `data`. Raises `SomaError` if they give none.

        It is a `NoWorkerError` if that says nothing of them.
        """
        ...


@frozen(kw_only=True)
class SealedVerdict:
    """What is shown later: one result for each answer that is audited."""

    salt: bytes = octets(32)
    results: tuple[chain.Result, ...]


@define(eq=False)
class _Seat:
    """A place on the panel of an open audit."""

    scope: trio.CancelScope = field(factory=trio.CancelScope)
    showing: trio.Event = field(factory=trio.Event)


@final
class Auditing:
    """One validator's part in audits. `directory` keeps its sealed verdicts. `checker`: for encoders' claims."""

    def __init__(
        self,
        referee: Referee,
        wallet: Wallet,
        store: Store,
        thread: Thread,
        fetch: Fetch,
        directory: Path,
        checker: Checker,
    ) -> None:
        self._referee = referee
        self._wallet = wallet
        self._store = store
        self._thread = thread
        self._fetch = fetch
        self._directory = directory
        self._checking = Checking(checker, store.genesis, fetch)
        self._seats: dict[bytes, _Seat] = {}  # of open audits alone, of which the chain has a bounded number
        self._nursery: trio.Nursery | None = None

    def note(self, applied: chain.Applied) -> None:
        """Take up what concerns this validator, and drop what was concluded."""
        if self._nursery is None:
            return  # `run` looks at the state when it begins
        for event in applied.events:
            if isinstance(event, chain.AuditChanged):
                self._changed(chain.subject(event.kind, event.key), event.stage, event.panel)

    async def run(self) -> None:
        """Audit, for ever; first what was open when the node started."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for name, audit in await self._thread.run(self._store.read, lambda state: list(state.scan(chain.AUDITS))):
                self._changed(name, audit.stage, tuple(auditor.account for auditor in audit.panel))
            await trio.sleep_forever()

    def _changed(self, name: bytes, stage: str, panel: tuple[bytes, ...]) -> None:
        if stage == "concluded":
            if (seat := self._seats.pop(name, None)) is not None:
                seat.scope.cancel()
            return
        if self._wallet.address not in panel:
            return
        if name not in self._seats:
            self._seats[name] = seat = _Seat()
            assert self._nursery is not None
            self._nursery.start_soon(self._attend, name, seat)
        if stage == "showing":
            self._seats[name].showing.set()

    async def _attend(self, name: bytes, seat: _Seat) -> None:
        """One audit from its beginning to its end."""
        path = None
        with seat.scope:
            audit = await self._thread.run(self._store.read, lambda state: state.get(chain.AUDITS, name))
            me = next((a for a in audit.panel if a.account == self._wallet.address), None) if audit else None
            if audit is not None and me is not None and me.state != "shown":
                path = self._path(audit)
                try:
                    await self._take_part(audit, me.state, path, seat)
                except SomaError as error:
                    _log.warning("audit %s: no verdict: %s", name.hex()[:12], error)
            elif audit is None and self._seats.get(name) is seat:
                del self._seats[name]  # it was concluded before it was looked at
                return
            await trio.sleep_forever()
        if path is not None and seat.scope.cancelled_caught:
            path.unlink(missing_ok=True)

    async def _take_part(self, audit: chain.Audit, state: str, path: Path, seat: _Seat) -> None:
        verdict = await self._sealed(path)
        if state == "drawn":
            if verdict is None:
                verdict = SealedVerdict(salt=secrets.token_bytes(32), results=await self._results(audit))
                await trio.to_thread.run_sync(write_durably, path, pack(verdict))
            seal = chain.verdict_commitment(audit.kind, audit.key, self._wallet.address, verdict.salt, verdict.results)
            await self._send("commit_verdict", chain.CommitVerdict(kind=audit.kind, key=audit.key, commitment=seal))
        if verdict is None:
            _log.warning("audit %s: the sealed verdict is not on disk any more", audit.key.hex()[:12])
            return
        await seat.showing.wait()
        shown = chain.RevealVerdict(kind=audit.kind, key=audit.key, salt=verdict.salt, results=verdict.results)
        await self._send("reveal_verdict", shown)

    async def _sealed(self, path: Path) -> SealedVerdict | None:
        known = await trio.to_thread.run_sync(read_if_there, path)
        return None if known is None else unpack(SealedVerdict, known)

    async def _results(self, audit: chain.Audit) -> tuple[chain.Result, ...]:
        """What the engine of reference says of each answer. Half of the time to seal is for finding what it needs."""
        p = self._store.genesis.parameters
        until = trio.current_time() + (p.check_ms if audit.kind == "encoder" else p.audit_seal_ms) / 2000
        try:
            if audit.kind == "encoder":
                return await _had(lambda: self._checking.results(audit), until)
            data = await _had(lambda: self._fetch(audit.blob, audit.size), until)
        except OWN:
            raise
        except SomaError as error:
            _log.warning("audit %s: %s", audit.key.hex()[:12], error)
            return (NOTHING,) * len(audit.items)
        results: list[chain.Result] = []
        for item in audit.items:
            if audit.kind == "target" and any(
                chain.is_false(p, *pair) for pair in zip(audit.items, results, strict=False)
            ):
                results.append(NOTHING)  # the hit is false already
            else:
                results.append(await self._result(audit, item, data, until))
        return tuple(results)

    async def _result(self, audit: chain.Audit, item: chain.Item, data: bytes, until: float) -> chain.Result:
        """What it says of one: nothing where weights are not to be had, or give no answer."""
        try:
            judged = await _had(lambda: self._referee.answer(item, data, audit.key), until)
        except OWN:
            raise
        except SomaError as error:
            _log.warning("audit %s: encoder %s: %s", audit.key.hex()[:12], item.encoder.hex()[:12], error)
            return NOTHING
        return chain.Result(loss=judged.loss, vector=fixed.vector_bytes(judged.vector))

    async def _send(self, kind: str, action: object) -> None:
        """Have it ordered, while the audit waits for it; say in the log if the chain says no."""
        done = await insist(self._wallet, kind, action)
        if done.code:
            _log.warning("the chain refused %s: %s", kind, done.text)

    def _path(self, audit: chain.Audit) -> Path:
        """A file for this audit alone: a later one of its subject looks at other answers, or is an appeal."""
        looked = digest("soma/chunk", audit.blob, *(pack(each) for each in (*audit.items, *audit.anchors))).hex()[:16]
        words = (audit.kind, audit.key.hex(), looked)
        return self._directory / "-".join((*words, "appeal") if audit.appeal else words)


async def _had(get: Callable[[], Awaitable[T]], until: float) -> T:
    """What `get` gets, which is asked again and again until the time `until`. Raises what it raises last."""
    while True:
        try:
            return await get()
        except OWN:
            raise
        except SomaError:
            if trio.current_time() >= until:
                raise
        await trio.sleep(AGAIN)
