"""Who may validate: registration, and the committee that is made of it when an epoch begins.

A network whose first validators have no stake keeps them for good. Else anybody with enough of all stake has a seat.
Rules V13 to V20 of ``specs/14-validators.md``.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core.crypto import KEY_SIZE, SIGNATURE_SIZE, signing_digest, verify
from soma_core.genesis import NAME_MOST, SUPPLY_MOST, Genesis, is_name
from soma_core.genesis import Validator as Founder
from soma_core.records import octets, text, uint

from . import jobs, race, validators
from .encoders import ENCODERS
from .execution import BASIS, Execution, Handler, Refusal
from .powers import voting_powers
from .stakes import STAKES, open_pool, put_in, stake_of
from .state import State, Table
from .validators import Validator, committee

MEMBERS_MOST: Final = 1_024
"""Accounts that are registered to validate, in the committee or not."""
COMMISSION_GENESIS: Final = 200
"""Parts of 10,000: what validators of genesis keep until they say otherwise."""


@frozen(kw_only=True)
class Member:
    """Who is registered. `number`: in the order of registration. `low`: epochs in a row with little stake.

    `anchor` is that of the epoch `anchor_epoch`. `barred`: proven false, until it has another key. `down`: it was
    absent, until it says that it is back. `goes`: it leaves when the epoch ends.
    """

    name: str = text()
    key: bytes = octets(KEY_SIZE)
    node: bytes = octets(KEY_SIZE)
    number: int = uint()
    anchor: bytes = octets(most=32, default=b"")
    anchor_epoch: int = uint(default=0)
    low: int = uint(default=0)
    barred: bool = False
    down: bool = False
    goes: bool = False


@frozen
class MemberCount:
    """How many were ever registered."""

    count: int = uint(default=0)


@frozen
class KeyOwner:
    """Whose consensus key it is, or was: nobody else can ever register it."""

    account: bytes = octets(32)


MEMBERS: Final = Table("member", 0x17, Member)
MEMBER_COUNT: Final = Table("member count", 0x1B, MemberCount)
KEYS: Final = Table("consensus key", 0x1C, KeyOwner)


@frozen(kw_only=True)
class Seat:
    """A place in the committee of an epoch. `node`: of its validator, 32 zero bytes if nobody knows it any more."""

    name: str = text()
    key: bytes = octets(KEY_SIZE)
    node: bytes = octets(KEY_SIZE)
    power: int = uint()


def seats(genesis: Genesis, state: State) -> tuple[Seat, ...]:
    """The committee by place, with the nodes its members have named."""
    founders = {founder.key: founder.node for founder in genesis.validators}
    nodes = {account: member.node for account, member in state.scan(MEMBERS)}
    return tuple(
        Seat(name=v.name, key=v.key, node=nodes.get(v.account, founders.get(v.key, bytes(KEY_SIZE))), power=v.power)
        for v in committee(state)
    )


def found(state: State, founders: tuple[Founder, ...]) -> None:
    """Register the validators of genesis, if they have stake."""
    state.put(MEMBER_COUNT, b"", MemberCount())
    for founder in founders:
        if founder.stake:
            open_pool(state, founder.account, founder.stake, COMMISSION_GENESIS)
            _enlist(state, founder.account, Member(name=founder.name, key=founder.key, node=founder.node, number=0))


def on_epoch(run: Execution) -> None:
    """Make the committee of the epoch that begins. If nobody has enough stake, the old one stays."""
    members = dict(run.state.scan(MEMBERS))
    for account in [account for account, member in members.items() if member.goes]:
        run.state.delete(MEMBERS, account)
        del members[account]
    chosen = _chosen(run, members)
    if not chosen:
        validators.on_epoch(run)
        return
    sitting = {validator.account: validator for validator in committee(run.state)}
    powers = voting_powers([(stake_of(run.state, account), account) for account in chosen])
    rows = [
        _row(run, account, members[account], power, sitting.get(account))
        for account, power in zip(chosen, powers, strict=True)
    ]
    moved = validators.seat(run, rows)
    jobs.follow(run, moved)
    race.follow(run.state, moved)


def _chosen(run: Execution, members: Mapping[bytes, Member]) -> list[bytes]:
    """Accounts of the next committee, in the order of registration; how long each had little stake is noted."""
    p = run.parameters
    able = {
        account: stake_of(run.state, account)
        for account, member in members.items()
        if not (member.barred or member.down)
    }
    total = sum(able.values())
    if not total:
        return []
    sitting = {validator.account for validator in committee(run.state)}
    chosen = []
    for account, stake in able.items():
        member = members[account]
        if account not in sitting:
            low, stays = 0, stake * BASIS >= p.validator_join * total
        else:
            low = member.low + 1 if stake * BASIS < p.validator_low * total else 0
            stays = low <= p.validator_grace and stake * BASIS >= p.validator_drop * total
        low = low if stays else 0
        if low != member.low:
            run.state.put(MEMBERS, account, evolve(member, low=low))
        if stays:
            chosen.append(account)
    largest = sorted(chosen, key=lambda account: (-able[account], members[account].number))[: p.committee_most]
    return sorted(largest, key=lambda account: members[account].number)


def _row(run: Execution, account: bytes, member: Member, power: int, sat: Validator | None) -> Validator:
    if sat is not None:
        return evolve(
            sat,
            name=member.name,
            key=member.key,
            power=power,
            link=sat.next_anchor,
            link_round=0,
            next_anchor=None,
            absent=0,
        )
    anchor = member.anchor if member.anchor and member.anchor_epoch == run.epoch + 1 else None
    return Validator(name=member.name, key=member.key, account=account, power=power, link=anchor)


@frozen(kw_only=True)
class RegisterValidator:
    """Register the sender to validate, and put `stake` into its pool.

    `possession`, `node_possession`: signatures of the two keys under the sender's address. `anchor`: of the hash chain
    of the next epoch.
    """

    name: str = text(most=NAME_MOST)
    key: bytes = octets(KEY_SIZE)
    node: bytes = octets(KEY_SIZE)
    possession: bytes = octets(SIGNATURE_SIZE)
    node_possession: bytes = octets(SIGNATURE_SIZE)
    anchor: bytes = octets(32)
    stake: int = uint(least=1, most=SUPPLY_MOST)
    commission: int = uint(most=BASIS)


@frozen(kw_only=True)
class UpdateValidator:
    """Other keys from the next epoch on, and an anchor for it; who was down is back. Keys that stay are named again."""

    key: bytes = octets(KEY_SIZE)
    node: bytes = octets(KEY_SIZE)
    possession: bytes = octets(SIGNATURE_SIZE)
    node_possession: bytes = octets(SIGNATURE_SIZE)
    anchor: bytes = octets(32)


@frozen
class LeaveValidator:
    """Validate no more when the epoch ends. The pool stays."""


def _register(run: Execution, sender: bytes, action: RegisterValidator) -> None:
    if not run.state.count(MEMBERS) and not any(founder.stake for founder in run.genesis.validators):
        raise Refusal("fixed", "the validators of this network have no stake: they stay as they are")
    if run.state.get(MEMBERS, sender) is not None or run.state.get(ENCODERS, sender) is not None:
        raise Refusal("exists", "this account has a validator or an encoder already")
    if run.state.count(MEMBERS) >= MEMBERS_MOST:
        raise Refusal("full", f"{MEMBERS_MOST} validators are registered")
    if not is_name(action.name) or any(member.name == action.name for _, member in run.state.scan(MEMBERS)):
        raise Refusal("name", f"{action.name!r} is no name, or taken: ASCII letters, digits and _ make one")
    _check_keys(run, sender, action)
    if run.state.get(STAKES, sender) is None:
        open_pool(run.state, sender, 0, action.commission)
    put_in(run, sender, sender, action.stake)
    member = Member(
        name=action.name,
        key=action.key,
        node=action.node,
        number=0,
        anchor=action.anchor,
        anchor_epoch=run.epoch + 1,
    )
    _enlist(run.state, sender, member)


def _update(run: Execution, sender: bytes, action: UpdateValidator) -> None:
    member = _need_member(run, sender)
    _check_keys(run, sender, action)
    run.state.put(KEYS, action.key, KeyOwner(sender))
    changed = evolve(
        member,
        key=action.key,
        node=action.node,
        anchor=action.anchor,
        anchor_epoch=run.epoch + 1,
        barred=member.barred and action.key == member.key,
        down=False,
    )
    run.state.put(MEMBERS, sender, changed)


def _leave(run: Execution, sender: bytes, _action: LeaveValidator) -> None:
    run.state.put(MEMBERS, sender, evolve(_need_member(run, sender), goes=True))


ACTIONS: Final[Mapping[str, Handler]] = {
    "register_validator": Handler(RegisterValidator, _register),
    "update_validator": Handler(UpdateValidator, _update),
    "leave_validator": Handler(LeaveValidator, _leave),
}


def _check_keys(run: Execution, sender: bytes, action: RegisterValidator | UpdateValidator) -> None:
    """Nobody else's, and the sender's own: each has signed its address."""
    owner = run.state.get(KEYS, action.key)
    others = {member.node for account, member in run.state.scan(MEMBERS) if account != sender}
    if (owner is not None and owner.account != sender) or action.node in others:
        raise Refusal("key", "another validator has this key or this node")
    signed = signing_digest("soma/possession", run.genesis.chain, 0, sender)
    for key, signature in ((action.key, action.possession), (action.node, action.node_possession)):
        if not verify(key, signed, signature):
            raise Refusal("possession", f"the key {key.hex()[:12]} has not signed the sender's address")


def _need_member(run: Execution, sender: bytes) -> Member:
    member = run.state.get(MEMBERS, sender)
    if member is None:
        raise Refusal("sender", "this account is no registered validator")
    return member


def _enlist(state: State, account: bytes, member: Member) -> None:
    count = state.need(MEMBER_COUNT).count
    state.put(MEMBERS, account, evolve(member, number=count))
    state.put(MEMBER_COUNT, b"", MemberCount(count + 1))
    state.put(KEYS, member.key, KeyOwner(account))
