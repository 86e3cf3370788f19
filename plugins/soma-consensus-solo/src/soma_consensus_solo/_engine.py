"""The engine. One commit at a time: pull, persist, deliver, and then wait for what is due next.

Commits are numbered from the epoch's first; a commit's round is its place in the epoch. A commit is delivered behind
its own barrier, so what the chain sees is on disk. Records go once the chain has applied them, except the newest:
it says after a restart where the order stands and what time it is.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, final

from soma_core.api import (
    Action,
    Applied,
    Commit,
    Deliver,
    Durable,
    EndEpoch,
    Event,
    Payload,
    PayloadReady,
    Persist,
    Pull,
    SetTimer,
    Setup,
    Start,
    Timer,
)
from soma_core.api.encoding import decode, encode
from soma_core.errors import CorruptionError, DecodeError, SomaError

from ._record import key_of, make, pack, unpack

if TYPE_CHECKING:
    from . import Config

PULL_LIMIT: Final = 512 << 10
"""Bytes of payload in a commit, at most."""
AHEAD: Final = 16
"""Commits the chain may be behind; then ordering waits for it."""

_TIMER: Final = "round"


@final
class Solo:
    """An engine of one epoch. Silent if we are not the one member."""

    def __init__(self, config: "Config", setup: Setup) -> None:
        if len(setup.committee) != 1:
            raise SomaError(
                f"consensus-solo orders for a committee of one, and this one has {len(setup.committee)} members",
                "use consensus-dag: soma run --plugin consensus-dag",
            )
        self._fastest = config.min_round_ms
        self._idle = max(config.idle_ms, config.min_round_ms)
        self._first = setup.first
        self._me = setup.me
        self._running = False
        self._next = setup.first  # index of the next commit
        self._time = 0  # of the newest commit
        self._applied = setup.first - 1
        self._kept: list[int] = []  # indices of records on disk, ascending
        self._ready = False  # payload waits
        self._pulling = False
        self._barrier = 0
        self._durable = 0
        self._last = 0  # when the newest commit was begun

    def step(self, event: Event, now: int, /) -> Sequence[Action]:
        """React. Raises `CorruptionError` at `Start` if the records cannot follow what the chain has applied."""
        if self._me is None:
            return ()
        match event:
            case Start(records, applied):
                return self._start(records, applied, now)
            case PayloadReady():
                self._ready = True
            case Payload(items, system) if self._pulling:
                return self._commit(items, system, now)
            case Durable(barrier):
                self._durable = max(self._durable, barrier)
            case Applied(index):
                self._applied = max(self._applied, index)
            case EndEpoch():
                self._running = False
            case Timer():
                pass  # what is due is looked up below
            case _:
                return ()
        return self._due(now)

    def _start(self, records: Mapping[bytes, bytes], applied: int, now: int) -> Sequence[Action]:
        commits = [unpack(key, records[key]) for key in sorted(records)]
        self._kept = [commit.index for commit in commits]
        self._applied = max(self._applied, applied)
        again = [commit for commit in commits if commit.index > self._applied]
        wanted = list(range(self._applied + 1, self._applied + 1 + len(again)))
        if [commit.index for commit in again] != wanted:
            raise CorruptionError(
                f"consensus-solo: the chain has applied commit {self._applied}, the next one kept is {again[0].index}",
                "the chain's database is older than the consensus database: restore the newer backup",
            )
        self._next = self._applied + 1 + len(again)
        self._time = commits[-1].time if commits else 0
        self._last = now
        self._running = True
        return [*(Deliver(commit) for commit in again), *self._due(now)]

    def _due(self, now: int) -> Sequence[Action]:
        """Begin the next commit if it is time, else wake when it is."""
        busy = self._pulling or self._durable < self._barrier or self._next - 1 - self._applied >= AHEAD
        if not self._running or busy:
            return ()
        at = self._last + (self._fastest if self._ready else self._idle)
        if now < at:
            return (SetTimer(_TIMER, at),)
        self._pulling, self._ready, self._last = True, False, now
        return (Pull(PULL_LIMIT, self._next - self._first + 1),)

    def _commit(self, items: tuple[bytes, ...], system: bytes, now: int) -> Sequence[Action]:
        self._pulling = False
        if not self._running or self._me is None:
            return ()
        self._time = max(now, self._time)
        commit = make(self._next, self._time, self._next - self._first + 1, self._me, items, system)
        self._next += 1
        self._barrier += 1
        return (Persist(self._barrier, self._batch(commit)), Deliver(commit, after=self._barrier))

    def _batch(self, commit: Commit) -> dict[bytes, bytes | None]:
        """`commit` goes in, what the chain has applied goes out."""
        gone = [index for index in self._kept if index <= self._applied]
        self._kept = [*(index for index in self._kept if index > self._applied), commit.index]
        return {**{key_of(index): None for index in gone}, key_of(commit.index): pack(commit)}

    def snapshot(self) -> bytes:
        """The encoding of all that `step` reads and writes."""
        numbers = [self._next, self._time, self._applied, self._barrier, self._durable, self._last]
        return encode([numbers, [self._running, self._ready, self._pulling], self._kept])

    def restore(self, snapshot: bytes, /) -> None:
        """Become the engine that gave `snapshot`. Raises `DecodeError` if no engine gave it."""
        value: Any = decode(snapshot)
        match value:
            case [[following, time, applied, barrier, durable, last] as numbers, [_, _, _] as flags, [*kept]] if all(
                type(number) is int for number in (*numbers, *kept)
            ) and all(type(flag) is bool for flag in flags):
                self._next, self._time, self._applied, self._last = following, time, applied, last
                self._barrier, self._durable, self._kept = barrier, durable, kept
                self._running, self._ready, self._pulling = flags
            case _:
                raise DecodeError("not a snapshot of consensus-solo", "take one from a running engine")
