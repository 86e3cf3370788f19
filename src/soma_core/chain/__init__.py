"""The ledger's rules: a pure state machine on integers, without I/O, clock or threads.

One file a subject; `machine` joins them. A node needs `found`, `apply`, what they return, and the actions it sends.
"""

from .accounts import ACCOUNTS, OPERATORS, Account, DropOperator, Operator, SetOperator, Transfer, account_of
from .audits import (
    AUDITS,
    MARKS,
    Audit,
    CommitVerdict,
    Result,
    RevealVerdict,
    subject,
    verdict_commitment,
)
from .canaries import CANARIES, ConfessCanary, PlantCanaries, canary_seal, may_lie
from .delivery import DisputeAnswer
from .encoders import ENCODERS, Encoder, RegisterEncoder
from .epochs import EPOCH
from .events import (
    AuditChanged,
    DataWanted,
    EpochBegan,
    Event,
    JobChanged,
    Paid,
    RecordSigned,
    RevealsOpen,
    Settled,
    ShardDrawn,
    TargetEnded,
    TargetHit,
    TargetOpened,
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
from .penalties import LOCKS, OFFENCES
from .pools import POOLS
from .proofs import Checkpoint, ReceiptFile, check_checkpoint, verify_receipt
from .race import HITS, RACE, SUBMISSIONS, TARGETS, Hit, Race, Submission, Target
from .receipts import CommitRecord, JobReceipt, TransactionReceipt, leaf_hash, proof, record_digest
from .settlement import DONE
from .shards import DELIVERIES, JOBS, Delivery, Job
from .sketches import sketch_of
from .stakes import DELEGATIONS, STAKES, SetCommission, Stake, Unstake, delegation, stake_of
from .state import STATE_CEILING, STATE_FLOOR, State
from .targets import ClaimTarget, SealSubmission, ShowSubmission, submission_seal
from .transactions import MAX_TRANSACTION, WINDOW, SignedTransaction, Transaction, parse_wire, unsigned_bytes
from .validators import BEACON, VALIDATORS, RecordSignature, System, committee, quorum
from .weights import NEXT_WEIGHTS, CommitWeights, DeactivateEncoder, RevealWeights, weights_seal

__all__ = [
    "ACCOUNTS",
    "AUDITS",
    "BEACON",
    "CANARIES",
    "DELEGATIONS",
    "DELIVERIES",
    "DONE",
    "ENCODERS",
    "EPOCH",
    "HITS",
    "JOBS",
    "LOCKS",
    "MARKS",
    "MAX_TRANSACTION",
    "MEMBERS",
    "NEXT_WEIGHTS",
    "OFFENCES",
    "OPERATORS",
    "POOLS",
    "RACE",
    "STAKES",
    "STATE_CEILING",
    "STATE_FLOOR",
    "SUBMISSIONS",
    "TARGETS",
    "VALIDATORS",
    "WINDOW",
    "Account",
    "AccuseValidator",
    "Applied",
    "AttestData",
    "Audit",
    "AuditChanged",
    "Checkpoint",
    "ClaimTarget",
    "CommitEmbedding",
    "CommitRecord",
    "CommitVerdict",
    "CommitWeights",
    "ConfessCanary",
    "DataWanted",
    "DeactivateEncoder",
    "Delivery",
    "DisputeAnswer",
    "DropOperator",
    "Encoder",
    "EpochBegan",
    "Event",
    "Hit",
    "Job",
    "JobChanged",
    "JobReceipt",
    "LeaveValidator",
    "Member",
    "Operator",
    "Paid",
    "PlantCanaries",
    "Race",
    "ReceiptFile",
    "RecordSignature",
    "RecordSigned",
    "Refusal",
    "RegisterEncoder",
    "RegisterValidator",
    "ReportUnavailable",
    "ReportValidator",
    "RequestEmbedding",
    "Result",
    "RevealEmbedding",
    "RevealVerdict",
    "RevealWeights",
    "RevealsOpen",
    "SealSubmission",
    "SetCommission",
    "SetOperator",
    "Settled",
    "ShardDrawn",
    "ShowSubmission",
    "SignedTransaction",
    "Stake",
    "State",
    "Submission",
    "System",
    "Target",
    "TargetEnded",
    "TargetHit",
    "TargetOpened",
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
    "canary_seal",
    "check_checkpoint",
    "commitment",
    "committee",
    "delegation",
    "examine",
    "found",
    "job_key",
    "leaf_hash",
    "may_lie",
    "money_in",
    "parse_wire",
    "price",
    "proof",
    "quorum",
    "record_digest",
    "sketch_of",
    "stake_of",
    "subject",
    "submission_seal",
    "unsigned_bytes",
    "verdict_commitment",
    "verify_receipt",
    "weights_seal",
]
