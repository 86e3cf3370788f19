"""What people do in a network in turmoil: a function for each kind of action, and ways to spoil what it makes.

A move returns who sends an action, or None where there is nothing to do. It is as a rule one that the chain takes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import evolve
from committee_world import Signer, address
from ledger_world import public
from turmoil import PEOPLE, USERS, VALIDATORS, Turmoil, best, keyring, one_of, people, sketch_of_kind

from soma_core import chain, codec, fixed
from soma_core.chain import hits
from soma_core.chain.accounts import OPERATORS, ROLES
from soma_core.chain.faults import REPORTS
from soma_core.chain.objections import OBJECTIONS, ReportEncoder, UndoEncoderReport
from soma_core.chain.upgrades import SupportProtocol
from soma_core.crypto import digest, signing_digest
from soma_core.genesis import OPAQUE
from soma_core.records import pack, to_value

Made = tuple[int, Any] | None
BLOBS: Final = tuple(digest("soma/blob", b"turmoil", bytes([n])) for n in range(64))
SALT: Final = digest("soma/chunk", b"turmoil")
AHEAD: Final = 40
"""Jobs of which it is known beforehand who will ask for them."""


def _amount(t: Turmoil, whole: int) -> int:
    """Some of `whole`, all of it, or a little more."""
    roll = t.random
    return max(1, roll.choice([roll.randint(0, whole), whole >> roll.randint(0, 40), whole, whole + 1]))


def _possession(t: Turmoil, owner: int, number: int) -> bytes:
    return Signer(number).sign(signing_digest("soma/possession", t.genesis.chain, 0, address(owner)))


def _owners(t: Turmoil) -> list[int]:
    return [people()[name] for name, _ in t.state.scan(chain.STAKES)]


def _encoders(t: Turmoil) -> list[int]:
    return [people()[name] for name, _ in t.state.scan(chain.ENCODERS)]


def _kind_of(blob: bytes) -> int:
    return blob[0] % 2


# Money, keys, stake. --------------------------------------------------------------------------------------------------


def transfer(t: Turmoil) -> Made:
    sender = t.random.choice(PEOPLE)
    return sender, chain.Transfer(address(t.random.choice(PEOPLE)), _amount(t, t.balance(sender) >> 8))


def set_operator(t: Turmoil) -> Made:
    sender, operator = t.random.choice(PEOPLE), t.random.randint(300, 330)
    role = t.random.choice([*sorted(ROLES), *(["validator"] if sender in VALIDATORS else ["encoder"]) * 4])
    return sender, chain.SetOperator(
        key=public(operator),
        role=role,
        purse=t.random.choice([0, 1, 100, 1000]) * t.genesis.parameters.fee,
        possession=_possession(t, sender, operator),
    )


def drop_operator(t: Turmoil) -> Made:
    named = one_of(t.random, [name for name, known in t.state.scan(OPERATORS) if known.role])
    return named and (people()[named[:32]], chain.DropOperator(public(people()[named[32:]])))


def stake(t: Turmoil) -> Made:
    sender = t.random.choice(PEOPLE)
    return sender, chain.Stake(address(t.random.choice(_owners(t))), _amount(t, t.balance(sender) >> 3))


def unstake(t: Turmoil) -> Made:
    pairs = [(people()[name[:32]], people()[name[32:]]) for name, _ in t.state.scan(chain.DELEGATIONS)]
    pair = one_of(t.random, pairs)
    if pair is None:
        return None
    owner, staker = pair
    worth = chain.stake_of(t.state, address(owner)) >> (2 if owner == staker else 0)
    return staker, chain.Unstake(address(owner), _amount(t, worth))


def set_commission(t: Turmoil) -> Made:
    return t.random.choice(_owners(t)), chain.SetCommission(t.random.choice([0, 1, 200, 5_000, 10_000]))


# Validators. ----------------------------------------------------------------------------------------------------------


def _keys(t: Turmoil, sender: int, fresh: int) -> dict[str, Any]:
    node = fresh + 100
    return {
        "key": public(fresh),
        "node": public(node),
        "possession": _possession(t, sender, fresh),
        "node_possession": _possession(t, sender, node),
        "anchor": t.chain_of(sender, t.epoch + 1).anchor,
    }


def _unused(t: Turmoil, sender: int) -> int:
    """A consensus key for `sender`: its own, or one that nobody has had."""
    member = t.state.get(chain.MEMBERS, address(sender))
    if member is not None and t.random.random() < 0.5:
        return keyring()[member.key]
    return t.random.randint(140, 199)


def register_validator(t: Turmoil) -> Made:
    sender = t.random.choice((*VALIDATORS, *USERS[:3]))
    return sender, chain.RegisterValidator(
        name=f"w{sender}",
        stake=_amount(t, max(t.balance(sender) >> 2, t.genesis.parameters.stake_least)),
        commission=t.random.randint(0, 10_000),
        **_keys(t, sender, _unused(t, sender)),
    )


def update_validator(t: Turmoil) -> Made:
    members = dict(t.state.scan(chain.MEMBERS))
    troubled = [name for name, member in members.items() if member.barred or member.down]
    name = one_of(t.random, troubled * 5 + list(members))
    return name and (people()[name], chain.UpdateValidator(**_keys(t, people()[name], _unused(t, people()[name]))))


def leave_validator(t: Turmoil) -> Made:
    members = [people()[name] for name, _ in t.state.scan(chain.MEMBERS)]
    return (t.random.choice(members), chain.LeaveValidator()) if len(members) > 3 else None


def report_validator(t: Turmoil) -> Made:
    sitting = t.sitting()
    return t.random.choice(sitting), chain.ReportValidator(address(t.random.choice(sitting)))


def undo_report(t: Turmoil) -> Made:
    name = one_of(t.random, [name for name, _ in t.state.scan(REPORTS)])
    return name and (people()[name[32:]], chain.UndoReport(name[:32]))


def accuse_validator(t: Turmoil) -> Made:
    if t.random.random() < 0.7:
        return None
    validator = t.random.choice(chain.committee(t.state))
    number, epoch = keyring()[validator.key], max(0, t.epoch - t.random.randint(0, 3))
    headers = [codec.encode([1, epoch, 7, 0, bytes([n])]) for n in (1, 2)]
    signed = [Signer(number).sign(signing_digest("soma/block", t.genesis.chain, epoch, header)) for header in headers]
    return t.random.choice(PEOPLE), chain.AccuseValidator(
        key=validator.key,
        epoch=epoch,
        first=headers[0],
        first_signature=signed[0],
        second=headers[1],
        second_signature=signed[1],
    )


def report_encoder(t: Turmoil) -> Made:
    sender = t.random.choice([*t.sitting(), t.random.choice(PEOPLE)])
    return sender, ReportEncoder(address(t.random.choice(_encoders(t))))


def undo_encoder_report(t: Turmoil) -> Made:
    name = one_of(t.random, [name for name, _ in t.state.scan(OBJECTIONS)])
    return name and (people()[name[32:]], UndoEncoderReport(name[:32]))


def support_protocol(t: Turmoil) -> Made:
    return t.random.choice(VALIDATORS), SupportProtocol(1)  # of another one this software would go no further


# Encoders. ------------------------------------------------------------------------------------------------------------


def _registration(t: Turmoil, sender: int) -> chain.RegisterEncoder:
    opaque = t.random.random() < 0.2
    return chain.RegisterEncoder(
        name=f"n{sender}",
        stake=t.genesis.parameters.encoder_stake + _amount(t, t.balance(sender) >> 3),
        weights=b"" if opaque else bytes([sender]) * 32,
        frame=b"" if opaque else bytes([sender]) * 32,
        architecture=OPAQUE if opaque else "byte-transformer-1",
        position=t.random.choice([b"", t.truth(address(sender), BLOBS[0])[1]]),
        best=b"" if opaque else best(sender),
    )


def seal_registration(t: Turmoil) -> Made:
    sender = t.random.choice(USERS)
    a = evolve(_registration(t, sender), salt=SALT)
    t.secrets["registration", sender] = a
    seal = chain.weights_seal(address(sender), a.salt, a.weights, a.frame, a.position, a.best)
    return sender, chain.SealRegistration(seal)


def register_encoder(t: Turmoil) -> Made:
    sender = t.random.choice(USERS)
    sealed = t.secrets.get(("registration", sender))
    return sender, sealed if sealed and t.random.random() < 0.8 else _registration(t, sender)


def commit_weights(t: Turmoil) -> Made:
    sender = t.random.choice(_encoders(t))
    weights, salt = digest("soma/blob", b"weights", bytes([sender, t.epoch % 256])), SALT
    opaque = t.state.need(chain.ENCODERS, address(sender)).architecture == OPAQUE
    shown = {
        "weights": b"" if opaque else weights,
        "frame": b"" if opaque else weights,
        "position": t.truth(address(sender), BLOBS[1])[1],
        "best": b"" if opaque else best(sender + 1),
    }
    t.secrets["weights", sender] = {"salt": salt, **shown}
    return sender, chain.CommitWeights(chain.weights_seal(address(sender), salt, *shown.values()))


def reveal_weights(t: Turmoil) -> Made:
    waiting = [
        people()[name]
        for name, known in t.state.scan(chain.NEXT_WEIGHTS)
        if known.shown is None and known.epoch + 1 == t.epoch
    ]
    sender = one_of(t.random, waiting or _encoders(t))
    shown = t.secrets.get(("weights", sender))
    return shown and (sender, chain.RevealWeights(**shown))


def deactivate_encoder(t: Turmoil) -> Made:
    return (t.random.choice(_encoders(t)), chain.DeactivateEncoder()) if t.random.random() < 0.3 else None


def offer_weights(t: Turmoil) -> Made:
    sender = t.random.choice(_encoders(t))
    encoder = t.state.need(chain.ENCODERS, address(sender))
    if encoder.architecture == OPAQUE:
        return None
    offer = chain.Offer(weights=encoder.weights, frame=encoder.frame, blob=t.random.choice(BLOBS), size=1000)
    return sender, chain.OfferWeights(offer)


# Jobs. ----------------------------------------------------------------------------------------------------------------


def _planned(t: Turmoil) -> list[tuple[int, bytes, int, bytes]]:
    """(requester, blob, nonce, job) of jobs that are to come."""
    first = t.secrets.get("asked", 0)
    found = []
    for place in range(first, first + AHEAD):
        requester, blob, nonce = USERS[place % len(USERS)], BLOBS[place * 7 % len(BLOBS)], place
        found.append((requester, blob, nonce, chain.job_key(address(requester), blob, nonce)))
    return found


def _lies(t: Turmoil, encoder: int, job: bytes, epoch: int) -> bool:
    """Whether an encoder answers falsely: where its canaries excuse it, and sometimes anyway."""
    secret = t.secrets.get(("canary", encoder), SALT)
    planted = t.state.get(chain.CANARIES, address(encoder))
    if planted is not None and planted.epoch < epoch and chain.may_lie(address(encoder), secret, job):
        return True
    return digest("soma/job", job, bytes([encoder]))[0] < 16


def _answer(t: Turmoil, encoder: int, job: bytes, record: chain.Job) -> tuple[int, bytes]:
    """What an encoder says of the data of a job: the truth, a lie, or nothing that is an answer."""
    blob = record.blob
    if _lies(t, encoder, job, record.epoch):
        return 1, t.truth(address(encoder + 100), blob)[1]
    kind = digest("soma/job", job, bytes([encoder]))[1]
    if kind < 6:
        return (1 << 63) - 1, bytes(2 * t.genesis.parameters.dimension)
    if kind < 12:
        return 1 << 16, b"\x00\x80" * t.genesis.parameters.dimension
    return t.truth(address(encoder), blob)


def request_embedding(t: Turmoil) -> Made:
    requester, blob, nonce, _ = _planned(t)[0]
    t.secrets["asked"] = nonce + 1
    size = t.random.choice([1, 100, 4096, t.genesis.parameters.max_blob])
    return requester, chain.RequestEmbedding(blob=blob, size=size, nonce=nonce, certain=t.random.random() < 0.2)


def _open(t: Turmoil, stage: str) -> list[tuple[bytes, chain.Job]]:
    return [(job, record) for job, record in t.state.scan(chain.JOBS) if record.stage == stage]


def attest_data(t: Turmoil) -> Made:
    found = one_of(t.random, _open(t, "attesting"))
    if found is None:
        return None
    job, record = found
    sitting = t.sitting()
    places = [place for place in range(len(sitting)) if place not in record.attested] or [0]
    sketch = sketch_of_kind(_kind_of(record.blob)) if record.blob[1] % 8 else b""
    return sitting[t.random.choice(places)], chain.AttestData(job, sketch)


def _member(t: Turmoil, stage: str, state: str) -> tuple[bytes, chain.Job, int] | None:
    choices = [
        (job, record, people()[member.encoder])
        for job, record in _open(t, stage)
        for member in record.shard
        if member.state == state
    ]
    found: tuple[bytes, chain.Job, int] | None = one_of(t.random, choices)
    return found


def commit_embedding(t: Turmoil) -> Made:
    found = _member(t, "committing", "drawn")
    if found is None:
        return None
    job, record, encoder = found
    said = _answer(t, encoder, job, record)
    t.secrets["answer", job, encoder] = said
    sealed = chain.commitment(job, address(encoder), SALT, *said)
    return encoder, chain.CommitEmbedding(job=job, commitment=sealed)


def reveal_embedding(t: Turmoil) -> Made:
    found = _member(t, "revealing", "committed")
    if found is None:
        return None
    job, _, encoder = found
    loss, vector = t.secrets.get(("answer", job, encoder), (0, b""))
    return encoder, chain.RevealEmbedding(job=job, salt=SALT, loss=loss, vector=vector)


def report_unavailable(t: Turmoil) -> Made:
    found = _member(t, "committing", "drawn") if t.random.random() < 0.3 else None
    return found and (found[2], chain.ReportUnavailable(found[0]))


# Audits. --------------------------------------------------------------------------------------------------------------


def _results(t: Turmoil, auditor: bytes, audit: chain.Audit) -> tuple[chain.Result, ...]:
    """What an auditor says: mostly the truth, sometimes what was claimed, sometimes that nothing could be had."""
    mood = digest("soma/verdict", auditor, audit.key)[0]
    if mood < 24:
        return tuple(chain.Result(loss=item.loss, vector=item.vector) for item in audit.items)
    if mood < 36:
        return tuple(chain.Result(loss=0, vector=b"") for _ in audit.items)
    found = (_found(t, audit, item) for item in audit.items)
    return tuple(chain.Result(loss=loss, vector=vector) for loss, vector in found)


def _found(t: Turmoil, audit: chain.Audit, item: chain.Item) -> tuple[int, bytes]:
    if audit.kind == "encoder":
        return 0, _checked(t, audit, item)
    if audit.kind == hits.KIND and item.vector:
        return (item.loss, item.vector) if audit.blob[2] % 4 else t.truth(item.encoder, audit.blob)
    return t.truth(item.encoder, audit.blob)


def _checked(t: Turmoil, audit: chain.Audit, item: chain.Item) -> bytes:
    """What is found of a claim: by its digest that it holds, or that something else does."""
    holds = digest("soma/verdict", pack(item), *(anchor.blob for anchor in audit.anchors))[0] % 2
    vectors = [anchor.vector for anchor in audit.anchors]
    match chain.ASPECTS[item.member]:
        case "frame":
            return b"".join(vectors if holds else vectors[1:] + vectors[:1])
        case "best":
            return item.vector if holds else bytes(len(item.vector))
    return item.vector if holds else t.truth(item.encoder, BLOBS[2])[1]


def _auditor(t: Turmoil, stage: str, state: str) -> tuple[chain.Audit, bytes] | None:
    choices = [
        (audit, auditor.account)
        for _, audit in t.state.scan(chain.AUDITS)
        if audit.stage == stage
        for auditor in audit.panel
        if auditor.state == state
    ]
    found: tuple[chain.Audit, bytes] | None = one_of(t.random, choices)
    return found


def commit_verdict(t: Turmoil) -> Made:
    found = _auditor(t, "sealing", "drawn")
    if found is None:
        return None
    audit, auditor = found
    results = _results(t, auditor, audit)
    sealed = chain.verdict_commitment(audit.kind, audit.key, auditor, SALT, results)
    return people()[auditor], chain.CommitVerdict(kind=audit.kind, key=audit.key, commitment=sealed)


def reveal_verdict(t: Turmoil) -> Made:
    found = _auditor(t, "showing", "sealed")
    if found is None:
        return None
    audit, auditor = found
    results = _results(t, auditor, audit)
    return people()[auditor], chain.RevealVerdict(kind=audit.kind, key=audit.key, salt=SALT, results=results)


def dispute_answer(t: Turmoil) -> Made:
    found = one_of(t.random, list(t.state.scan(chain.DELIVERIES)))
    if found is None or t.random.random() < 0.6:
        return None
    job, delivery = found
    condemned = [member for member, word in zip(delivery.job.shard, delivery.verdicts, strict=True) if word != "none"]
    member = t.random.choice(condemned or delivery.job.shard)
    return t.random.choice(USERS), chain.DisputeAnswer(job=job, encoder=member.encoder)


def plant_canaries(t: Turmoil) -> Made:
    encoder = t.random.choice(_encoders(t))
    if t.state.get(chain.CANARIES, address(encoder)) is not None and t.random.random() < 0.95:
        return None
    jobs = [job for *_, job in _planned(t)[5:]]
    secrets = [digest("soma/chunk", bytes([encoder]), t.random.randbytes(8)) for _ in range(160)]
    secret = max(secrets, key=lambda each: sum(chain.may_lie(address(encoder), each, job) for job in jobs))
    t.secrets["canary", encoder] = secret
    return encoder, chain.PlantCanaries(chain.canary_seal(address(encoder), secret))


def confess_canary(t: Turmoil) -> Made:
    found = [
        (job, people()[member.encoder])
        for job, delivery in t.state.scan(chain.DELIVERIES)
        for member, word in zip(delivery.job.shard, delivery.verdicts, strict=True)
        if word == "false" and ("canary", people()[member.encoder]) in t.secrets
    ]
    if not found:
        return None
    job, encoder = t.random.choice(found)
    return encoder, chain.ConfessCanary(job=job, secret=t.secrets["canary", encoder])


# The race. ------------------------------------------------------------------------------------------------------------


def seal_submission(t: Turmoil) -> Made:
    found = one_of(t.random, list(t.state.scan(chain.TARGETS)))
    if found is None:
        return None
    number, target = int.from_bytes(found[0], "big"), found[1]
    hunter = t.random.choice(PEOPLE)
    near = fixed.vector_bytes(-fixed.vector_from_bytes(target.point, t.genesis.parameters.dimension))
    shown = {
        "target": number,
        "salt": SALT,
        "blob": t.random.choice([t.random.choice(BLOBS), t.random.randbytes(32)]),
        "encoder": t.random.choice(target.encoders).encoder,
        "loss": t.random.choice([0, 1 << 14, target.loss, target.loss + 1]),
        "vector": near if t.random.random() < 0.2 else target.point,
    }
    t.secrets["hunt", number, hunter] = shown
    sealed = chain.submission_seal(
        number, address(hunter), *(shown[name] for name in ("salt", "blob", "encoder", "loss", "vector"))
    )
    size = t.random.choice([1, 1000, t.genesis.parameters.target_bytes])
    return hunter, chain.SealSubmission(target=number, commitment=sealed, size=size)


def show_submission(t: Turmoil) -> Made:
    waiting = [
        (int.from_bytes(name[:8], "big"), people()[name[8:]])
        for name, submission in t.state.scan(chain.SUBMISSIONS)
        if submission.state == "sealed"
    ]
    found = one_of(t.random, [pair for pair in waiting if ("hunt", *pair) in t.secrets])
    return found and (found[1], chain.ShowSubmission(**t.secrets["hunt", *found]))


def claim_target(t: Turmoil) -> Made:
    name = one_of(t.random, [name for name, _ in t.state.scan(chain.HITS)])
    return name and (t.random.choice(PEOPLE), chain.ClaimTarget(int.from_bytes(name, "big")))


MOVES: Final[Mapping[str, tuple[float, Callable[[Turmoil], Made]]]] = {
    "transfer": (8, transfer),
    "set_operator": (4, set_operator),
    "drop_operator": (1, drop_operator),
    "stake": (4, stake),
    "unstake": (4, unstake),
    "set_commission": (2, set_commission),
    "register_validator": (4, register_validator),
    "update_validator": (4, update_validator),
    "leave_validator": (0.5, leave_validator),
    "report_validator": (2, report_validator),
    "undo_report": (2, undo_report),
    "accuse_validator": (1, accuse_validator),
    "report_encoder": (1.5, report_encoder),
    "undo_encoder_report": (1, undo_encoder_report),
    "support_protocol": (1, support_protocol),
    "seal_registration": (2, seal_registration),
    "register_encoder": (2, register_encoder),
    "commit_weights": (2, commit_weights),
    "reveal_weights": (3, reveal_weights),
    "deactivate_encoder": (1, deactivate_encoder),
    "offer_weights": (2, offer_weights),
    "request_embedding": (6, request_embedding),
    "attest_data": (20, attest_data),
    "commit_embedding": (25, commit_embedding),
    "reveal_embedding": (25, reveal_embedding),
    "report_unavailable": (3, report_unavailable),
    "commit_verdict": (16, commit_verdict),
    "reveal_verdict": (16, reveal_verdict),
    "dispute_answer": (3, dispute_answer),
    "plant_canaries": (8, plant_canaries),
    "confess_canary": (30, confess_canary),
    "seal_submission": (6, seal_submission),
    "show_submission": (10, show_submission),
    "claim_target": (6, claim_target),
}
"""Kind of action → how often it is tried, and what makes it."""

# Who does it, and how it is spoiled. ----------------------------------------------------------------------------------

_INTEGERS: Final = (-1, 0, 1, 2, 1 << 31, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63)


def anything(t: Turmoil) -> bytes:
    """A payload of any kind, as a rule a transaction that can be done."""
    roll = t.random
    kinds, weights = zip(*((kind, weight) for kind, (weight, _) in MOVES.items()), strict=True)
    made: Made = None
    while made is None:
        (kind,) = roll.choices(kinds, weights)
        made = MOVES[kind][1](t)
    number, action = made
    value = to_value(action)
    if roll.random() < 0.10 and kind != "support_protocol":
        value = spoiled(t, value)
    if roll.random() < 0.03:
        number = roll.choice(PEOPLE)
    if roll.random() < 0.005:
        kind = "mint"
    wire = t.sent(number, kind, value, **(_odd(t) if roll.random() < 0.03 else {}))
    t.secrets.setdefault("wires", []).append(wire)
    return _broken(t, wire) if roll.random() < 0.02 else wire


def spoiled(t: Turmoil, value: dict[str, Any]) -> dict[str, Any]:
    """An action with one of its fields altered, missing, or one too many."""
    roll = t.random
    changed = dict(value)
    if not changed or roll.random() < 0.1:
        changed["more"] = 1
        return changed
    name = roll.choice(sorted(changed))
    if roll.random() < 0.1:
        del changed[name]
        return changed
    match changed[name]:
        case bool(old):
            changed[name] = not old
        case int(old):
            changed[name] = roll.choice([old + 1, old - 1, *_INTEGERS[1:-1]]) % (1 << 63)
        case bytes(old):
            changed[name] = roll.choice([b"", bytes(len(old)), roll.randbytes(len(old)), old[:-1], old + b"\0"])
        case str(old):
            changed[name] = roll.choice(["", old + "x", "x" * 65, "treasury"])
        case dict(old):
            changed[name] = spoiled(t, old)
        case list(old) | tuple(old):
            changed[name] = roll.choice([[], [*old, *old], list(old)[:-1]])
    return changed


def _odd(t: Turmoil) -> dict[str, Any]:
    """An envelope that is not as it should be."""
    roll = t.random
    return roll.choice(
        [
            {"chain": bytes(32)},
            {"expiry": max(0, t.epoch - 1)},
            {"fee": 0},
            {"fee": (1 << 63) - 1},
            {"fee": t.genesis.parameters.fee * roll.randint(1, 9)},
            {"sequence": roll.choice([0, 1, 1000, (1 << 63) - 1])},
            {"signer": Signer(roll.choice(PEOPLE))},
            {"key": public(roll.choice(PEOPLE))},
        ]
    )


def _broken(t: Turmoil, wire: bytes) -> bytes:
    """No transaction, or one that was there before."""
    roll = t.random
    place = roll.randrange(len(wire))
    return roll.choice(
        [
            b"",
            roll.randbytes(40),
            wire[:place],
            wire[:place] + bytes([wire[place] ^ 1 << roll.randrange(8)]) + wire[place + 1 :],
            roll.choice(t.secrets["wires"]),
            codec.encode([wire, wire]),
        ]
    )
