"""Short lives of small networks, commit by commit, of which the vector files keep the commits and what they came to.

A run is replayed by applying its commits to its genesis under the plain rule (``specs/README.md``); every record, every
receipt and every outcome must be the same.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import evolve
from committee_world import Committee, Signer, account, address, committee_genesis, spread
from ledger_world import PlainRule, key

from soma_core import chain, codec, fixed
from soma_core.api import Commit
from soma_core.chain.proofs import FORMAT, Checkpoint, ReceiptFile, dump, vector_digest
from soma_core.chain.receipts import Step, leaf_hash, proof, record_digest, root
from soma_core.crypto import digest, signing_digest
from soma_core.genesis import Genesis
from soma_core.records import pack, unpack

Case = dict[str, Any]
USER, OTHER = 6, 7
BLOB = digest("soma/blob", b"data")
SALT = digest("soma/chunk", b"salt")


def as_run(world: Committee, name: str, rules: str) -> Case:
    """What `world` did, for a vector file."""
    return {
        "name": name,
        "rules": rules,
        "genesis": pack(world.genesis).hex(),
        "commits": [
            {
                "time": commit.time,
                "round": commit.round,
                "leader": commit.leader,
                "digest": commit.digest.hex(),
                "leader_system": commit.leader_system.hex(),
                "items": [[author, payload.hex()] for author, payload in commit.items],
                "record": pack(applied.record).hex(),
                "receipts": [receipt.hex() for receipt in applied.receipts],
                "outcomes": [list(outcome) for outcome in world.outcomes(applied)],
            }
            for commit, applied in zip(world.commits, world.trace[1:], strict=True)
        ],
    }


# Jobs, a step at a time. ----------------------------------------------------------------------------------------------


def answer(number: int) -> tuple[int, bytes]:
    """The honest loss and vector of the encoder of key `number`."""
    return number << 16, fixed.vector_bytes(spread(number))


def request(world: Committee, *, nonce: int = 0, size: int = 100, blob: bytes = BLOB, number: int = USER) -> bytes:
    """The transaction that asks for an embedding."""
    return world.transaction(number, "request_embedding", chain.RequestEmbedding(blob=blob, size=size, nonce=nonce))


def attest(world: Committee, job: bytes, places: Iterable[int]) -> list[bytes]:
    """The attestations of the validators at `places`."""
    return [world.transaction(account(place), "attest_data", chain.AttestData(job)) for place in places]


def seal(world: Committee, job: bytes, number: int, loss: int, vector: bytes) -> bytes:
    """The transaction that seals an answer."""
    sealed = chain.commitment(job, address(number), SALT, loss, vector)
    return world.transaction(number, "commit_embedding", chain.CommitEmbedding(job=job, commitment=sealed))


def show(world: Committee, job: bytes, number: int, loss: int, vector: bytes, salt: bytes = SALT) -> bytes:
    """The transaction that reveals an answer."""
    action = chain.RevealEmbedding(job=job, salt=salt, loss=loss, vector=vector)
    return world.transaction(number, "reveal_embedding", action)


def missing(world: Committee, job: bytes, number: int) -> bytes:
    """The transaction that says that the data could not be had."""
    return world.transaction(number, "report_unavailable", chain.ReportUnavailable(job))


def mixing(world: Committee) -> None:
    """Commits of every leader in turn, so that whatever waits for the beacon goes on."""
    for place in world.places:
        world.step(leader=place)


def drawn(world: Committee, job: bytes) -> list[int]:
    """The numbers of the keys of the encoders in the job's shard."""
    record = world.state.need(chain.JOBS, job)
    return [next(n for n in range(40) if address(n) == member.encoder) for member in record.shard]


def ask_and_draw(world: Committee, *, nonce: int = 0, blob: bytes = BLOB) -> tuple[bytes, list[int]]:
    """A job whose shard is drawn."""
    job = chain.job_key(address(USER), blob, nonce)
    world.step(request(world, nonce=nonce, blob=blob))
    world.step(*attest(world, job, world.places))
    mixing(world)
    return job, drawn(world, job)


