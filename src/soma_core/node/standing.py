"""What the chain says of stake, validators, audits and operators, as the control socket tells it: pure reading."""

from typing import Final

from soma_core import chain
from soma_core.api import standing

AUDITS_MOST: Final = 128
"""Subjects that are told at once: of the largest shards, as many as fit into one frame."""


def pool_of(state: chain.State, owner: bytes, staker: bytes) -> standing.Pool | None:
    """The pool of `owner`, and what `staker` has in it; None if there is no such pool."""
    pool = state.get(chain.STAKES, owner)
    if pool is None:
        return None
    epoch = _epoch(state)
    mine = chain.delegation(state, epoch, owner, staker)
    return standing.Pool(
        owner=owner,
        staker=staker,
        active=pool.active.balance,
        leaving=pool.leaving.balance,
        commission=chain.commission_of(pool, epoch),
        next_commission=pool.next_commission,
        since=pool.since,
        mine=pool.active.worth(mine.tokens),
        joining=mine.joining,
        departures=tuple(
            standing.Leaving(
                amount=pool.leaving.worth(pool.leaving.current(departure.tokens, departure.halvings)),
                until=int.from_bytes(key[:8], "big"),
            )
            for key, departure in state.scan(chain.DEPARTURES)
            if key[8:] == owner + staker
        ),
    )


def validators(state: chain.State) -> standing.Validators:
    """The committee by place, then who is registered without a seat."""
    members = dict(state.scan(chain.MEMBERS))
    reports: dict[bytes, list[bytes]] = {}
    for key, _ in state.scan(chain.REPORTS):
        reports.setdefault(key[:32], []).append(key[32:])
    seats = {seat.account: seat for seat in chain.committee(state)}

    def entry(account: bytes) -> standing.ValidatorEntry:
        seat, member, marks = seats.get(account), members.get(account), state.get(chain.MARKS, account)
        named = seat or member
        assert named is not None
        return standing.ValidatorEntry(
            name=named.name,
            account=account,
            key=named.key,
            power=seat.power if seat else 0,
            stake=chain.stake_of(state, account),
            state=_state(member, seated=seat is not None),
            misses=seat.misses if seat else 0,
            failures=marks.ever if marks else 0,
            reports=tuple(reports.get(account, ())),
        )

    order = [*seats, *(account for account in members if account not in seats)]
    return standing.Validators(epoch=_epoch(state), validators=tuple(entry(account) for account in order))


def _state(member: chain.Member | None, *, seated: bool) -> str:
    if member is None:
        return "seated"  # where validators have no stake, nobody is registered
    for state, holds in (("barred", member.barred), ("leaving", member.goes), ("down", member.down)):
        if holds:
            return state
    return "seated" if seated else "waiting"


def audits(state: chain.State, account: bytes, bond: int, begins: bytes = b"") -> standing.Audits:
    """Open audits and jobs in their window whose key `begins` so. `account`: whose failures are counted."""
    names = {address: encoder.name for address, encoder in state.scan(chain.ENCODERS)}

    def answer(encoder: bytes, word: str) -> standing.AuditedAnswer:
        return standing.AuditedAnswer(encoder=encoder, name=names.get(encoder, ""), word=word)

    def claim(item: chain.Item) -> standing.AuditedAnswer:
        name = f"{names.get(item.encoder, '')} {chain.ASPECTS[item.member]}"
        return standing.AuditedAnswer(encoder=item.encoder, name=name, word="none")

    def stands(delivery: chain.Delivery | None, place: int) -> str:
        return "none" if delivery is None else delivery.verdicts[place]

    deliveries = dict(state.scan(chain.DELIVERIES))
    found = []
    for _, audit in state.scan(chain.AUDITS):
        delivery = deliveries.pop(audit.key, None) if audit.kind == "embed" else None
        found.append(
            standing.AuditEntry(
                kind=audit.kind,
                key=audit.key,
                stage=audit.stage,
                deadline=audit.deadline,
                appeal=audit.appeal,
                answers=tuple(
                    claim(item) if audit.kind == "encoder" else answer(item.encoder, stands(delivery, item.member))
                    for item in audit.items
                ),
                panel=tuple(
                    standing.PanelEntry(account=each.account, state=each.state, words=each.words)
                    for each in audit.panel
                ),
            )
        )
    for key, delivery in deliveries.items():
        words = zip(delivery.job.shard, delivery.verdicts, strict=True)
        found.append(
            standing.AuditEntry(
                kind="embed",
                key=key,
                stage="window",
                deadline=delivery.deadline,
                appeal=False,
                answers=tuple(answer(member.encoder, word) for member, word in words),
                panel=(),
            )
        )
    marks = state.get(chain.MARKS, account)
    found = sorted((each for each in found if each.key.startswith(begins)), key=lambda each: -each.deadline)
    return standing.Audits(
        audits=tuple(found[:AUDITS_MOST]),
        left_out=max(0, len(found) - AUDITS_MOST),
        bond=bond,
        failures=marks.ever if marks else 0,
    )


def operators(state: chain.State, account: bytes) -> standing.Operators:
    """The keys that act for `account` now."""
    return standing.Operators(
        account=account,
        operators=tuple(
            standing.OperatorEntry(address=key[32:], role=operator.role, purse=operator.purse.balance)
            for key, operator in state.scan(chain.OPERATORS, account, account + b"\xff" * 33)
            if operator.role
        ),
    )


def _epoch(state: chain.State) -> int:
    return state.need(chain.EPOCH).number
