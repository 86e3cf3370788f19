"""What a node does in the race for targets because a person asks it: what is sought, what data come to, submissions."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final, final

import trio
from attrs import frozen

from soma_core import chain, fixed
from soma_core.api import control, racing
from soma_core.errors import RefusedError, SomaError
from soma_core.net import manifest_of

from .answering import Answerer as Embedder
from .answering import Judged
from .control import Answerer, Replied
from .store import Store
from .submitting import Submitting
from .threads import Thread

POINTS_MOST: Final = control.MAX_FRAME
"""Bytes of points in one reply."""
Compare = Callable[[chain.Assigned, bytes, bytes], Awaitable[Judged]]
"""What assigned weights give of data, under a seed."""

_log = logging.getLogger("soma.racing")


@frozen
class OwnEncoder:
    """An encoder at hand that targets can be assigned to."""

    address: bytes
    encoder: Embedder


@final
class Racing:
    """The answers of one node. `encoders`: its own, asked for anew; `borrow`: others', where it has none.

    `compare`: what somebody else's gives; it raises `SomaError` if that is not to be had. `submitting`: its account's
    part in the race.
    """

    def __init__(
        self,
        store: Store,
        thread: Thread,
        account: bytes,
        encoders: Callable[[], Sequence[OwnEncoder]],
        borrow: Callable[[], Awaitable[Sequence[OwnEncoder]]],
        compare: Compare,
        submitting: Submitting,
    ) -> None:
        self._store = store
        self._thread = thread
        self._account = account
        self._encoders = encoders
        self._borrow = borrow
        self._compare = compare
        self._submitting = submitting

    def answerers(self) -> Mapping[str, Answerer]:
        """By the operation's name."""
        return {
            control.TARGETS.name: self._targets,
            control.HITS.name: self._hits,
            control.SCORE.name: self._score,
            control.SUBMIT.name: self._submit,
        }

    async def _targets(self, request: racing.AskTargets, _payload: bytes) -> Replied:
        p = self._store.genesis.parameters
        most = max(1, min(racing.TARGETS_MOST, POINTS_MOST // (2 * p.dimension)))

        def look(state: chain.State) -> Replied:
            race = state.get(chain.RACE) or chain.Race(radius=0, memory=0)
            epoch = state.need(chain.EPOCH).number
            found: list[racing.OpenTarget] = []
            points: list[bytes] = []
            after = None
            for key, target in state.scan(chain.TARGETS, chain.target_key(request.first)):
                if target.epoch != epoch or target.closed:
                    continue
                number = int.from_bytes(key, "big")
                if len(found) == most:
                    after = number
                    break
                found.append(_open(state, number, target))
                points.append(target.point)
            reply = racing.Targets(
                epoch=epoch,
                dimension=p.dimension,
                most=p.target_bytes,
                pool=race.pool,
                radius=race.radius,
                reward=race.reward,
                goal=p.target_goal,
                hits=race.hits,
                targets=tuple(found),
                next=after,
                weak=tuple(
                    racing.WeakSpot(cell=s.cell, jobs=s.jobs, hits=s.hits, expired=s.expired, loss=s.loss)
                    for s in chain.weak_spots(state)
                ),
            )
            return Replied(reply, b"".join(points))

        return await self._thread.run(self._store.read, look)

    async def _hits(self, _request: control.Empty, _payload: bytes) -> Replied:
        time = self._store.tip.time

        def look(state: chain.State) -> Replied:
            found: list[racing.Hit] = []
            for key, hit in state.scan(chain.HITS):
                if len(found) == racing.HITS_MOST:
                    break
                found.append(_hit(state, int.from_bytes(key, "big"), hit, time))
            waiting = tuple(_waiting(state, self._account))
            return Replied(racing.Hits(account=self._account, time=time, hits=tuple(found), waiting=waiting))

        return await self._thread.run(self._store.read, look)

    async def _score(self, request: racing.AskScores, payload: bytes) -> Replied:
        self._check(payload)
        seed = (await trio.to_thread.run_sync(manifest_of, payload)).digest
        if request.target is not None:
            found = await self._assigned(request.target, payload, seed)
        else:
            own = self._encoders() or await self._borrow()
            found = [(each.address, await each.encoder.answer(payload, seed)) for each in own]
        scores = (
            racing.Score(encoder=encoder, loss=judged.loss, vector=fixed.vector_bytes(judged.vector))
            for encoder, judged in found
        )
        return Replied(racing.Scores(tuple(scores)))

    async def _assigned(self, number: int, data: bytes, seed: bytes) -> list[tuple[bytes, Judged]]:
        """What the encoders of an open target give, but for those that are not to be had."""
        key = chain.target_key(number)
        target = await self._thread.run(self._store.read, lambda state: state.get(chain.TARGETS, key))
        own = {each.address: each.encoder for each in self._encoders()}
        found: dict[bytes, Judged] = {}

        async def ask(assigned: chain.Assigned) -> None:
            try:
                if assigned.encoder in own:
                    found[assigned.encoder] = await own[assigned.encoder].answer(data, seed)
                else:
                    found[assigned.encoder] = await self._compare(assigned, data, seed)
            except SomaError as error:
                _log.warning("target %d: encoder %s: %s", number, assigned.encoder.hex()[:12], error)

        async with trio.open_nursery() as nursery:
            for assigned in target.encoders if target is not None else ():
                nursery.start_soon(ask, assigned)
        return list(found.items())

    async def _submit(self, request: racing.Submit, payload: bytes) -> Replied:
        self._check(payload)
        blob, outcome = await self._submitting.submit(
            request.target, request.encoder, request.loss, request.vector, payload
        )
        return Replied(racing.Submitted(blob=blob, outcome=outcome.word, text=outcome.text))

    def _check(self, data: bytes) -> None:
        most = self._store.genesis.parameters.target_bytes
        if not 0 < len(data) <= most:
            raise RefusedError(f"{len(data)} bytes", f"a submission to a target has 1 to {most}")


def _open(state: chain.State, number: int, target: chain.Target) -> racing.OpenTarget:
    return racing.OpenTarget(
        number=number,
        radius=target.radius,
        loss=target.loss,
        reward=target.reward,
        cell=target.cell,
        submissions=len(chain.submissions_of(state, number)),
        encoders=tuple(assigned.encoder for assigned in target.encoders),
    )


def _hit(state: chain.State, number: int, hit: chain.Hit, time: int) -> racing.Hit:
    audited = state.get(chain.AUDITS, chain.subject("target", number.to_bytes(32, "big"))) is not None
    return racing.Hit(
        number=number,
        submitter=hit.submitter,
        encoder=hit.encoder,
        blob=hit.blob,
        size=hit.size,
        loss=hit.loss,
        distance=hit.distance,
        reward=hit.target.reward,
        bond=hit.bond,
        claimable=hit.claimable,
        state="audited" if audited or time < hit.claimable else "claimable",
        rivals=len(chain.submissions_of(state, number)),
    )


def _waiting(state: chain.State, account: bytes) -> Iterator[racing.Waiting]:
    """The account's submissions to targets that were hit by others."""
    own = [int.from_bytes(key[:8], "big") for key, _ in state.scan(chain.SUBMISSIONS) if key[8:] == account]
    for number in own[: racing.HITS_MOST]:
        target = state.get(chain.TARGETS, chain.target_key(number))
        if target is None or target.closed:
            rivals = chain.submissions_of(state, number)
            before = [submitter for submitter, _ in rivals].index(account)
            mine = rivals[before][1]
            yield racing.Waiting(number=number, bond=mine.bond, state=mine.state, deadline=mine.deadline, before=before)
