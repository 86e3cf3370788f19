"""The operations of a running node: one table of names, requests and replies.

Served as framed CBOR on a Unix socket (mode 0600) that the command line speaks to; an HTTP interface maps the same
table to routes. Bytes stand for themselves here; a program that prints them chooses hex.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from soma_core.errors import DecodeError
from soma_core.records import octets, pack, text, uint

from . import racing, searching, standing

Q = TypeVar("Q")
R = TypeVar("R")

UPLOAD_CHUNK: Final = 256 << 10
"""Bytes of one `PutBlob`: a file goes up in pieces, so that no frame is large."""
MAX_FRAME: Final = 1 << 20
"""Bytes of a frame's header, and of its payload."""
WAIT_MOST: Final = 20_000
"""Milliseconds a `WaitJob` may wait for a change."""


@frozen
class Empty:
    """Nothing."""


@frozen(kw_only=True)
class EncoderStatus:
    """An encoder this node runs. `state`: ``ready`` or what is wrong.

    `weights`: the registered ones; `next_weights`: those that hold from epoch `next_epoch` on; empty where there are
    none.
    """

    name: str = text()
    plugin: str = text()
    address: bytes = octets(32)
    state: str = text(most=400)
    weights: bytes = octets(most=32, default=b"")
    next_weights: bytes = octets(most=32, default=b"")
    next_epoch: int = uint(default=0)


@frozen(kw_only=True)
class Status:
    """A node. `index`, `time` (ms) and `epoch` are those of the last applied commit.

    `rules`: the version that is in force; `known_rules`: the newest that this software knows. `parked`: epochs whose
    money waits, because they ended in safe mode; 0 where the last one ended whole. `free`: bytes on the disk of the
    data directory. `takes_work`: false while that is nearly full. `vectors`: the index
    of what was embedded; None where none was chosen.
    """

    version: str = text()
    network: str = text()
    chain: bytes = octets(32)
    data_dir: str = text(most=4096)
    roles: tuple[str, ...]
    index: int = uint()
    time: int = uint()
    epoch: int = uint()
    rules: int = uint()
    known_rules: int = uint()
    parked: int = uint()
    state: bytes = octets(32)
    account: bytes = octets(32)
    balance: int = uint()
    node: bytes = octets(32)
    addresses: tuple[str, ...]
    peers: int = uint()
    validators: int = uint()
    encoders: tuple[EncoderStatus, ...]
    open_jobs: int = uint()
    mempool: int = uint()
    free: int = uint()
    takes_work: bool
    vectors: searching.IndexStatus | None = None


@frozen
class AskBalance:
    """Of one account; None: the node's own."""

    address: bytes | None


@frozen(kw_only=True)
class BalanceReply:
    """Shannons and the lowest unused sequence number."""

    address: bytes = octets(32)
    balance: int = uint()
    stake: int = uint()
    sequence: int = uint()


@frozen(kw_only=True)
class Send:
    """Move shannons from the node's account."""

    to: bytes = octets(32)
    amount: int = uint(least=1)


@frozen(kw_only=True)
class Done:
    """A transaction that was ordered. `code`: "" if it was applied, else why not, with `text`."""

    transaction: bytes = octets(32)
    code: str = text()
    text: str = text(most=400)
    fee: int = uint()


@frozen(kw_only=True)
class PutBlob:
    """A piece of a file, in order, on one connection. `size`: of the whole; the piece travels as payload."""

    size: int = uint(least=1)
    offset: int = uint()


@frozen
class BlobReply:
    """The digest of the blob once all of it is there, else None."""

    blob: bytes | None


@frozen
class AskPrice:
    """For one item of `size` bytes."""

    size: int = uint(least=1)


@frozen(kw_only=True)
class Price:
    """Shannons: `pot` and `commission` of the job, `fee` of its transaction."""

    pot: int = uint()
    commission: int = uint()
    fee: int = uint()


@frozen(kw_only=True)
class Embed:
    """Ask for an embedding of a blob this node holds. The same blob and nonce are the same job: it is paid once."""

    blob: bytes = octets(32)
    size: int = uint(least=1)
    nonce: int = uint()


@frozen
class EmbedReply:
    """The job's key; `paid`: whether this request paid for it, or it was known already."""

    job: bytes = octets(32)
    paid: bool = False


@frozen(kw_only=True)
class WaitJob:
    """Wait until the job is in another stage than `seen`, at most `wait_ms`."""

    job: bytes = octets(32)
    seen: str = text()
    wait_ms: int = uint(most=WAIT_MOST)


@frozen(kw_only=True)
class JobReply:
    """`stage`: also ``settled`` or ``refunded``, with which the receipt file comes as payload; ``unknown`` if none."""

    stage: str = text()
    answered: int = uint()
    drawn: int = uint()


@frozen(kw_only=True)
class Supply:
    """Shannons. `total`: all that accounts, stakes, escrow and pools hold; `drift`: total − genesis − emitted."""

    genesis: int = uint()
    emitted: int = uint()
    total: int = uint()
    drift: int = uint(least=-(1 << 62))
    balances: int = uint()
    stakes: int = uint()
    escrow: int = uint()
    treasury: int = uint()
    validators: int = uint()
    burned: int = uint()