def whole_job(world: Committee, *, nonce: int = 0, blob: bytes = BLOB) -> bytes:
    """A job from request to settlement."""
    job, shard = ask_and_draw(world, nonce=nonce, blob=blob)
    world.step(*(seal(world, job, n, *answer(n)) for n in shard))
    world.step(*(show(world, job, n, *answer(n)) for n in shard))
    mixing(world)
    return job


def begun(powers: Sequence[int] = (1,), **changes: Any) -> Committee:
    """A network whose validators' anchors are known."""
    world = Committee(genesis=committee_genesis(powers, **changes))
    world.announce()
    return world


def settled_job() -> Committee:
    """A network of one validator after one job."""
    world = begun()
    whole_job(world)
    return world


# Runs. ----------------------------------------------------------------------------------------------------------------


def transactions() -> list[Case]:
    """Rules X and A."""
    return [as_run(_admission(), "what is skipped, fails and is applied", "X2 to X8, A1 to A6"), as_run(*_window())]


def _admission() -> Committee:
    world = Committee(genesis=committee_genesis((1,)))
    sender, other = 5, address(6)
    good = chain.Transfer(other, 7)
    wire = world.transaction(sender, "transfer", good)
    unsigned, _ = codec.decode(wire)  # type: ignore[misc]
    world.step(wire, wire, codec.encode([unsigned, bytes(64)]), codec.encode([unsigned]), b"", b"\xff", wire + b"\0")
    skipped: list[dict[str, Any]] = [
        {"signer": Signer(6)},
        {"key": key(6).public, "signer": Signer(6)},
        {"chain": bytes(32)},
        {"sequence": 0},
        {"sequence": 65},
        {"fee": 9_999},
        {"fee": 10**12},
        {"signer": Signer(6), "chain": bytes(32), "fee": 0},
    ]
    world.step(*(world.transaction(sender, "transfer", good, **{"sequence": 1, **changes}) for changes in skipped))
    failing: list[tuple[str, dict[str, Any]]] = [
        ("transfer", {"to": other, "amount": 10**15}),
        ("transfer", {"to": other, "amount": -1}),
        ("transfer", {"to": other, "amount": 1 << 63}),
        ("transfer", {"to": other, "amount": 0}),
        ("transfer", {"to": other[1:], "amount": 1}),
        ("transfer", {"to": other, "amount": 1, "memo": ""}),
        ("transfer", {"to": other}),
        ("mint", {"amount": 1}),
        ("", {}),
    ]
    world.step(*(world.transaction(sender, kind, action) for kind, action in failing))
    world.step(
        world.transaction(6, "transfer", chain.Transfer(other, 5)),
        world.transaction(6, "transfer", chain.Transfer(bytes(32), 1), fee=123_456),
    )
    late = world.transaction(sender, "transfer", good, expiry=0)
    world.step(after=60_000)
    world.step(late, world.transaction(sender, "transfer", good, expiry=1 << 62, sequence=10))
    return world


def _window() -> tuple[Committee, str, str]:
    world = Committee(genesis=committee_genesis((1,)))
    for group in ((3, 1, 64), (0, 2, 3), (67, 68, 4), (5, 6, 69)):
        world.step(*(world.transaction(5, "transfer", chain.Transfer(address(6), 1), sequence=n) for n in group))
    return world, "sequence numbers in any order within the window", "A3"


def jobs() -> list[Case]:
    """Rules J."""
    stories: list[Callable[[], tuple[Committee, str, str]]] = [
        _settled,
        _four_validators,
        _silent,
        _nobody,
        _unattested,
        _unavailable,
        _beacon_stands_still,
        _refusals,
    ]
    return [as_run(*story()) for story in stories]


def _settled() -> tuple[Committee, str, str]:
    return settled_job(), "a job from request to settlement", "J1 to J26"


