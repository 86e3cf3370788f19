"""Short lives of networks whose validators have stake, and receipts under a later committee, for the vector files."""

from typing import Any, Final

from attrs import evolve
from committee_world import Committee, Signer, account, address, committee_genesis
from ledger_world import key
from replays import BLOB, OTHER, USER, Case, as_run, honest_file, settled_job, signed_by

from soma_core import chain, codec
from soma_core.chain.proofs import Checkpoint, Handover, ReceiptFile, dump
from soma_core.chain.receipts import committee_digest, record_digest, root_from
from soma_core.crypto import signing_digest
from soma_core.genesis import check
from soma_core.records import pack

SOMA: Final = 10**9
SHORT: Final = {"epoch_ms": 1_000, "unbonding_ms": 9_000, "evidence_ms": 5_000, "audit_ms": 1_000}
OPERATOR: Final = 70


def members() -> list[Case]:
    """Rules V, A and L."""
    return [as_run(*story()) for story in (_joining, _leaving, _reports, _accused, _operators, _objections)]


def staked() -> Committee:
    """Four validators with 100 to 400 SOMA of stake, whose anchors are known."""
    genesis = committee_genesis((1, 1, 1, 1), **SHORT)
    founders = tuple(evolve(v, stake=(place + 1) * 100 * SOMA) for place, v in enumerate(genesis.validators))
    world = Committee(genesis=check(evolve(genesis, validators=founders)))
    world.announce()
    return world


def possession(world: Committee, owner: int, number: int) -> bytes:
    """The signature of a key under an owner's address."""
    return Signer(number).sign(signing_digest("soma/possession", world.genesis.chain, 0, address(owner)))


def keys(world: Committee, owner: int, place: int) -> dict[str, Any]:
    """Keys and an anchor for the next epoch, shown to be `owner`'s."""
    return {
        "key": key(100 + place).public,
        "node": key(200 + place).public,
        "possession": possession(world, owner, 100 + place),
        "node_possession": possession(world, owner, 200 + place),
        "anchor": world.chain_of(place, world.epoch + 1).anchor,
    }


def joins(world: Committee, owner: int, place: int, **changes: Any) -> bytes:
    """The transaction that registers a validator."""
    fields = {"name": f"v{place}", "stake": 500 * SOMA, "commission": 1_000, **keys(world, owner, place), **changes}
    return world.transaction(owner, "register_validator", chain.RegisterValidator(**fields))


def _joining() -> tuple[Committee, str, str]:
    world = staked()
    world.step(
        joins(world, 1, 4),
        joins(world, USER, 4, name="v0"),
        joins(world, USER, 4, key=key(100).public),
        joins(world, USER, 4, node_possession=bytes(64)),
        joins(world, USER, 4, stake=1),
        joins(world, USER, 4),
        joins(world, USER, 4),
        joins(world, OTHER, 5, stake=SOMA),
    )
    world.step(after=1_000)
    world.announce()
    world.step(leader=4)
    world.step(world.transaction(USER, "stake", chain.Stake(address(OTHER), SOMA)))
    world.step(after=1_000)
    return world, "validators register; one has too little of all stake until somebody stakes with it", "V10 to V19"


def _leaving() -> tuple[Committee, str, str]:
    world = staked()
    update = chain.UpdateValidator(**keys(world, account(1), 9))
    world.step(
        world.transaction(USER, "leave_validator", chain.LeaveValidator()),
        world.transaction(account(3), "leave_validator", chain.LeaveValidator()),
        world.transaction(account(1), "update_validator", update),
        world.transaction(account(2), "update_validator", chain.UpdateValidator(**keys(world, account(2), 9))),
    )
    world.step(after=1_000)
    world.step(leader=2)
    return world, "a validator leaves, another has other keys, when the epoch ends", "V16 to V20"


def _reports() -> tuple[Committee, str, str]:
    world = staked()
    world.step(after=1_000)

    def say(number: int, kind: str, accused: int) -> bytes:
        action = {"report_validator": chain.ReportValidator, "undo_report": chain.UndoReport}[kind](address(accused))
        return world.transaction(number, kind, action)

    world.step(
        say(USER, "report_validator", account(0)),
        say(account(0), "report_validator", account(0)),
        *(say(account(place), "report_validator", account(0)) for place in (1, 2, 3)),
        say(account(1), "report_validator", account(0)),
        say(account(2), "report_validator", account(3)),
        say(account(2), "undo_report", account(3)),
        say(account(2), "undo_report", account(3)),
    )
    world.step(after=1_000)
    return world, "a validator that a quorum has reported loses half of its part", "V21 to V23"


def _accused() -> tuple[Committee, str, str]:
    world = staked()
    world.step(after=1_000)
    headers = [codec.encode([1, 0, 7, 3, rest]) for rest in (b"a", b"b")]
    place = 3

    def accuse(**changes: Any) -> bytes:
        signatures = [
            Signer(100 + place).sign(signing_digest("soma/block", world.genesis.chain, 0, header)) for header in headers
        ]
        fields = {
            "key": key(100 + place).public,
            "epoch": 0,
            "first": headers[0],
            "first_signature": signatures[0],
            "second": headers[1],
            "second_signature": signatures[1],
            **changes,
        }
        return world.transaction(USER, "accuse_validator", chain.AccuseValidator(**fields))

    other = codec.encode([1, 0, 8, 3, b"a"])
    world.step(
        accuse(key=key(1).public),
        accuse(epoch=2),
        accuse(second=headers[0]),
        accuse(second=other),
        accuse(second_signature=bytes(64)),
        accuse(),
        accuse(),
    )
    world.step(after=1_000)
    return world, "two headers of one slot cost a twentieth, and the seat", "V24 to V27"


