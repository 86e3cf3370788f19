"""A block as bytes: what it says, when it is valid, what it is called. Rules D3 to D9 of ``specs/70-consensus-dag.md``.

On the wire a block is the header's length (4 bytes, big endian), the header, the signature, and the payload items one
after another. The header is the encoding of an array; it carries the sizes and the digest of the payload, and is what
is signed: digest and name do not depend on the signature.
"""

import struct
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Final, final

from attrs import evolve, field, frozen

from soma_core.api.encoding import DIGEST_SIZE, SIGNATURE_SIZE, decode, digest, encode, signing_digest
from soma_core.errors import DecodeError

from ._committee import Committee
from ._dag import REF_SIZE, Ref, pack_refs, unpack_refs

VERSION: Final = 1
MAX_ITEM: Final = 64 << 10
"""Bytes of one payload item."""
MAX_ITEMS: Final = 4096
"""Payload items of a block."""
MAX_SYSTEM: Final = 16 << 10
"""Bytes of system bytes."""
MAX_VOTES: Final = 100
"""Commits that one block votes for."""
MAX_HEADER: Final = 64 << 10
"""Bytes of a header."""
COMMIT_BYTES: Final = 512 << 10
"""Bytes that one commit brings to be ordered, at most; a block brings its member's part of them."""
SYSTEM_BYTES: Final = 32 << 10
"""Bytes of a commit that are left to system bytes."""
UNSIGNED: Final = bytes(SIGNATURE_SIZE)
"""Where the signature of a block will stand."""

_LENGTH: Final = struct.Struct(">I")
_VOTE: Final = struct.Struct(">Q32s")
_SIZE: Final = struct.Struct(">I")
_KINDS: Final = [*[int] * 5, *[bytes] * 5]
_NO_PAYLOAD: Final = digest("soma/payload")

Vote = tuple[int, bytes]
"""(index, digest) of a commit record."""


class InvalidBlockError(DecodeError):
    """A block that is never accepted, by anybody. `label` is the rule it breaks, in a word."""

    def __init__(self, label: str) -> None:
        super().__init__(f"an invalid block: {label.replace('_', ' ')}", "its author signed what no member may sign")
        self.label = label


@frozen(eq=False, slots=False)  # without slots what is cached is found quickly
class Block:
    """A block that passed all that needs no signature. `ancestors`: in order, the author's own previous block first.

    `header`: what is signed. `wire`: all of it as bytes.
    """

    ref: Ref
    time: int
    ancestors: tuple[Ref, ...]
    votes: tuple[Vote, ...]
    system: bytes = field(repr=False)
    sizes: tuple[int, ...] = field(repr=False)
    header: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    wire: bytes = field(repr=False)

    @property
    def round(self) -> int:
        """From 1."""
        return self.ref[0]

    @property
    def author(self) -> int:
        """A place in the committee."""
        return self.ref[1]

    @cached_property
    def payload_size(self) -> int:
        """Bytes of payload."""
        return sum(self.sizes)

    @property
    def weight(self) -> int:
        """Bytes of payload and system bytes."""
        return self.payload_size + len(self.system)

    @cached_property
    def items(self) -> tuple[bytes, ...]:
        """The payload."""
        if not self.sizes:
            return ()
        ends = list(accumulate(self.sizes, initial=len(self.wire) - self.payload_size))
        return tuple(self.wire[start:end] for start, end in pairwise(ends))

    def signed(self, signature: bytes) -> "Block":
        """The same block with its signature."""
        return evolve(self, signature=signature, wire=assemble(self.header, signature, self.wire[self.stub_size :]))

    @property
    def stub(self) -> bytes:
        """The block without its payload: enough to prove what its author signed."""
        return self.wire[: self.stub_size]

    @property
    def stub_size(self) -> int:
        """Bytes of the stub."""
        return _LENGTH.size + len(self.header) + SIGNATURE_SIZE