def _four_validators() -> tuple[Committee, str, str]:
    world = begun((4, 3, 2, 1))
    job = chain.job_key(address(USER), BLOB, 0)
    world.step(request(world))
    world.step(*attest(world, job, (0, 2)))  # power 6 of 10, where 7 are a quorum
    world.step(*attest(world, job, (3,)))
    world.step(leader=3)
    world.step(leader=1)
    world.step(leader=1)  # the same leader again counts once
    world.step(leader=0, system=world.system_of(0, link=b"\x01" * 32))  # a wrong link does not count
    world.step(leader=2)  # three leaders with power 6
    world.step(leader=0)
    shard = drawn(world, job)
    world.step(*(seal(world, job, n, *answer(n)) for n in shard))
    world.step(*(show(world, job, n, *answer(n)) for n in shard))
    mixing(world)
    return world, "a quorum attests, leaders of a quorum decide", "J4, J6"


def _silent() -> tuple[Committee, str, str]:
    world = begun()
    job, shard = ask_and_draw(world)
    world.step(*(seal(world, job, n, *answer(n)) for n in shard[1:]))
    world.step(after=60_001)
    world.step(show(world, job, shard[1], *answer(shard[1])))
    world.step(after=30_001)
    world.step()
    return world, "one member never answers, one never reveals", "J9, J12, J23"


def _nobody() -> tuple[Committee, str, str]:
    world = begun()
    ask_and_draw(world)
    world.step(after=60_001)
    world.step()
    return world, "nobody answers: pot and commission go back, the silent are fined", "J12, J24"


def _unattested() -> tuple[Committee, str, str]:
    world = begun()
    world.step(request(world))
    world.step(after=30_000)
    world.step(after=1)
    world.step(request(world))
    return world, "nobody attests, and the job cannot be asked for again", "J2, J5"


def _unavailable() -> tuple[Committee, str, str]:
    world = begun()
    job, shard = ask_and_draw(world)
    world.step(missing(world, job, shard[0]))
    world.step(missing(world, job, shard[0]), missing(world, job, shard[2]))
    return world, "half of the shard cannot get the data", "J10"


def _beacon_stands_still() -> tuple[Committee, str, str]:
    world = begun()
    job = chain.job_key(address(USER), BLOB, 0)
    world.step(request(world))
    world.step(*attest(world, job, world.places))
    for _ in range(3):
        world.step(after=10_001, system=world.system_of(0, link=None))
    return world, "no link is shown until the deadline", "J6, J7"


def _refusals() -> tuple[Committee, str, str]:
    world = begun(open_jobs=1)
    job = chain.job_key(address(USER), BLOB, 0)
    world.step(request(world, size=(16 << 20) + 1), request(world), request(world), request(world, nonce=1))
    world.step(
        world.transaction(OTHER, "attest_data", chain.AttestData(job)),
        world.transaction(account(0), "attest_data", chain.AttestData(bytes(32))),
        seal(world, job, 1, *answer(1)),
        *attest(world, job, (0, 0)),
    )
    mixing(world)
    shard = drawn(world, job)
    outsider = next(n for n in range(1, 5) if n not in shard)
    world.step(
        seal(world, job, outsider, *answer(outsider)),
        show(world, job, shard[0], *answer(shard[0])),
        *(seal(world, job, n, *answer(n)) for n in (shard[0], shard[0], shard[1])),
        missing(world, job, shard[1]),
        missing(world, job, shard[2]),
    )
    loss, vector = answer(shard[0])
    world.step(
        show(world, job, shard[0], loss + 1, vector),
        show(world, job, shard[0], loss, vector[:-2]),
        show(world, job, shard[0], loss, vector, salt=bytes(32)),
        show(world, job, shard[2], loss, vector),
        show(world, job, shard[0], loss, vector),
        show(world, job, shard[0], loss, vector),
    )
    world.step(show(world, job, shard[1], *answer(shard[1])), after=30_001)
    mixing(world)
    return world, "everything that is refused on the way", "J2 to J13"


def encoders() -> list[Case]:
    """Rules L."""
    return [as_run(*_new_weights())]


