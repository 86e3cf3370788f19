"""What the chain tells the node that runs it. Events carry facts of applied commits and decide nothing."""

from attrs import frozen


@frozen
class TransactionDone:
    """A transaction was applied, failed (its fee is gone) or skipped (nothing changed). `code` is "" if applied."""

    id: bytes
    outcome: str
    code: str
    text: str


@frozen
class JobChanged:
    """A job reached a new stage."""

    job: bytes
    stage: str


@frozen
class DataWanted:
    """A job waits for validators to say that they hold its data."""

    job: bytes
    blob: bytes
    size: int
    requester: bytes


@frozen
class ShardDrawn:
    """These encoders (addresses, in draw order) shall answer `job` until `deadline`, ms."""

    job: bytes
    blob: bytes
    size: int
    encoders: tuple[bytes, ...]
    deadline: int


@frozen
class RevealsOpen:
    """The answers to `job` are sealed; their makers reveal them until `deadline`, ms."""

    job: bytes
    deadline: int


@frozen
class Settled:
    """A job has its answer, one way or the other; `receipt` is its encoded receipt, which says whether it is final."""

    job: bytes
    outcome: str
    receipt: bytes


@frozen
class Paid:
    """The audits of a delivered job are over, its money has moved; `receipt` is its final, encoded receipt."""

    job: bytes
    outcome: str
    receipt: bytes


@frozen
class AuditChanged:
    """An audit of (`kind`, `key`) is ``sealing``, ``showing`` or ``concluded``. `panel`: the auditors' accounts."""

    kind: str
    key: bytes
    stage: str
    panel: tuple[bytes, ...]


@frozen
class RecordSigned:
    """The chain counted the signature of the validator at `place` under the record of commit `index`."""

    index: int
    place: int
    signature: bytes


@frozen
class EpochBegan:
    """A new epoch."""

    number: int


@frozen
class BoundaryFailed:
    """A rule failed at the end of `epoch`, which is a fault of the rules: all of it was taken back (safe mode)."""

    epoch: int
    what: str


@frozen
class ProtocolChanged:
    """From the next commit on the rules are those of another version."""

    version: int


@frozen
class TargetOpened:
    """A target is open: who has data that an assigned encoder puts within `radius` of `point` may submit them."""

    target: int
    point: bytes
    radius: int
    loss: int
    reward: int


@frozen
class TargetHit:
    """A target was hit; the hit is paid from `claimable` on, ms, to whoever asks that it be."""

    target: int
    submitter: bytes
    encoder: bytes
    blob: bytes
    claimable: int


@frozen
class TargetEnded:
    """A target or a hit ended without pay: ``expired``, ``false``, ``missing``, ``open``; or with it: ``claimed``."""

    target: int
    how: str


Event = (
    TransactionDone
    | JobChanged
    | DataWanted
    | ShardDrawn
    | RevealsOpen
    | Settled
    | Paid
    | AuditChanged
    | TargetOpened
    | TargetHit
    | TargetEnded
    | RecordSigned
    | EpochBegan
    | BoundaryFailed
    | ProtocolChanged
)