@final
class Format:
    """How blocks of one chain, epoch and committee are made and read. `ground`: the round of genesis blocks."""

    def __init__(self, chain: bytes, epoch: int, committee: Committee, ground: int = 0) -> None:
        self.committee = committee
        self.genesis: tuple[Ref, ...] = tuple(
            (ground, author, signing_digest("soma/block", chain, epoch, author.to_bytes(2, "big")))
            for author in range(committee.size)
        )
        self.payload_most = max(MAX_ITEM, (COMMIT_BYTES - SYSTEM_BYTES) // committee.size)
        """Bytes of payload in a block."""
        self._chain, self._epoch = chain, epoch

    def make(
        self,
        round_: int,
        author: int,
        time: int,
        ancestors: Sequence[Ref],
        votes: Sequence[Vote],
        system: bytes,
        items: Sequence[bytes],
    ) -> Block:
        """A block of these, not signed yet. Raises `InvalidBlockError` if its references are not valid."""
        fault = fault_of_ancestors(round_, author, ancestors, self.committee)
        if fault is not None:
            raise InvalidBlockError(fault)
        header = self.header(round_, author, time, ancestors, votes, system, items)
        ref = (round_, author, self.name(header))
        sizes, wire = tuple(map(len, items)), assemble(header, UNSIGNED, b"".join(items))
        return Block(ref, time, tuple(ancestors), tuple(votes), system, sizes, header, UNSIGNED, wire)

    def header(
        self,
        round_: int,
        author: int,
        time: int,
        ancestors: Sequence[Ref],
        votes: Sequence[Vote],
        system: bytes,
        items: Sequence[bytes],
    ) -> bytes:
        """What is signed of a block of these, valid or not."""
        return encode(
            [
                VERSION,
                self._epoch,
                round_,
                author,
                time,
                pack_refs(ancestors),
                b"".join(_VOTE.pack(*vote) for vote in votes),
                system,
                struct.pack(f">{len(items)}I", *map(len, items)),
                digest("soma/payload", b"".join(items)),
            ]
        )

    def name(self, header: bytes) -> bytes:
        """The digest of a block, and what its signature signs."""
        return signing_digest("soma/block", self._chain, self._epoch, header)

    def parse(self, wire: bytes) -> Block:
        """A whole block, all but its signature and payload items checked. Raises `InvalidBlockError`."""
        block = self.parse_stub(wire)
        payload = wire[block.stub_size :]
        if len(payload) != block.payload_size:
            raise InvalidBlockError("bad_payload")
        if (digest("soma/payload", payload) if payload else _NO_PAYLOAD) != _payload_digest(block.header):
            raise InvalidBlockError("bad_payload")
        return block

    def parse_stub(self, wire: bytes) -> Block:
        """A block whose payload is not looked at, and need not be there. Raises `InvalidBlockError`."""
        length = int.from_bytes(wire[: _LENGTH.size], "big")
        end = _LENGTH.size + length
        if not 0 < length <= MAX_HEADER or len(wire) < end:
            raise InvalidBlockError("bad_header")
        header, signature = wire[_LENGTH.size : end], wire[end : end + SIGNATURE_SIZE]
        epoch, round_, author, time, ancestors, votes, system, sizes = _fields(header)
        if epoch != self._epoch:
            raise InvalidBlockError("bad_epoch")
        refs = unpack_refs(ancestors)
        items = struct.unpack(f">{len(sizes) // _SIZE.size}I", sizes)
        fault = (
            fault_of_place(round_, author, self.committee)
            or self._fault_of_sizes(len(votes) // _VOTE.size, system, items)
            or fault_of_ancestors(round_, author, refs, self.committee)
            or self._fault_of_genesis(refs)
        )
        if fault is None and len(signature) != SIGNATURE_SIZE:
            fault = "bad_signature"
        if fault is not None:
            raise InvalidBlockError(fault)
        ref = (round_, author, self.name(header))
        voted = tuple(_VOTE.iter_unpack(votes))
        return Block(ref, time, refs, voted, system, items, header, signature, wire)

    def _fault_of_sizes(self, votes: int, system: bytes, items: Sequence[int]) -> str | None:
        if votes > MAX_VOTES:
            return "too_many_votes"
        if len(system) > MAX_SYSTEM:
            return "system_too_large"
        return fault_of_payload(items, MAX_ITEM, MAX_ITEMS, self.payload_most)

    def _fault_of_genesis(self, ancestors: Sequence[Ref]) -> str | None:
        ground = self.genesis[0][0]
        if min(ancestors)[0] > ground:
            return None
        wrong = any(ref[0] <= ground and ref != self.genesis[ref[1]] for ref in ancestors)
        return "bad_genesis" if wrong else None


def _fields(header: bytes) -> tuple[int, int, int, int, bytes, bytes, bytes, bytes]:
    """What stands in a header, of the right kinds and lengths."""
    try:
        value = decode(header, max_size=MAX_HEADER)
    except DecodeError as error:
        raise InvalidBlockError("bad_header") from error
    if not isinstance(value, list) or list(map(type, value)) != _KINDS:
        raise InvalidBlockError("bad_header")
    fields: Any = value
    version, epoch, round_, author, time, ancestors, votes, system, sizes, payload = fields
    if version != VERSION or not 0 <= time < 1 << 62 or len(payload) != DIGEST_SIZE:
        raise InvalidBlockError("bad_header")
    if len(ancestors) % REF_SIZE or len(votes) % _VOTE.size or len(sizes) % _SIZE.size:
        raise InvalidBlockError("bad_header")
    return epoch, round_, author, time, ancestors, votes, system, sizes


def place_of(wire: bytes) -> tuple[int, int]:
    """Round and author that a block claims; nothing else of it is looked at. Raises `DecodeError`."""
    header = wire[_LENGTH.size : _LENGTH.size + int.from_bytes(wire[: _LENGTH.size], "big")]
    _, round_, author, *_ = _fields(header)
    if not 1 <= round_ < 1 << 32 or not 0 <= author < 1 << 16:
        raise InvalidBlockError("bad_round")
    return round_, author


def assemble(header: bytes, signature: bytes, payload: bytes) -> bytes:
    """The wire of a block."""
    return b"".join((_LENGTH.pack(len(header)), header, signature, payload))


def fault_of_place(round_: int, author: int, committee: Committee) -> str | None:
    """What is wrong with a block's round or author: the label of a rule, or None."""
    if round_ < 1:
        return "genesis_not_allowed"
    if round_ >= 1 << 32:
        return "bad_round"
    return None if 0 <= author < committee.size else "bad_author"


def fault_of_payload(sizes: Sequence[int], item_most: int, items_most: int, most: int) -> str | None:
    """What is wrong with the sizes of a block's payload items."""
    if len(sizes) > items_most:
        return "too_many_txs"
    if sizes and max(sizes) > item_most:
        return "tx_too_large"
    return "block_too_large" if sum(sizes) > most else None


def fault_of_ancestors(round_: int, author: int, ancestors: Sequence[Ref], committee: Committee) -> str | None:
    """What is wrong with a block's references. Bounds come before anything is looked up by them."""
    size, before = committee.size, round_ - 1
    members, voting = 0, 0
    for at, by, _ in ancestors:
        bit = 1 << by
        if by >= size or at >= round_ or members & bit:
            return _fault_in(round_, author, ancestors, committee)
        members |= bit
        if at == before:
            voting |= bit
    if len(ancestors) > size or (ancestors and ancestors[0][1] != author):
        return _fault_in(round_, author, ancestors, committee)
    return None if committee.is_quorum(voting) else "no_parent_quorum"


def _fault_in(round_: int, author: int, ancestors: Sequence[Ref], committee: Committee) -> str:
    """Which rule references break that are known to break one."""
    if len(ancestors) > committee.size:
        return "too_many_ancestors"
    if any(by >= committee.size for _, by, _ in ancestors):
        return "bad_author"
    if any(at >= round_ for at, _, _ in ancestors):
        return "bad_ancestor_round"
    if ancestors[0][1] != author or any(by == author for _, by, _ in ancestors[1:]):
        return "own_not_first"
    return "duplicate_ancestor"


def _payload_digest(header: bytes) -> bytes:
    return header[-DIGEST_SIZE:]  # the last element of the array