def _new_weights() -> tuple[Committee, str, str]:
    world = begun(shard_size=4)
    salt, new, frame, position = b"\x07" * 32, b"\x08" * 32, b"\x09" * 32, fixed.vector_bytes(spread(50))
    seals = {n: chain.weights_seal(address(n), salt, new, frame, position) for n in (1, 2, 3)}
    world.step(
        *(world.transaction(n, "commit_weights", chain.CommitWeights(seals[n])) for n in (2, 1, 3, 3)),
        world.transaction(USER, "commit_weights", chain.CommitWeights(seals[1])),
        world.transaction(4, "deactivate_encoder", chain.DeactivateEncoder()),
        world.transaction(4, "deactivate_encoder", chain.DeactivateEncoder()),
    )
    shown = chain.RevealWeights(salt=salt, weights=new, frame=frame, position=position)
    world.step(world.transaction(1, "reveal_weights", shown))
    world.step(after=60_000)
    world.announce()
    world.step(
        world.transaction(1, "reveal_weights", evolve(shown, salt=bytes(32))),
        *(world.transaction(n, "reveal_weights", shown) for n in (1, 1, 2)),
        world.transaction(1, "commit_weights", chain.CommitWeights(seals[1])),
    )
    whole_job(world)
    world.step(after=60_000)
    world.announce()
    world.step(world.transaction(3, "reveal_weights", shown))
    whole_job(world, nonce=1)
    return world, "two encoders renew their weights, one forgets to, one ends", "L8 to L12"


def routing() -> list[Case]:
    """Rules Y."""
    return [as_run(*_routed())]


def _routed() -> tuple[Committee, str, str]:
    world = begun(epoch_ms=1_000)
    kinds = (b"some words of English, and a few more of them. ", bytes(range(256)))
    for nonce in range(10):
        job = chain.job_key(address(USER), BLOB, nonce)
        world.step(request(world, nonce=nonce))
        said = chain.AttestData(job, chain.sketch_of(kinds[nonce % 2] * 20))
        if nonce == 0:
            world.step(world.transaction(account(0), "attest_data", chain.AttestData(job, b"short")))
        world.step(world.transaction(account(0), "attest_data", said))
        mixing(world)
        shard = drawn(world, job)
        world.step(*(seal(world, job, n, *answer(n)) for n in shard))
        world.step(*(show(world, job, n, *answer(n)) for n in shard))
        mixing(world)
        if nonce in (6, 8):
            world.step(after=1_000)
            world.announce()
    return world, "two kinds of data, two cells, and scores over three epochs", "Y3 to Y8"


def epochs() -> list[Case]:
    """Rules U and V."""
    return [as_run(*story()) for story in (_three_epochs, _long_silence, _limit, _misses, _staking, _fees, _versions)]


def _three_epochs() -> tuple[Committee, str, str]:
    world = begun((4, 3, 2, 1), epoch_ms=1_000, emission=999_999_999)
    for nonce in range(2):
        whole_job(world, nonce=nonce)
    world.step(after=1_000)
    for _ in range(2):
        world.announce()
        world.step(after=1_000)
    return world, "three epochs: winners, validators, treasury", "U1 to U6"


def _long_silence() -> tuple[Committee, str, str]:
    world = begun()
    world.step(after=59_979)
    world.step(after=1)
    world.step(after=600_000)
    world.step()
    return world, "an epoch ends with the commit that reaches its time; a long silence is one epoch", "U1, U2"


def _limit() -> tuple[Committee, str, str]:
    start = committee_genesis((1,)).supply
    world = begun(supply_limit=start + 700_000_001, emission=10**9, epoch_ms=1_000)
    for _ in range(3):
        world.step(after=1_000)
    return world, "emission ends at the supply limit", "U3"


def _fees() -> tuple[Committee, str, str]:
    world = begun(epoch_ms=1_000, fee_goal=2, fee_most=11_500)
    fees = (10_000, 10_000, 10_000, 10_000, 9_999)
    for _ in range(3):
        world.step(*(world.transaction(USER, "transfer", chain.Transfer(address(OTHER), 1), fee=fee) for fee in fees))
        world.sequences[USER] -= 1
        world.step(after=1_000)
    world.step(world.transaction(USER, "transfer", chain.Transfer(address(OTHER), 1), fee=11_500, sequence=12))
    for _ in range(4):
        world.step(after=1_000)
    return world, "the least fee rises to its ceiling and falls to its floor", "U7 to U9"


