"""The ledger's rules: a pure state machine on integers, without I/O, clock or threads.

One file a subject; `machine` joins them. A node needs `found`, `apply`, what they return, and the actions it sends.
"""

from .accounts import ACCOUNTS, Account, Transfer, account_of
from .encoders import ENCODERS, Encoder, RegisterEncoder
from .epochs import EPOCH
from .events import (
    DataWanted,
    EpochBegan,
    Event,
    JobChanged,
    RecordSigned,
    RevealsOpen,
    Settled,
    ShardDrawn,
    TransactionDone,
)
from .execution import Refusal
from .faults import AccuseValidator, ReportValidator, UndoReport
from .jobs import (
    AttestData,
    CommitEmbedding,
    ReportUnavailable,
    RequestEmbedding,
    RevealEmbedding,
    commitment,
    job_key,
    price,
)
from .machine import Applied, Tip, apply, examine, found, money_in
from .members import MEMBERS, LeaveValidator, Member, RegisterValidator, UpdateValidator
from .pools import POOLS
from .proofs import Checkpoint, ReceiptFile, check_checkpoint, verify_receipt
from .receipts import CommitRecord, JobReceipt, TransactionReceipt, leaf_hash, proof, record_digest
from .settlement import DONE
from .shards import JOBS, Job
from .stakes import DELEGATIONS, STAKES, SetCommission, Stake, Unstake, delegation, stake_of
from .state import STATE_CEILING, STATE_FLOOR, State
from .transactions import MAX_TRANSACTION, WINDOW, SignedTransaction, Transaction, parse_wire, unsigned_bytes
from .validators import BEACON, VALIDATORS, RecordSignature, System, committee, quorum

__all__ = [
    "ACCOUNTS",
    "BEACON",
    "DELEGATIONS",
    "DONE",
    "ENCODERS",
    "EPOCH",
    "JOBS",
    "MAX_TRANSACTION",
    "MEMBERS",
    "POOLS",
    "STAKES",
    "STATE_CEILING",
    "STATE_FLOOR",
    "VALIDATORS",
    "WINDOW",
    "Account",
    "AccuseValidator",
    "Applied",
    "AttestData",
    "Checkpoint",
    "CommitEmbedding",
    "CommitRecord",
    "DataWanted",
    "Encoder",
    "EpochBegan",
    "Event",
    "Job",
    "JobChanged",
    "JobReceipt",
    "LeaveValidator",
    "Member",
    "ReceiptFile",
    "RecordSignature",
    "RecordSigned",
    "Refusal",
    "RegisterEncoder",
    "RegisterValidator",
    "ReportUnavailable",
    "ReportValidator",
    "RequestEmbedding",
    "RevealEmbedding",
    "RevealsOpen",
    "SetCommission",
    "Settled",
    "ShardDrawn",
    "SignedTransaction",
    "Stake",
    "State",
    "System",
    "Tip",
    "Transaction",
    "TransactionDone",
    "TransactionReceipt",
    "Transfer",
    "UndoReport",
    "Unstake",
    "UpdateValidator",
    "account_of",
    "apply",
    "check_checkpoint",
    "commitment",
    "committee",
    "delegation",
    "examine",
    "found",
    "job_key",
    "leaf_hash",
    "money_in",
    "parse_wire",
    "price",
    "proof",
    "quorum",
    "record_digest",
    "stake_of",
    "unsigned_bytes",
    "verify_receipt",
]