@frozen(kw_only=True)
class RegisteredEncoder:
    """An encoder of the network. `gate`: Q16."""

    name: str = text()
    address: bytes = octets(32)
    stake: int = uint()
    architecture: str = text()
    gate: int = uint(least=-(1 << 16))


@frozen
class Encoders:
    """All encoders of the network, by address."""

    encoders: tuple[RegisteredEncoder, ...]


@frozen(kw_only=True)
class Backup:
    """Write a backup as the file `path`, absolute, which is not there yet. `keys`: with the encrypted key files."""

    path: str = text(most=4096)
    keys: bool = False


@frozen(kw_only=True)
class BackupReply:
    """What the backup holds: the last commit, and the digest of its record."""

    chain: bytes = octets(32)
    index: int = uint()
    record: bytes = octets(32)


@frozen
class Operation(Generic[Q, R]):
    """A name on the wire, the record a request brings and the record its reply is."""

    name: str
    request: type[Q]
    reply: type[R]


STATUS: Final = Operation("status", Empty, Status)
GENESIS: Final = Operation("genesis", Empty, Empty)
BALANCE: Final = Operation("balance", AskBalance, BalanceReply)
SEND: Final = Operation("send", Send, Done)
PUT_BLOB: Final = Operation("put_blob", PutBlob, BlobReply)
PRICE: Final = Operation("price", AskPrice, Price)
EMBED: Final = Operation("embed", Embed, EmbedReply)
WAIT_JOB: Final = Operation("wait_job", WaitJob, JobReply)
SUPPLY: Final = Operation("supply", Empty, Supply)
ENCODERS: Final = Operation("encoders", Empty, Encoders)
BACKUP: Final = Operation("backup", Backup, BackupReply)
ACT: Final = Operation("act", standing.Act, Done)
POOL: Final = Operation("pool", standing.AskPool, standing.Pool)
VALIDATORS: Final = Operation("validators", Empty, standing.Validators)
JOIN_COMMITTEE: Final = Operation("join_committee", standing.JoinCommittee, Done)
JOIN_ENCODERS: Final = Operation("join_encoders", standing.JoinEncoders, Done)
RENEW_WEIGHTS: Final = Operation("renew_weights", standing.RenewWeights, Done)
PLANT_CANARY: Final = Operation("plant_canary", standing.PlantCanary, Done)
RENEW_KEYS: Final = Operation("renew_keys", Empty, Done)
AUDITS: Final = Operation("audits", standing.AskAudits, standing.Audits)
OPERATORS: Final = Operation("operators", standing.AskOperators, standing.Operators)
TARGETS: Final = Operation("targets", racing.AskTargets, racing.Targets)
HITS: Final = Operation("hits", Empty, racing.Hits)
SCORE: Final = Operation("score", racing.AskScores, racing.Scores)
SUBMIT: Final = Operation("submit", racing.Submit, racing.Submitted)
SEARCH: Final = Operation("search", searching.Search, searching.Found)
STOP: Final = Operation("stop", Empty, Empty)

OPERATIONS: Final[Mapping[str, Operation[object, object]]] = {
    operation.name: operation  # type: ignore[misc]
    for operation in (
        *(STATUS, GENESIS, BALANCE, SEND, PUT_BLOB, PRICE, EMBED, WAIT_JOB, SUPPLY, ENCODERS, BACKUP, STOP),
        *(ACT, POOL, VALIDATORS, JOIN_COMMITTEE, JOIN_ENCODERS, RENEW_WEIGHTS, PLANT_CANARY, RENEW_KEYS, AUDITS),
        *(OPERATORS, TARGETS, HITS, SCORE, SUBMIT, SEARCH),
    )
}
"""Every operation. `GENESIS` replies with the genesis file as payload."""

FRAME: Final = struct.Struct(">II")
"""Before every message: bytes of the header, bytes of the payload, both at most `MAX_FRAME`."""


@frozen(kw_only=True)
class Request:
    """The header of a request: an operation's name and its record."""

    op: str = text()
    body: Any


@frozen(kw_only=True)
class Answer:
    """The header of a reply: the reply's record, or an error with the exit code it means."""

    body: Any
    error: str = text(most=4096, default="")
    remedy: str = text(most=4096, default="")
    exit_code: int = uint(most=255, default=0)


def pack_message(header: Request | Answer, payload: bytes = b"") -> bytes:
    """A whole message: lengths, header, payload."""
    encoded = pack(header)
    return FRAME.pack(len(encoded), len(payload)) + encoded + payload


def lengths(prefix: bytes) -> tuple[int, int]:
    """Header and payload length from the first 8 bytes of a message. Raises `DecodeError` if either is too large."""
    header, payload = FRAME.unpack(prefix)
    if header > MAX_FRAME or payload > MAX_FRAME:
        raise DecodeError(f"a message of {header} + {payload} bytes exceeds {MAX_FRAME}", "upgrade the older side")
    return header, payload
