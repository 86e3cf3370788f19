"""What programs ask a node about stake, validators, audits and keys that act for others, and have it do about them.

Records of `soma_core.api.control`'s operations. Money in shannons, shares in parts of 10,000, powers in parts of all.
"""

from typing import Any

from attrs import frozen

from soma_core.records import octets, text, uint


@frozen(kw_only=True)
class Act:
    """Have the node's key of `role` sign and send an action of `kind`, whose fields are those of the chain's record."""

    role: str = text(most=64)
    kind: str = text(most=32)
    action: Any


@frozen
class AskPool:
    """The pool of `owner` and what `staker` has in it; None: the node's own account."""

    owner: bytes | None
    staker: bytes | None


@frozen(kw_only=True)
class Leaving:
    """What is on its way out of a pool: `amount` is what it is worth now, `until` ms."""

    amount: int = uint()
    until: int = uint()


@frozen(kw_only=True)
class Pool:
    """A pool of stake, and one account's part in it.

    `active`, `leaving`: all of it. `commission` is the owner's now, `next_commission` from the epoch `since` on. Of the
    staker: `mine` is active, `joining` is so with the next epoch, `departures` are leaving.
    """

    owner: bytes = octets(32)
    staker: bytes = octets(32)
    active: int = uint()
    leaving: int = uint()
    commission: int = uint()
    next_commission: int = uint()
    since: int = uint()
    mine: int = uint()
    joining: int = uint()
    departures: tuple[Leaving, ...]


@frozen(kw_only=True)
class JoinCommittee:
    """Register the node's account to validate with the node's keys, and put `stake` into its pool."""

    name: str = text()
    stake: int = uint(least=1)
    commission: int = uint(most=10_000)


@frozen(kw_only=True)
class JoinEncoders:
    """Register the encoder that the node runs by `plugin` as `name`, with `stake` of the account of its own key."""

    plugin: str = text()
    name: str = text()
    stake: int = uint(least=1)


@frozen(kw_only=True)
class RenewWeights:
    """Seal new weights of the encoder that the node runs by `plugin`: a bundled name, or a path on the node's disk."""

    plugin: str = text()
    weights: str = text(most=4096)


@frozen
class PlantCanary:
    """Plant a canary of the encoder that the node runs by `plugin`."""

    plugin: str = text()


@frozen(kw_only=True)
class ValidatorEntry:
    """A validator: one with a seat (`power` above 0), or one that is only registered.

    `state`: ``seated``, ``waiting``, ``leaving``, ``down`` or ``barred``. `misses`: beacon links it owed, ever.
    `failures`: of its audits, ever. `reports`: accounts of validators that report it.
    """

    name: str = text()
    account: bytes = octets(32)
    key: bytes = octets(32)
    power: int = uint()
    stake: int = uint()
    state: str = text()
    misses: int = uint()
    failures: int = uint()
    reports: tuple[bytes, ...]


@frozen(kw_only=True)
class Validators:
    """All validators: the committee by place, then who is registered without a seat. `epoch` is that of the seats."""

    epoch: int = uint()
    validators: tuple[ValidatorEntry, ...]


@frozen
class AskAudits:
    """Of subjects whose key begins so."""

    begins: bytes = octets(most=32)


@frozen(kw_only=True)
class AuditedAnswer:
    """A member's answer, or an encoder's claim, which its `name` says too. `word`: what stands, ``none`` at first."""

    encoder: bytes = octets(32)
    name: str = text()
    word: str = text()


@frozen(kw_only=True)
class PanelEntry:
    """An auditor of an open audit. `state`: ``drawn``, ``sealed``, ``shown``. `words`: of each audited answer."""

    account: bytes = octets(32)
    state: str = text()
    words: tuple[str, ...]


@frozen(kw_only=True)
class AuditEntry:
    """What can be audited, or is. `stage`: ``sealing``, ``showing``, or ``window`` where no audit is open.

    `deadline`: ms, of the stage. `appeal`: whether somebody disputed. `answers`: by member; of an open audit those that
    it looks at.
    """

    kind: str = text()
    key: bytes = octets(32)
    stage: str = text()
    deadline: int = uint()
    appeal: bool
    answers: tuple[AuditedAnswer, ...]
    panel: tuple[PanelEntry, ...]


@frozen(kw_only=True)
class Audits:
    """Open audits, and jobs in their window, whose time ends latest first; at most so many as one answer holds.

    `left_out`: how many there are beside. `bond` of a dispute; `failures`: of this node's account, ever.
    """

    audits: tuple[AuditEntry, ...]
    left_out: int = uint()
    bond: int = uint()
    failures: int = uint()


@frozen
class AskOperators:
    """Of one account; None: the node's own."""

    address: bytes | None


@frozen(kw_only=True)
class OperatorEntry:
    """A key, by its address, that acts for an account in `role`, with `purse` for its fees."""

    address: bytes = octets(32)
    role: str = text()
    purse: int = uint()


@frozen(kw_only=True)
class Operators:
    """All keys that act for an account."""

    account: bytes = octets(32)
    operators: tuple[OperatorEntry, ...]
