"""Commits between nodes: what a node serves to followers, and how a follower checks what it is served.

Only records that a quorum signed are served and taken: each committee's up to the one in which it names the next.
Members take what enough have signed for one of them to be honest: liars who keep back their signatures would else hold
up a member that is behind for ever, because the quorum needs its own. Who takes commits applies every one itself and
compares: it believes the signers about order, never about what it comes to.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, final

from soma_core import chain
from soma_core.api import Commit
from soma_core.errors import VerificationError
from soma_core.net import Entry
from soma_core.records import pack, unpack

from .applying import Applying, Proof
from .events import Hub
from .store import Store, unpack_commit
from .threads import Thread

ELSEWHERE: Final = "another peer will be asked; if none helps, compare the genesis files"
FRAMING: Final = 512
"""Bytes of an entry beside its commit and signatures, at most: its record and the names of its fields."""
SIGNATURE: Final = 80
"""Bytes of a signature in an entry, with its place, at most."""


@final
class Source:
    """What a node serves: its commits up to the last that a quorum, or, for members, somebody honest has signed."""

    def __init__(self, store: Store, thread: Thread, hub: Hub) -> None:
        self._store = store
        self._backing = store.backing
        self._thread = thread
        self._hub = hub

    def head(self, *, vouched: bool = False) -> int:
        """The last commit that can be proved, or vouched for."""
        return self._backing.vouched if vouched else self._backing.proved

    async def entries(self, first: int, limit: int, max_bytes: int, *, vouched: bool = False) -> Sequence[Entry]:
        """Commits from `first` on, at most `limit` of them and `max_bytes` together, ending with a signed one."""
        return await self._thread.run(partial(self._read, first, limit, max_bytes, vouched=vouched))

    async def wait(self) -> None:
        """Return after the next change."""
        await self._hub.changed.wait()

    def _read(self, first: int, limit: int, max_bytes: int, *, vouched: bool) -> list[Entry]:
        signed = self._backing.vouches if vouched else self._backing.signatures
        found: list[Entry] = []
        size = 0
        for index in range(first, min(first + limit, self.head(vouched=vouched) + 1)):
            commit, record = self._store.commit_bytes(index), self._store.record(index)
            if commit is None or record is None:
                break
            signatures = tuple((place.to_bytes(2, "big"), s) for place, s in signed(index) or ())
            size += len(commit) + FRAMING + SIGNATURE * len(signatures)
            if size > max_bytes and found:
                break
            found.append(Entry(index, commit, pack(record), signatures))
        while found and not found[-1].signatures:  # entries behind the last that is signed prove nothing
            found.pop()
        return found


@final
class Following:
    """Takes commits from peers. `seated`: whether this node is a member, who needs no quorum."""

    def __init__(self, applying: Applying, seated: Callable[[], bool]) -> None:
        self._applying = applying
        self._store = applying.store
        self._seated = seated

    def next(self) -> int:
        """The commit that is needed next."""
        return self._store.tip.index + 1

    def vouched(self) -> bool:
        """Whether signatures are enough of which one is honest."""
        return self._seated()

    async def apply(self, entries: Sequence[Entry]) -> None:
        """Check and apply `entries` up to the last one that is a checkpoint; the rest will be asked for again.

        Those that the chain has by now, by another way, are passed over. Raises `VerificationError` or `DecodeError`
        for entries that prove nothing: nothing of them was applied.
        """
        async with self._applying.lock:
            committee = await self._applying.thread.run(self._store.committee)
            proved = self._proved([entry for entry in entries if entry.index >= self.next()], committee)
        for entry, record in proved:
            async with self._applying.lock:
                if entry.index >= self.next():
                    proof = Proof(record, _signatures(entry))
                    await self._applying.apply(_commit(entry, record, len(committee)), proof)

    def _proved(
        self, entries: Sequence[Entry], committee: Sequence[tuple[bytes, int]]
    ) -> list[tuple[Entry, chain.CommitRecord]]:
        """Entries with their records, each of which enough of `committee` signed itself or through a later one."""
        named = chain.committee_digest(committee)
        powers = tuple(power for _, power in committee)
        needed = chain.validity(powers) if self.vouched() else chain.quorum(powers)
        records = [unpack(chain.CommitRecord, entry.record) for entry in entries]
        previous = self._store.tip.record
        last = -1
        for place, (entry, record) in enumerate(zip(entries, records, strict=True)):
            if record.previous != previous or record.index != entry.index:
                raise VerificationError(f"record {entry.index} does not follow what this node has", ELSEWHERE)
            previous = chain.record_digest(record)
            if entry.signatures:
                checkpoint = chain.Checkpoint(record=record, signatures=_signatures(entry))
                power = chain.signing_power(self._store.genesis.chain, committee, checkpoint)
                if power < needed:
                    raise VerificationError(f"power {power} signed record {entry.index}, {needed} is needed", ELSEWHERE)
                last = place
            if record.committee != named:
                break  # the next committee signs what follows
        if last < 0 and entries:
            raise VerificationError(
                f"not enough members signed any of records {entries[0].index} to {entries[-1].index}", ELSEWHERE
            )
        return list(zip(entries[: last + 1], records[: last + 1], strict=True))


def _commit(entry: Entry, record: chain.CommitRecord, members: int) -> Commit:
    """The commit of an entry with a proved record. What an engine promises the chain, a peer has not promised."""
    commit = unpack_commit(entry.commit)
    named = (commit.leader, *(author for author, _ in commit.items))
    same = commit.index == record.index and commit.digest == record.commit and commit.time <= record.time
    if not same or not all(0 <= place < members for place in named):
        raise VerificationError(f"commit {entry.index} does not come to the record that was signed", ELSEWHERE)
    return commit


def _signatures(entry: Entry) -> tuple[tuple[int, bytes], ...]:
    """(place in the committee, signature). A place travels in two bytes, big endian."""
    if any(len(place) != 2 for place, _ in entry.signatures):
        raise VerificationError(f"a signer of record {entry.index} is not named in two bytes", ELSEWHERE)
    return tuple((int.from_bytes(place, "big"), signature) for place, signature in entry.signatures)
