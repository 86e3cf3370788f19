"""Decoders of values, records and whatever the chain is given."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import decoders_turmoil
import strict_reader
from attrs import evolve
from decoder import Decoder, NotCanonicalError, no_law, same
from ledger_world import DictReader, World, key

from soma_core import chain, codec, genesis
from soma_core.api import Commit
from soma_core.chain import proofs
from soma_core.chain.machine import ACTIONS, TABLES
from soma_core.chain.receipts import MemberReceipt, PaymentReceipt
from soma_core.cli._receipts import as_json, lines
from soma_core.crypto import address_of, digest, signing_digest
from soma_core.errors import DecodeError, SomaError
from soma_core.node._slots import SignedSlot
from soma_core.node.answering import SealedAnswer
from soma_core.node.auditing import SealedVerdict
from soma_core.node.backing import Proved, Signatures
from soma_core.node.store import Receipts, StoredCommit, pack_commit, unpack_commit
from soma_core.node.submitting import SealedSubmission
from soma_core.records import pack, structure, to_value, unpack

# Values ---------------------------------------------------------------------------------------------------------------


def _value(data: bytes) -> Any:
    """The value, where both readers say that it is one; a refusal where both refuse."""
    try:
        plainly = strict_reader.read(data)
    except strict_reader.NoValueError:
        taken = codec.decode(data)
        raise NotCanonicalError(f"only codec.decode takes {data.hex()[:200]}: {taken!r:.100}") from None
    try:
        value = codec.decode(data)
    except DecodeError as error:
        raise AssertionError(f"codec.decode refuses {data.hex()[:200]}: {error}") from error
    assert repr(value) == repr(plainly)
    return value


def _values() -> list[bytes]:
    deep: Any = 0
    for _ in range(codec.MAX_DEPTH):
        deep = [deep]
    values = [
        *(0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, codec.INT_MAX, -1, -24, -25, codec.INT_MIN),
        *(None, True, False, b"", bytes(24), "", "Wörter 🜁", [], {}, [1, [b"2", "3"]]),
        {"": 0, "b": 1, "aa": [], "é": {}},
        {0: "a", 23: "b", 24: "c", 256: "d", 2**40: "e"},
        dict.fromkeys(range(codec.MAX_INTEGER_KEYS)),
        dict.fromkeys(f"{n:03}" for n in range(codec.MAX_INTEGER_KEYS + 1)),
        deep,
    ]
    return [codec.encode(value) for value in values]


# Records --------------------------------------------------------------------------------------------------------------

STORED: Sequence[type[Any]] = (
    *(table.record for table in TABLES),
    *(handler.record for handler in ACTIONS.values()),
    *(chain.Tip, chain.CommitRecord, chain.TransactionReceipt, chain.JobReceipt, chain.Checkpoint, chain.System),
    *(StoredCommit, Receipts, Signatures, Proved, SealedAnswer, SignedSlot, SealedVerdict, SealedSubmission),
)
"""Records of the ledger and of transactions. The first byte of an input says which one the rest should be."""


def _record(data: bytes) -> Any:
    return unpack(STORED[data[0] % len(STORED)] if data else StoredCommit, data[1:])


def _records() -> list[bytes]:
    world = grown()
    found: list[Any] = [
        *(chain.Transfer(bytes(32), 1), world.tip, world.trace[-1].record, _receipt(), _checkpoint(world)),
        Receipts(world.trace[-1].receipts),
        Signatures(((0, bytes(64)),)),
        Proved(3),
        SealedAnswer(salt=bytes(32), loss=5, vector=bytes(16)),
        SealedVerdict(salt=bytes(32), results=(chain.Result(loss=5, vector=bytes(16)),)),
        SealedSubmission(target=3, salt=bytes(32), blob=bytes(32), size=9, encoder=bytes(32), loss=5, vector=bytes(16)),
        SignedSlot(bytes(32), "soma/block", bytes(32), 1, 2, bytes(32), bytes(64)),
        structure(StoredCommit, codec.decode(pack_commit(_commit(world, ())))),
        structure(chain.System, codec.decode(world.system(9))),
        *(read for read in map(_stored, world.reader.data.items()) if read is not None),
    ]
    lived = [bytes([place]) + data for place, data in decoders_turmoil.stored()]
    return [*lived, *(bytes([STORED.index(type(record))]) + pack(record) for record in found)]


def _stored(entry: tuple[bytes, bytes]) -> Any:
    name, data = entry
    return next((unpack(table.record, data) for table in TABLES if table.prefix == name[0]), None)


def _receipt() -> chain.JobReceipt:
    vector = (4096).to_bytes(2, "little") * 8
    member = MemberReceipt(
        encoder=bytes(32),
        name="e1",
        answer="revealed",
        opaque=False,
        loss=90_000,
        vector=vector,
        weight=1 << 16,
        gate=0,
        out=False,
        verdict="none",
        fine=0,
        slash=0,
    )
    return chain.JobReceipt(
        job=bytes(32),
        blob=bytes(32),
        size=5,
        requester=bytes(32),
        nonce=1,
        epoch=0,
        time=1_000_000,
        outcome="settled",
        why="",
        final=False,
        due=1_000_100,
        sampled=True,
        dimension=8,
        vector=vector,
        shard=(member,),
        winner="e1",
        weakest="",
        pot=10,
        commission=2,
        payments=(PaymentReceipt(to="e1", amount=10, reason="won"), PaymentReceipt(to="treasury", amount=2, reason="")),
    )


# The chain ------------------------------------------------------------------------------------------------------------


@cache
def grown() -> World:
    """A chain with an open job, whose next commit is tried with any content."""
    world = World()
    request = {"blob": bytes(32), "size": 5, "nonce": 1, "certain": False}
    world.commit(world.transaction(1, "request_embedding", request))
    world.commit(world.transaction(0, "attest_data", {"job": _job(world), "sketch": b""}))
    world.commit()
    return world


def _job(world: World) -> bytes:
    ((name, _),) = world.state.scan(chain.JOBS)
    return name


def _commit(world: World, items: tuple[bytes, ...], system: bytes | None = None) -> Commit:
    return Commit(
        index=world.tip.index + 1,
        digest=digest("soma/commit", world.tip.record),
        time=world.tip.time + 20,
        round=world.tip.index + 1,
        leader=0,
        items=tuple((0, item) for item in items),
        leader_system=world.system(world.tip.index + 1) if system is None else system,
    )


def _apply(items: tuple[bytes, ...], system: bytes | None = None) -> chain.Applied:
    world = grown()
    return chain.apply(world.genesis, world.rule, world.reader, world.tip, _commit(world, items, system))


def _item(data: bytes) -> chain.Applied:
    """The first byte says whether the rest is an item of the block, or the leader's system bytes."""
    return _apply((data[1:],)) if data[:1] != b"\x01" else _apply((), data[1:])


