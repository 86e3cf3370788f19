"""What must be so at every step of every honest member, and at the end. The first thing that is not ends the run."""

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, final

from attrs import define, field

from soma_core import chain
from soma_core.api import Action, Commit, Deliver, Event, Persist, Send, Sign, Signed, Start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .engines import View
    from .member import Member
    from .shell import Shell


RECENT: Final = 8
"""Batches among which a body is looked for that is to be signed."""


class BrokenError(Exception):
    """Something is not as it must be."""


@define(eq=False)
class _Life:
    """One engine: from its Start until it is gone.

    `own`: slot → barrier behind which the own block is on disk: the body that is signed, or the signature. `pending`:
    slot → signature that is not in anything persisted. `asked`: slot → body to be signed. `recent`: persisted last.
    """

    barriers: int = 0
    delivered: int | None = None
    pending: dict[bytes, bytes] = field(factory=dict)
    own: dict[bytes, int] = field(factory=dict)
    asked: dict[bytes, bytes] = field(factory=dict)
    recent: deque[Persist] = field(factory=lambda: deque(maxlen=RECENT))


@final
class Oracles:
    """`view`: what a message is about. `records`: index → what the chain came to. `applied_at`: id → index."""

    def __init__(self, view: "Callable[[bytes], View | None]") -> None:
        self.records: dict[int, bytes] = {}
        self.applied_at: dict[bytes, int] = {}
        self.orders: Counter[bytes] = Counter()
        self.pulls: Counter[bytes] = Counter()
        self._view = view
        self._delivered: dict[tuple[int, int], Commit] = {}
        self._lives: dict[int, _Life] = {}

    # The action stream. -----------------------------------------------------------------------------------------------

    def stepped(self, shell: "Shell", event: Event, actions: "Sequence[Action]") -> None:
        """Barriers count up; what leaves waits for them; own blocks are on disk before they leave."""
        life = self._lives.get(id(shell))
        if life is None or isinstance(event, Start):
            life = self._lives[id(shell)] = _Life()
        if isinstance(event, Signed) and event.signature and event.slot not in life.own:
            life.pending[event.slot] = event.signature
        for action in actions:
            kind = type(action)
            if kind is Persist:
                self._persisted(shell, life, action)  # type: ignore[arg-type]
            elif kind is Sign:
                self._asked(shell, life, action)  # type: ignore[arg-type]
        for action in actions:
            if isinstance(action, Send):
                self._sends(shell, life, action)
            elif isinstance(action, Deliver):
                self._delivers(shell, life, action)

    def ended(self, shell: "Shell") -> None:
        """An engine is gone."""
        self._lives.pop(id(shell), None)

    def _persisted(self, shell: "Shell", life: _Life, action: Persist) -> None:
        if action.barrier != life.barriers + 1:
            raise BrokenError(f"{_who(shell)}: barrier {action.barrier} follows {life.barriers}")
        life.barriers = action.barrier
        life.recent.append(action)
        if life.pending:
            for slot, signature in list(life.pending.items()):
                if _holds(action, signature) or _holds(action, life.asked.get(slot, signature)):
                    life.own[slot] = action.barrier
                    del life.pending[slot]

    def _asked(self, shell: "Shell", life: _Life, action: Sign) -> None:
        if life.asked.setdefault(action.slot, action.body) != action.body:
            raise BrokenError(f"{_who(shell)}: asks for two signatures of the slot {action.slot.hex()}")

        if action.slot not in life.own:
            for persist in reversed(life.recent):
                if _holds(persist, action.body):
                    life.own[action.slot] = persist.barrier
                    return
            if shell.member.records.holds(action.body):  # since an earlier life
                life.own[action.slot] = 0

    def _sends(self, shell: "Shell", life: _Life, action: Send) -> None:
        if action.after > life.barriers:
            raise BrokenError(f"{_who(shell)}: sends behind barrier {action.after}, which it did not ask for")
        view = self._view(action.message)
        if view is None or view.kind != "block" or view.author != shell.member.place:
            return
        slot = view.round.to_bytes(8, "big")
        if slot in life.own:
            if max(action.after, shell.durable) < life.own[slot]:
                raise BrokenError(f"{_who(shell)}: sends its block of round {view.round} before it is on disk")
        elif slot in life.pending or slot in life.asked:
            raise BrokenError(f"{_who(shell)}: sends its block of round {view.round} and does not keep it")

    def _delivers(self, shell: "Shell", life: _Life, action: Deliver) -> None:
        index = action.commit.index
        if action.after > life.barriers:
            raise BrokenError(f"{_who(shell)}: delivers behind barrier {action.after}, which it did not ask for")
        due = shell.member.store.tip.index + 1  # what the chain got from elsewhere may be left out
        if index > (due if life.delivered is None else max(due, life.delivered + 1)):
            raise BrokenError(f"{_who(shell)}: delivers commit {index} where {due} is due")
        if life.delivered is not None and index <= life.delivered:
            raise BrokenError(f"{_who(shell)}: delivers commit {index} after {life.delivered}")
        life.delivered = index

    # The order. -------------------------------------------------------------------------------------------------------

    def delivered(self, shell: "Shell", commit: Commit) -> None:
        """In an epoch every engine delivers the same; rounds grow and time does not go back."""
        name = (shell.epoch, commit.index)
        known = self._delivered.get(name)
        if known is not None:
            if known != commit:
                raise BrokenError(f"fork: {_who(shell)} delivers {_told(commit)}; before: {_told(known)}")
            return
        before = self._delivered.get((shell.epoch, commit.index - 1))
        if before is None and commit.index != shell.setup.first:
            raise BrokenError(f"{_who(shell)}: delivers commit {commit.index}, and nobody had {commit.index - 1}")
        least, last = (1, None) if before is None else (before.round, (before.round, before.leader))
        if commit.round < least or (commit.round, commit.leader) == last:
            raise BrokenError(f"{_who(shell)}: the round does not grow with {_told(commit)}")
        if before is not None and commit.time < before.time:
            raise BrokenError(f"{_who(shell)}: time goes back with {_told(commit)}")
        self._delivered[name] = commit

    def applied(self, member: "Member", commit: Commit, applied: chain.Applied) -> None:
        """Everybody comes to the same; nothing is ordered more often than it was given, or done twice."""
        known = self.records.get(commit.index)
        if known is not None:
            if known != applied.tip.record:
                raise BrokenError(f"fork: member {member.place} comes to another state with {_told(commit)}")
            return
        if commit.index != len(self.records) + 1:
            raise BrokenError(f"member {member.place} applies {_told(commit)} after {len(self.records)}")
        self.records[commit.index] = applied.tip.record
        for _author, item in commit.items:
            if item in self.pulls:
                self.orders[item] += 1
                if self.orders[item] > self.pulls[item]:
                    raise BrokenError(f"an item is ordered more often than it was given: {_told(commit)}")
        for event in applied.events:
            if isinstance(event, chain.TransactionDone) and event.outcome == "applied":
                if event.id in self.applied_at:
                    raise BrokenError(
                        f"a transaction is applied by commits {self.applied_at[event.id]}, {commit.index}"
                    )
                self.applied_at[event.id] = commit.index

    def pulled(self, items: tuple[bytes, ...]) -> None:
        """An engine was given these."""
        self.pulls.update(items)


def _holds(persist: Persist, part: bytes) -> bool:
    return any(value is not None and part in value for value in persist.batch.values())


def _told(commit: Commit) -> str:
    return (
        f"commit {commit.index} ({commit.digest.hex()[:8]}, round {commit.round}, leader {commit.leader}, "
        f"{len(commit.items)} items, time {commit.time})"
    )


def _who(shell: "Shell") -> str:
    return f"member {shell.member.place}, epoch {shell.epoch}, life {shell.member.life}"