def _versions() -> tuple[Committee, str, str]:
    world = begun((4, 3, 2, 1), epoch_ms=1_000)

    def say(number: int, version: int) -> bytes:
        return world.transaction(number, "support_protocol", chain.SupportProtocol(version))

    world.step(say(USER, 2), say(account(0), 2), say(account(1), 3), say(account(3), 2))
    world.step(after=1_000)
    world.step(say(account(2), 2))
    world.step(after=1_000)
    return world, "validators say which rules they can run, until enough can", "U12 to U14"


def _staking() -> tuple[Committee, str, str]:
    world = begun(epoch_ms=1_000, unbonding_ms=2_500, evidence_ms=2_000, audit_ms=1_000)
    owner, other = address(1), address(2)
    world.step(
        world.transaction(OTHER, "stake", chain.Stake(address(OTHER), 10**9)),
        world.transaction(OTHER, "stake", chain.Stake(owner, 10**9 - 1)),
        world.transaction(OTHER, "stake", chain.Stake(owner, 1 << 60)),
        world.transaction(OTHER, "unstake", chain.Unstake(owner, 1)),
        world.transaction(OTHER, "set_commission", chain.SetCommission(1)),
        world.transaction(OTHER, "stake", chain.Stake(owner, 10**11)),
        world.transaction(USER, "stake", chain.Stake(owner, 3 * 10**10)),
        world.transaction(USER, "stake", chain.Stake(other, 10**9)),
        world.transaction(USER, "unstake", chain.Unstake(owner, 10**10)),
        world.transaction(1, "set_commission", chain.SetCommission(2_500)),
    )
    for nonce in range(3):
        world.step(after=1_000)
        world.announce()
        whole_job(world, nonce=nonce)
    world.step(
        world.transaction(OTHER, "unstake", chain.Unstake(owner, 4 * 10**10)),
        world.transaction(OTHER, "stake", chain.Stake(owner, 10**9)),
        world.transaction(USER, "unstake", chain.Unstake(owner, 1 << 60)),
    )
    world.announce()
    ask_and_draw(world, nonce=9)
    world.step(after=60_001)  # all are silent, and fined
    world.step(after=31_000)
    world.step()
    for _ in range(3):
        world.step(after=1_000)
    return world, "stake joins, earns, is fined, leaves and is released", "I7 to I17"


def _misses() -> tuple[Committee, str, str]:
    world = Committee(genesis=committee_genesis((1, 1)))
    world.step(leader=0)  # its anchor is not known yet
    world.step(leader=0)
    world.step(leader=1, system=b"")
    world.step(leader=1, system=world.system_of(1, link=None))
    world.step(leader=0, system=world.system_of(0, link=world.chain_of(0, 0).link(2)))  # shown before
    world.step(leader=0, system=world.system_of(0, link=bytes(31)))
    world.step(leader=1, system=world.system_of(0))  # another's link
    world.step(leader=1, after=60_000)
    world.step(leader=0)
    world.step(leader=1)
    return world, "missing, wrong, old and foreign links mix nothing", "V3, V4, V6"


# Receipt files. -------------------------------------------------------------------------------------------------------


def signed_by(trusted: Genesis, record: chain.CommitRecord, places: Iterable[int]) -> Checkpoint:
    """A checkpoint of `record`."""
    message = signing_digest("soma/checkpoint", trusted.chain, record.epoch, record_digest(record))
    return Checkpoint(record=record, signatures=tuple((place, Signer(100 + place).sign(message)) for place in places))


def honest_file(world: Committee, job: bytes, places: Iterable[int] = (0, 1)) -> ReceiptFile:
    """The receipt of `job`, proved by a checkpoint of the newest record."""
    done = world.state.need(chain.DONE, job)
    receipts = world.trace[done.index].receipts
    records = [applied.record for applied in world.trace[done.index :]]
    return ReceiptFile(
        format=FORMAT,
        charter=world.genesis.charter,
        handovers=(),
        receipt=receipts[done.place],
        path=proof([leaf_hash(receipt) for receipt in receipts], done.place),
        trail=tuple(records[:-1]),
        checkpoint=signed_by(world.genesis, records[-1], places),
    )