def _operators() -> tuple[Committee, str, str]:
    world = staked()
    owner = 1

    def sets(**changes: Any) -> bytes:
        fields = {
            "key": key(OPERATOR).public,
            "role": "encoder",
            "purse": 25_000,
            "possession": possession(world, owner, OPERATOR),
            **changes,
        }
        return world.transaction(owner, "set_operator", chain.SetOperator(**fields))

    def acts(kind: str, action: object, sequence: int) -> bytes:
        by = {"signer": Signer(OPERATOR), "key": key(OPERATOR).public}
        return world.transaction(owner, kind, action, sequence=sequence, **by)

    gone = chain.ReportUnavailable(bytes(32))
    world.step(
        acts("report_unavailable", gone, 0),
        sets(role="owner"),
        sets(possession=bytes(64)),
        sets(purse=10**15),
        sets(),
        acts("report_unavailable", gone, 0),
        acts("transfer", chain.Transfer(address(OTHER), 1), 1),
        acts("report_unavailable", gone, 1),
        acts("report_unavailable", gone, 2),
        sets(role="validator", purse=10_000),
        acts("report_unavailable", gone, 2),
        acts("undo_report", chain.UndoReport(address(account(0))), 2),
    )
    drop = chain.DropOperator(key(OPERATOR).public)
    world.step(*(world.transaction(owner, "drop_operator", drop) for _ in range(2)), sets(purse=10_000))
    world.step(acts("report_unavailable", gone, 0), acts("report_unavailable", gone, 3))
    return world, "a key acts for an account in its role, pays from its purse, and does so no more", "A8 to A12"


def _objections() -> tuple[Committee, str, str]:
    world = staked()
    world.step(after=1_000)

    def say(number: int, accused: int, *, undo: bool = False) -> bytes:
        if undo:
            return world.transaction(number, "undo_encoder_report", chain.UndoEncoderReport(address(accused)))
        return world.transaction(number, "report_encoder", chain.ReportEncoder(address(accused)))

    world.step(
        say(USER, 2),
        say(account(0), USER),
        *(say(account(place), 2) for place in (1, 2, 3)),
        say(account(1), 2),
        *(say(account(place), 3) for place in (1, 2, 3)),
        say(account(3), 3, undo=True),
        say(account(3), 3, undo=True),
    )
    world.step(after=1_000)
    return world, "an encoder that a quorum has reported is drawn no more", "L22 to L24"


# Receipts under a later committee. ------------------------------------------------------------------------------------


def handed_over(world: Committee, file: ReceiptFile, *, places: tuple[int, ...] = (0, 1, 2)) -> ReceiptFile:
    """The receipt of `file` under a second committee, which the first one named in record 0."""
    second = tuple((Signer(110 + place).public, 2_500) for place in range(4))
    named = committee_digest(second)
    first = signed_by(world.genesis, evolve(world.trace[0].record, committee=named), world.places)
    record = evolve(file.checkpoint.record, committee=named, receipts=root_from(file.receipt, file.path))
    signed = signing_digest("soma/checkpoint", world.genesis.chain, record.epoch, record_digest(record))
    signatures = tuple((place, Signer(110 + place).sign(signed)) for place in places)
    return evolve(
        file,
        handovers=(Handover(checkpoint=first, committee=second),),
        trail=(),
        checkpoint=Checkpoint(record=record, signatures=signatures),
    )


def handovers() -> Case:
    """Files that handovers lead through: from genesis, or from a newer record that is trusted (H16, H17)."""
    world = settled_job()
    file = handed_over(world, honest_file(world, chain.job_key(address(USER), BLOB, 0), (0,)))
    (handover,) = file.handovers
    basis = record_digest(handover.checkpoint.record)
    own = record_digest(file.checkpoint.record)
    unsigned = evolve(handover, checkpoint=evolve(handover.checkpoint, signatures=()))
    stranger = evolve(handover, committee=((Signer(120).public, 10_000),))
    stale = evolve(file, handovers=(unsigned,))
    cases: dict[str, tuple[ReceiptFile, bytes | None, str]] = {
        "three of the second committee's four signed": (file, None, ""),
        "two of them did": (handed_over(world, file, places=(0, 1)), None, "a quorum of 6667 is needed"),
        "the first committee did not sign": (stale, None, "where a quorum of"),
        "its record is trusted itself": (stale, basis, ""),
        "it names others than it is said to": (evolve(file, handovers=(stranger,)), None, "names another committee"),
        "the trusted record names others": (evolve(stale, handovers=(stranger,)), basis, "names others"),
        "the handover is left out": (evolve(file, handovers=()), None, "another committee than the trusted"),
        "the trusted record is not on the way": (file, bytes(32), "does not lead through"),
        "the checkpoint's record is trusted": (
            evolve(stale, checkpoint=evolve(file.checkpoint, signatures=())),
            own,
            "",
        ),
    }
    return {
        "trusted": pack(world.genesis).hex(),
        "files": [
            {"name": name, "basis": None if basis_ is None else basis_.hex(), "says": says, "file": dump(each).hex()}
            for name, (each, basis_, says) in cases.items()
        ],
    }
