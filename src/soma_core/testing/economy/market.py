"""The embed job, many at a time: requests, shards, answers, audits, payment, each by transactions of who does it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from attrs import define, field, frozen

from soma_core import chain, fixed
from soma_core.chain import DELIVERIES, ENCODERS, JOBS, Job
from soma_core.crypto import digest
from soma_core.records import unpack

from .cast import Seat
from .data import SIZE, Item
from .ledger import Wallet, World
from .models import Output, elsewhere

SALT: Final = digest("soma/chunk", b"economy salt")
OPEN: Final = 1 << 16
"""Bits of a gate, Q16, from which on weights are open."""
NOTHING: Final = chain.Result(loss=0, vector=b"")


@frozen
class Sealed:
    """What a member has sealed: the answer, and whose name is in the seal."""

    seat: Seat
    output: Output
    commitment: bytes


@define
class Market:
    """Buys embeddings from `seats`. `sketched`: validators say what the data look like.

    `losses`: of each paid job, the mean loss of those whose answers count, bits per byte.
    """

    world: World
    seats: Sequence[Seat]
    buyer: Wallet
    items: dict[bytes, Item] = field(factory=dict)
    asked: int = 0
    settled: int = 0
    refunded: int = 0
    losses: list[float] = field(factory=list)
    sketched: bool = True

    def __attrs_post_init__(self) -> None:
        self.world.listeners.append(self._take)

    @cached_property
    def by_address(self) -> Mapping[bytes, Seat]:
        """The encoders by account."""
        return {seat.wallet.address: seat for seat in self.seats}

    @cached_property
    def by_name(self) -> Mapping[str, Seat]:
        """The encoders by name."""
        return {seat.name: seat for seat in self.seats}

    def buy(self, items: Sequence[Item]) -> None:
        """Have these embedded, all at once, up to the end of their audits. Their money moves when the windows end."""
        for item in items:
            self.items[item.blob] = item
            request = chain.RequestEmbedding(blob=item.blob, size=SIZE, nonce=self.asked)
            self.world.send(self.buyer, "request_embedding", request)
            self.asked += 1
        self.world.commit()
        for validator in self.world.validators:
            for key, job in self._jobs("attesting"):
                sketch = self.items[job.blob].sketch if self.sketched else b""
                self.world.send(validator, "attest_data", chain.AttestData(job=key, sketch=sketch))
        self.world.commit()
        while self._jobs("drawing"):
            self.world.commit()
        self._show(self._seal())
        while self._jobs("closing"):
            self.world.commit()
        self.audit()

    def audit(self) -> None:
        """Conclude every audit that is open, and those that follow from them. Auditors do their work."""
        while audits := list(self.world.state.scan(chain.AUDITS)):
            by_account = {validator.address: validator for validator in self.world.validators}
            shown: list[tuple[Wallet, chain.RevealVerdict]] = []
            for _, audit in audits:
                results = tuple(self._computed(audit.blob, item.encoder) for item in audit.items)
                for auditor in audit.panel:
                    validator = by_account[auditor.account]
                    sealed = chain.verdict_commitment(audit.kind, audit.key, auditor.account, SALT, results)
                    verdict = chain.CommitVerdict(kind=audit.kind, key=audit.key, commitment=sealed)
                    self.world.send(validator, "commit_verdict", verdict)
                    reveal = chain.RevealVerdict(kind=audit.kind, key=audit.key, salt=SALT, results=results)
                    shown.append((validator, reveal))
            self.world.commit()
            for validator, reveal in shown:
                self.world.send(validator, "reveal_verdict", reveal)
            self.world.commit()

    def finish(self) -> None:
        """Let the windows of all jobs end, so that they are paid."""
        deadlines = [delivery.deadline for _, delivery in self.world.state.scan(DELIVERIES)]
        if deadlines:
            self.world.commit(max(deadlines) + 1 - self.world.now)

    def _take(self, applied: chain.Applied) -> None:
        """Note what a commit has paid."""
        for event in applied.events:
            if isinstance(event, chain.Paid | chain.Settled):
                receipt = unpack(chain.JobReceipt, event.receipt)
                if receipt.final:
                    self._note(receipt)
                    self.items.pop(receipt.blob, None)

    def _jobs(self, stage: str) -> list[tuple[bytes, Job]]:
        return [(key, job) for key, job in self.world.state.scan(JOBS) if job.stage == stage]

    def _computed(self, blob: bytes, encoder: bytes) -> chain.Result:
        item = self.items.get(blob)
        if item is None:
            return NOTHING
        found = elsewhere(self.by_address[encoder].model, item)
        return chain.Result(loss=found.loss, vector=fixed.vector_bytes(found.vector))

    def _seal(self) -> dict[bytes, list[Sealed]]:
        """Every member of every shard seals its answer, copiers last."""
        sealed: dict[bytes, list[Sealed]] = {}
        jobs = self._jobs("committing")
        gates = {address: encoder.gate for address, encoder in self.world.state.scan(ENCODERS)}
        for last in (False, True):
            for key, job in jobs:
                members = [self.by_address[member.encoder] for member in job.shard]
                for seat in members:
                    if seat.strategy.copies is last:
                        mine = self._answer(key, job, seat, members, sealed.get(key, []))
                        seat.seen["closed"] += gates[seat.wallet.address] < OPEN
                        if mine is not None:
                            sealed.setdefault(key, []).append(mine)
                            action = chain.CommitEmbedding(job=key, commitment=mine.commitment)
                            self.world.send(seat.wallet, "commit_embedding", action)
            self.world.commit()
        self._wait("committing", self.world.genesis.parameters.commit_ms)
        return sealed

    def _answer(
        self, key: bytes, job: Job, seat: Seat, members: Sequence[Seat], others: Sequence[Sealed]
    ) -> Sealed | None:
        if seat.strategy.copies and others:
            return Sealed(seat, others[0].output, others[0].commitment)
        mates = sum(1 for member in members if member.party and member.party == seat.party) or 1
        output = seat.strategy.claim(seat.model, self.items[job.blob], mates)
        if output is None:
            return None
        vector = fixed.vector_bytes(output.vector)
        return Sealed(seat, output, chain.commitment(key, seat.wallet.address, SALT, output.loss, vector))

    def _show(self, sealed: Mapping[bytes, list[Sealed]]) -> None:
        """Members show what they sealed; those who wait, after they have seen the others."""
        for waits in (False, True):
            for key, answers in sealed.items():
                losses = [other.output.loss for other in answers if not other.seat.strategy.waits]
                for mine in answers:
                    strategy = mine.seat.strategy
                    if strategy.waits is waits and strategy.shows(mine.output, losses):
                        action = chain.RevealEmbedding(
                            job=key,
                            salt=SALT,
                            loss=mine.output.loss,
                            vector=fixed.vector_bytes(mine.output.vector),
                        )
                        self.world.send(mine.seat.wallet, "reveal_embedding", action)
            self.world.commit()
        self._wait("revealing", self.world.genesis.parameters.reveal_ms)

    def _wait(self, stage: str, most: int) -> None:
        """Let the deadline pass, if a job still waits for somebody."""
        if self._jobs(stage):
            self.world.commit(most + 1)

    def _note(self, receipt: chain.JobReceipt) -> None:
        if receipt.outcome != "settled":
            self.refunded += 1
        else:
            self.settled += 1
        losses = []
        for member in receipt.shard:
            seat = self.by_name[member.name]
            seat.seen["draws"] += 1
            seat.seen["wins"] += member.name == receipt.winner
            seat.seen["weakest"] += member.name == receipt.weakest
            seat.seen["silent"] += member.answer == "silent"
            seat.seen["out"] += member.out
            seat.seen["false"] += member.verdict == "false"
            seat.seen["fines"] += member.fine
            seat.seen["slashes"] += member.slash
            if member.answer == "revealed" and not member.out and member.verdict != "false":
                losses.append(member.loss)
        if receipt.winner:
            self.by_name[receipt.winner].seen["pots"] += receipt.pot
        if losses:
            self.losses.append(float(np.mean(losses)) / fixed.ONE)