def lie(world: Committee, file: ReceiptFile, receipt: bytes | dict[str, Any]) -> ReceiptFile:
    """What a quorum that lies could sign: a record over another `receipt`."""
    leaf = receipt if isinstance(receipt, bytes) else codec.encode({**codec.decode(file.receipt), **receipt})  # type: ignore[dict-item]
    record = evolve(file.trail[0], receipts=root([leaf_hash(leaf)]))
    return evolve(file, receipt=leaf, path=(), trail=(), checkpoint=signed_by(world.genesis, record, world.places))


def receipt_files() -> tuple[str, list[Case], list[Case]]:
    """The trusted genesis, files that prove a job, and files that do not."""
    world = begun((4, 3, 2, 1))
    job, shard = ask_and_draw(world)
    world.step(*(seal(world, job, n, *answer(n)) for n in shard))
    world.step(*(show(world, job, n, *answer(n)) for n in shard))
    for place in (1, 2, 3):
        world.step(leader=place)
    some = [world.transaction(5, "transfer", chain.Transfer(address(6), n)) for n in (1, 2)]
    world.step(*some, leader=0)
    world.step()
    world.step()
    file = honest_file(world, job)
    valid = {
        "power 7 of 10 signed": file,
        "all signed": honest_file(world, job, world.places),
        "three small ones do not need the largest twice": honest_file(world, job, (0, 2, 3)),
    }
    return (
        pack(world.genesis).hex(),
        [
            {
                "name": name,
                "job": job.hex(),
                "vector_digest": vector_digest(unpack(chain.JobReceipt, each.receipt).vector).hex(),
                "file": dump(each).hex(),
            }
            for name, each in valid.items()
        ],
        [
            {"name": name, "rule": rule, "says": says, "file": dump(each).hex()}
            for name, (rule, says, each) in altered(world, file).items()
        ],
    )