def _items() -> list[bytes]:
    world = grown()
    transfer = world.transaction(2, "transfer", {"to": bytes(32), "amount": 1}, sequence=0)
    return [b"\0" + transfer, b"\0" + world.system(5), b"\1" + world.system(world.tip.index + 1)]


def _action(data: bytes) -> chain.Applied:
    """[kind, action] in a transaction whose signature holds."""
    match codec.decode(data):
        case [str(kind), dict(action)] if len(kind) <= 32 and len(data) < chain.MAX_TRANSACTION // 2:
            world = grown()
            number = 1
            transaction = chain.Transaction(
                chain=world.genesis.chain,
                sender=address_of(key(number).public),
                key=key(number).public,
                sequence=7,
                expiry=1,
                fee=world.genesis.parameters.fee,
                kind=kind,
                action=action,
            )
            unsigned = chain.unsigned_bytes(transaction)
            signature = key(number).sign(signing_digest("soma/tx", transaction.chain, 1, unsigned))
            return _apply((chain.SignedTransaction(transaction, unsigned, signature).wire,))
        case _:
            raise DecodeError("not a kind and an action")


def _was_decided(applied: chain.Applied, _data: bytes) -> None:
    (done,) = (event for event in applied.events if isinstance(event, chain.TransactionDone))
    assert done.outcome in ("applied", "failed"), done


def _actions() -> list[bytes]:
    job = _job(grown())
    register = chain.RegisterEncoder(
        name="mine", stake=10**10, weights=bytes(32), frame=bytes(32), architecture="byte-transformer-1"
    )
    actions: dict[str, Any] = {
        "transfer": chain.Transfer(bytes(32), 1),
        "register_encoder": register,
        "request_embedding": chain.RequestEmbedding(blob=bytes(32), size=9, nonce=2),
        "attest_data": chain.AttestData(job),
        "commit_embedding": chain.CommitEmbedding(job=job, commitment=bytes(32)),
        "reveal_embedding": chain.RevealEmbedding(job=job, salt=bytes(32), loss=1, vector=bytes(16)),
        "report_unavailable": chain.ReportUnavailable(job),
    }
    return [codec.encode([kind, to_value(action)]) for kind, action in actions.items()]