def altered(world: Committee, file: ReceiptFile) -> dict[str, tuple[str, str, ReceiptFile]]:
    """Name → (rule, what the error says, file), for one alteration of `file` each."""
    record, members = file.checkpoint.record, file.checkpoint.signatures
    job = codec.decode(file.receipt)
    assert isinstance(job, dict)

    def check(**changes: Any) -> ReceiptFile:
        return evolve(file, checkpoint=evolve(file.checkpoint, **changes))

    def flipped(data: bytes, place: int = -1) -> bytes:
        changed = bytearray(data)
        changed[place] ^= 1
        return bytes(changed)

    first, *steps = file.path
    other_side = Step("left" if first.side == "right" else "right", first.sibling)
    foreign = evolve(record, committee=bytes(32))
    shard = [dict(member) for member in job["shard"]]
    weights = [member["weight"] for member in shard]
    moved = [{**m, "weight": m["weight"] + change} for m, change in zip(shard, (100, -100, 0), strict=True)]
    more = [{**shard[0], "weight": weights[0] + 1}, *shard[1:]]
    paid = [dict(payment) for payment in job["payments"]]
    short = [{**shard[0], "vector": shard[0]["vector"][:-2]}, *shard[1:]]
    void = [{**m, "vector": bytes(2 * world.genesis.parameters.dimension)} for m in shard]
    return {
        "another format": ("H9", "format", evolve(file, format="soma-receipt/1")),
        "another network's genesis": ("H10", "of chain", evolve(file, charter=evolve(file.charter, name="other"))),
        "a byte of the receipt": ("H13", "not in the commit", evolve(file, receipt=flipped(file.receipt))),
        "a step from the other side": ("H13", "not in the commit", evolve(file, path=(other_side, *steps))),
        "a sibling's byte": (
            "H13",
            "not in the commit",
            evolve(file, path=(evolve(first, sibling=flipped(first.sibling)), *steps)),
        ),
        "a step less": ("H13", "not in the commit", evolve(file, path=file.path[:-1])),
        "a step more": ("H13", "not in the commit", evolve(file, path=(*file.path, first))),
        "no trail": ("H13", "not in the commit", evolve(file, trail=())),
        "a record left out": ("H12", "does not follow", evolve(file, trail=file.trail[:1])),
        "records in the wrong order": ("H12", "does not follow", evolve(file, trail=file.trail[::-1])),
        "a record of the trail altered": (
            "H12",
            "does not follow",
            evolve(file, trail=(evolve(file.trail[0], receipts=bytes(32)), *file.trail[1:])),
        ),
        "an index altered": (
            "H12",
            "does not follow",
            evolve(
                file,
                trail=file.trail[1:2],
                checkpoint=signed_by(
                    world.genesis, evolve(record, index=9, previous=record_digest(file.trail[1])), world.places
                ),
            ),
        ),
        "the signed record altered": ("H11", "does not fit", check(record=evolve(record, time=record.time + 1))),
        "a signature altered": (
            "H11",
            "does not fit",
            check(signatures=((0, flipped(members[0][1])), members[1])),
        ),
        "a signature under another's name": (
            "H11",
            "does not fit",
            check(signatures=((0, members[0][1]), (2, members[1][1]))),
        ),
        "a signature without length": ("H11", "does not fit", check(signatures=((0, b""), members[1]))),
        "power 6 where 7 are a quorum": ("H11", "power 6", honest_file_of(world, file, (0, 2))),
        "nobody signed": ("H11", "power 0", check(signatures=())),
        "a signer twice": ("H11", "named wrongly", check(signatures=(members[0], members[0]))),
        "a signer counted from the end": ("H11", "named wrongly", check(signatures=(members[0], (-4, members[0][1])))),
        "a signer who is none": ("H11", "named wrongly", check(signatures=(*members, (4, members[0][1])))),
        "another committee": (
            "H11",
            "another committee",
            evolve(file, checkpoint=signed_by(world.genesis, foreign, world.places)),
        ),
        "a quorum lies about payments": ("H14", "do not add up", lie(world, file, {"payments": paid[1:]})),
        "a quorum lies about the pot": ("H14", "do not add up", lie(world, file, {"pot": job["pot"] + 1})),
        "a quorum lies about the dimension": ("H14", "dimensions", lie(world, file, {"dimension": 1 << 40})),
        "a quorum's weights are too much": ("H15", "add up to one", lie(world, file, {"shard": more})),
        "a quorum's weights are no one's": ("H15", "add up to one", lie(world, file, {"shard": []})),
        "a quorum's weights are others": ("H15", "not the members' mean", lie(world, file, {"shard": moved})),
        "a quorum's vector is another": (
            "H15",
            "not the members' mean",
            lie(world, file, {"vector": flipped(job["vector"], 0)}),
        ),
        "a quorum's member has half a vector": ("H15", "no job's", lie(world, file, {"shard": short})),
        "a quorum's members point nowhere": ("H15", "no job's", lie(world, file, {"shard": void})),
        "a transaction's receipt": ("H14", "no job's", lie(world, file, world.trace[-3].receipts[1])),
    }


def honest_file_of(world: Committee, file: ReceiptFile, places: Iterable[int]) -> ReceiptFile:
    """`file` with the signatures of `places`."""
    return evolve(file, checkpoint=signed_by(world.genesis, file.checkpoint.record, places))


def replayed(run: Case, rule: Any = None) -> Case:
    """The run that applying `run`'s commits makes, by the plain `rule` or another: equal if the rules are the same."""
    world = Committee(genesis=unpack(Genesis, bytes.fromhex(run["genesis"])), rule=rule or PlainRule())
    for index, commit in enumerate(run["commits"], 1):
        again = Commit(
            index=index,
            digest=bytes.fromhex(commit["digest"]),
            time=commit["time"],
            round=commit["round"],
            leader=commit["leader"],
            items=tuple((author, bytes.fromhex(payload)) for author, payload in commit["items"]),
            leader_system=bytes.fromhex(commit["leader_system"]),
        )
        world.commits.append(again)
        world._take(chain.apply(world.genesis, world.rule, world.reader, world.tip, again))
    return as_run(world, run["name"], run["rules"])