def _transactions() -> list[bytes]:
    world = grown()
    return [world.transaction(2, "transfer", {"to": bytes(32), "amount": 1}, sequence=place) for place in (0, 63)]


def _signed_as_it_came(signed: chain.SignedTransaction, data: bytes) -> None:
    same(signed.wire, data)
    same(chain.unsigned_bytes(signed.transaction), signed.unsigned)
    assert len(signed.id) == 32
    assert signed.signature_holds() in (True, False)
    world = grown()
    chain.examine(world.genesis, world.reader, signed)


# Receipts and genesis -------------------------------------------------------------------------------------------------


def _checkpoint(world: World, receipts: bytes = bytes(32)) -> chain.Checkpoint:
    record = chain.CommitRecord(
        **{name: getattr(world.trace[-1].record, name) for name in ("index", "previous", "commit", "time", "epoch")},
        receipts=receipts,
        state=bytes(32),
        committee=world.trace[-1].record.committee,
    )
    signed = signing_digest("soma/checkpoint", world.genesis.chain, record.epoch, chain.record_digest(record))
    return chain.Checkpoint(record=record, signatures=((0, key(100).sign(signed)),))


@cache
def _receipt_files() -> list[bytes]:
    world, leaf = grown(), pack(_receipt())
    leaves = [chain.leaf_hash(leaf), chain.leaf_hash(b"other")]
    checkpoint = _checkpoint(world, proofs.root_from(leaf, chain.proof(leaves, 0)))
    file = chain.ReceiptFile(
        format=proofs.FORMAT,
        charter=world.genesis.charter,
        handovers=(),
        receipt=leaf,
        path=chain.proof(leaves, 0),
        trail=(),
        checkpoint=checkpoint,
    )
    return [proofs.dump(file)]


def _receipt_file(data: bytes) -> tuple[chain.ReceiptFile, chain.JobReceipt]:
    file = proofs.load(data)
    same(proofs.dump(file), data)
    return file, chain.verify_receipt(file, file.charter)


def _receipt_under(data: bytes) -> tuple[chain.ReceiptFile, chain.JobReceipt]:
    """A receipt of any content, signed by a quorum of whom its own genesis names."""
    world = grown()
    file = evolve(
        proofs.load(_receipt_files()[0]),
        receipt=data,
        path=(),
        checkpoint=_checkpoint(world, proofs.root_from(data, ())),
    )
    return file, chain.verify_receipt(file, world.genesis)


def _is_shown(proved: tuple[chain.ReceiptFile, chain.JobReceipt], _data: bytes) -> None:
    for line in lines("a file", proved[1], "a receipt"):
        assert line.isprintable()
    json.dumps(as_json("a file", proved[1], "a receipt"))


def _receipt_again(proved: tuple[chain.ReceiptFile, chain.JobReceipt], data: bytes) -> None:
    same(pack(proved[1]), data)
    _is_shown(proved, data)


def _genesis(data: bytes) -> genesis.Genesis:
    return genesis.check(unpack(genesis.Genesis, data, max_size=genesis.MAX_FILE))


def _founds_a_network(found: genesis.Genesis, data: bytes) -> None:
    same(pack(found), data)
    assert len(found.chain) == len(found.protocol) == 32
    chain.found(found, DictReader())


def _stored_commits() -> list[bytes]:
    return [pack_commit(_commit(grown(), (b"a",)))]


def _packs(write: Callable[[Any], bytes], skip: int = 0) -> Callable[[Any, bytes], None]:
    return lambda value, data: same(data[:skip] + write(value), data)


DECODERS = (
    Decoder("value", _value, (DecodeError,), _packs(codec.encode), _values),
    Decoder("record", _record, (DecodeError,), _packs(pack, 1), _records),
    Decoder("transaction", chain.parse_wire, (DecodeError,), _signed_as_it_came, _transactions),
    Decoder("item", _item, (), no_law, _items),
    Decoder("action", _action, (DecodeError,), _was_decided, _actions),
    Decoder("commit", unpack_commit, (DecodeError,), _packs(pack_commit), _stored_commits),
    Decoder("receipt-file", _receipt_file, (SomaError,), _is_shown, _receipt_files, 8192),
    Decoder("receipt", _receipt_under, (SomaError,), _receipt_again, lambda: [pack(_receipt())]),
    Decoder("genesis", _genesis, (SomaError,), _founds_a_network, lambda: [pack(grown().genesis)], 8192),
)
