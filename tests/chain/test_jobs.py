"""Rules J: an embed job from request to receipt, and every way it can go wrong (``specs/16-jobs.md``)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import World, key, make_genesis, unit

from soma_core import chain, fixed
from soma_core.crypto import address_of, digest
from soma_core.errors import CorruptionError
from soma_core.records import unpack

USER = 6
BLOB = digest("soma/blob", b"data")
SALT = digest("soma/chunk", b"salt")


def address(number: int) -> bytes:
    return address_of(key(number).public)


def number_of(encoder: bytes) -> int:
    return next(i for i in range(8) if address(i) == encoder)


def ask(world: World, nonce: int = 0, size: int = 100) -> bytes:
    applied = world.commit(
        world.transaction(USER, "request_embedding", chain.RequestEmbedding(blob=BLOB, size=size, nonce=nonce))
    )
    assert world.outcomes(applied) == [("applied", "")]
    return world.only(applied, chain.DataWanted).job  # type: ignore[no-any-return]


def attest(world: World, job: bytes) -> chain.Applied:
    return world.commit(world.transaction(0, "attest_data", chain.AttestData(job)))


def draw(world: World, job: bytes) -> list[int]:
    attest(world, job)
    event = world.only(world.commit(), chain.ShardDrawn)
    return [number_of(e) for e in event.encoders]


def seal(world: World, job: bytes, number: int, loss: int, vector: bytes) -> bytes:
    sealed = chain.commitment(job, address(number), SALT, loss, vector)
    return world.transaction(number, "commit_embedding", chain.CommitEmbedding(job=job, commitment=sealed))


def show(world: World, job: bytes, number: int, loss: int, vector: bytes, salt: bytes = SALT) -> bytes:
    action = chain.RevealEmbedding(job=job, salt=salt, loss=loss, vector=vector)
    return world.transaction(number, "reveal_embedding", action)


def answer(number: int) -> tuple[int, bytes]:
    return (number << 16, fixed.vector_bytes(unit(number)))


def receipt(applied: chain.Applied) -> chain.JobReceipt:
    (event,) = (e for e in applied.events if isinstance(e, chain.Settled))
    return unpack(chain.JobReceipt, event.receipt)


def test_a_job_from_request_to_receipt(world: World) -> None:
    before = world.balance(USER)
    pot, commission = chain.price(world.genesis.parameters, 100)
    job = ask(world)
    assert job == chain.job_key(address(USER), BLOB, 0)
    assert world.balance(USER) == before - pot - commission - world.genesis.parameters.fee
    shard = draw(world, job)
    assert len(set(shard)) == 3
    applied = world.commit(*(seal(world, job, n, *answer(n)) for n in shard))
    assert world.only(applied, chain.RevealsOpen).job == job
    world.commit(*(show(world, job, n, *answer(n)) for n in shard))
    stakes = {n: world.balance(n) for n in shard}
    done = receipt(world.commit())
    winner = min(shard)
    assert (done.outcome, done.winner) == ("settled", f"e{winner}")
    assert world.balance(winner) == stakes[winner] + pot
    assert [(p.to, p.amount, p.reason) for p in done.payments] == [
        (f"e{winner}", pot, "won"),
        ("validators", commission * 8 // 10, "commission"),
        ("treasury", commission - commission * 8 // 10, "commission"),
    ]
    assert [m.name for m in done.shard] == [f"e{n}" for n in shard]
    assert sum(m.weight for m in done.shard) == 1 << 16
    assert len(done.vector) == 2 * world.genesis.parameters.dimension
    assert world.state.get(chain.JOBS, job) is None


def test_the_draw_does_not_use_the_link_of_the_commit_that_completes_the_attestation(world: World) -> None:
    job = ask(world)
    applied = attest(world, job)
    assert not [e for e in applied.events if isinstance(e, chain.ShardDrawn)]
    assert not [e for e in world.commit(link=False).events if isinstance(e, chain.ShardDrawn)]
    assert [e for e in world.commit().events if isinstance(e, chain.ShardDrawn)]


def test_asking_twice_pays_once(world: World) -> None:
    ask(world)
    before = world.balance(USER)
    again = chain.RequestEmbedding(blob=BLOB, size=100, nonce=0)
    assert world.outcomes(world.commit(world.transaction(USER, "request_embedding", again))) == [("failed", "exists")]
    assert world.balance(USER) == before - world.genesis.parameters.fee
    world.commit(after=31_000)
    assert world.outcomes(world.commit(world.transaction(USER, "request_embedding", again))) == [("failed", "exists")]


def test_without_attestation_everything_comes_back(world: World) -> None:
    before = world.balance(USER)
    ask(world)
    done = receipt(world.commit(after=31_000))
    assert (done.outcome, done.why) == ("refunded", "no quorum of validators held the data in time")
    assert world.balance(USER) == before - world.genesis.parameters.fee


@pytest.mark.parametrize(
    ("sender", "code"), [(USER, "sender"), (0, "exists")], ids=["not a validator", "attested before"]
)
def test_who_may_attest(sender: int, code: str) -> None:
    world = World(make_genesis())
    job = ask(world)
    action = chain.AttestData(job)
    if code == "exists":
        world.commit(world.transaction(0, "attest_data", action))
        code = "stage"
    assert world.outcomes(world.commit(world.transaction(sender, "attest_data", action))) == [("failed", code)]


def test_a_silent_member_is_fined_and_the_others_settle(world: World) -> None:
    job = ask(world)
    shard = draw(world, job)
    stake = chain.stake_of(world.state, address(shard[0]))
    world.commit(*(seal(world, job, n, *answer(n)) for n in shard[1:]))
    assert world.only(world.commit(after=61_000), chain.RevealsOpen).job == job
    world.commit(*(show(world, job, n, *answer(n)) for n in shard[1:]))
    done = receipt(world.commit())
    silent = done.shard[0]
    assert (silent.answer, silent.weight, silent.fine) == ("silent", 0, done.pot // 10)
    assert chain.stake_of(world.state, address(shard[0])) == stake - done.pot // 10


def test_a_member_that_seals_and_never_reveals_is_silent(world: World) -> None:
    job = ask(world)
    shard = draw(world, job)
    world.commit(*(seal(world, job, n, *answer(n)) for n in shard))
    world.commit(*(show(world, job, n, *answer(n)) for n in shard[1:]))
    world.commit(after=31_000)
    assert receipt(world.commit()).shard[0].answer == "silent"


def test_nobody_answers_and_the_pot_comes_back(world: World) -> None:
    before = world.balance(USER)
    job = ask(world)
    shard = draw(world, job)
    world.commit(after=61_000)
    done = receipt(world.commit())
    assert (done.outcome, done.vector) == ("refunded", b"")
    assert world.balance(USER) == before - world.genesis.parameters.fee
    assert all(m.fine for m in done.shard)
    assert len(done.shard) == len(shard)


def test_half_of_a_shard_without_the_data_refunds_without_penalty(world: World) -> None:
    job = ask(world)
    shard = draw(world, job)
    missing = [world.transaction(n, "report_unavailable", chain.ReportUnavailable(job)) for n in shard[:2]]
    stakes = [chain.stake_of(world.state, address(n)) for n in shard]
    done = receipt(world.commit(*missing))
    assert (done.outcome, done.why) == ("refunded", "half of the shard could not get the data")
    assert [chain.stake_of(world.state, address(n)) for n in shard] == stakes


def test_what_is_revealed_must_be_what_was_sealed(world: World) -> None:
    job = ask(world)
    shard = draw(world, job)
    world.commit(*(seal(world, job, n, *answer(n)) for n in shard))
    first = shard[0]
    loss, vector = answer(first)
    wrong = [
        show(world, job, first, loss - 1, vector),
        show(world, job, first, loss, fixed.vector_bytes(unit(77))),
        show(world, job, first, loss, vector, salt=bytes(32)),
    ]
    assert world.outcomes(world.commit(*wrong)) == [("failed", "seal")] * 3
    short = show(world, job, first, loss, vector[:-2])
    assert world.outcomes(world.commit(short)) == [("failed", "vector")]
    assert world.outcomes(world.commit(show(world, job, first, loss, vector))) == [("applied", "")]
    assert world.outcomes(world.commit(show(world, job, first, loss, vector))) == [("failed", "state")]


def test_a_copied_seal_cannot_be_opened_by_the_copier(world: World) -> None:
    job = ask(world)
    first, second, _ = draw(world, job)
    sealed = chain.commitment(job, address(first), SALT, *answer(first))
    copy = world.transaction(second, "commit_embedding", chain.CommitEmbedding(job=job, commitment=sealed))
    world.commit(seal(world, job, first, *answer(first)), copy)
    world.commit(after=61_000)
    opened = world.commit(show(world, job, second, *answer(first)))
    assert world.outcomes(opened) == [("failed", "seal")]


@pytest.mark.parametrize("kind", ["commit_embedding", "reveal_embedding", "report_unavailable"])
def test_only_members_answer_and_only_in_their_stage(world: World, kind: str) -> None:
    job = ask(world)
    shard = draw(world, job)
    outsider = next(n for n in range(1, 5) if n not in shard)
    actions = {
        "commit_embedding": chain.CommitEmbedding(job=job, commitment=bytes(32)),
        "reveal_embedding": chain.RevealEmbedding(job=job, salt=SALT, loss=0, vector=answer(1)[1]),
        "report_unavailable": chain.ReportUnavailable(job),
    }
    code = "stage" if kind == "reveal_embedding" else "sender"
    assert world.outcomes(world.commit(world.transaction(outsider, kind, actions[kind]))) == [("failed", code)]
    nowhere = chain.CommitEmbedding(job=bytes(32), commitment=bytes(32))
    assert world.outcomes(world.commit(world.transaction(shard[0], "commit_embedding", nowhere))) == [("failed", "job")]


def test_late_is_late_by_commit_time(world: World) -> None:
    job = ask(world)
    shard = draw(world, job)
    late = world.commit(seal(world, job, shard[0], *answer(shard[0])), after=61_000)
    assert world.outcomes(late) == [("failed", "late")]


def test_a_loss_beyond_belief_is_taken_and_judged_invalid(world: World) -> None:
    job = ask(world)
    shard = draw(world, job)
    losses = {n: (1 << 62 if n == shard[0] else n << 16) for n in shard}
    world.commit(*(seal(world, job, n, losses[n], answer(n)[1]) for n in shard))
    world.commit(*(show(world, job, n, losses[n], answer(n)[1]) for n in shard))
    assert receipt(world.commit()).shard[0].weight == 0


def test_too_large_too_many_too_poor(world: World) -> None:
    big = chain.RequestEmbedding(blob=BLOB, size=world.genesis.parameters.max_blob + 1, nonce=1)
    assert world.outcomes(world.commit(world.transaction(USER, "request_embedding", big))) == [("failed", "size")]
    crowded = World(make_genesis(open_jobs=1))
    ask(crowded)
    second = chain.RequestEmbedding(blob=BLOB, size=1, nonce=1)
    assert crowded.outcomes(crowded.commit(crowded.transaction(USER, "request_embedding", second))) == [
        ("failed", "full")
    ]
    dear = World(make_genesis(pot=10**12))
    assert dear.outcomes(dear.commit(dear.transaction(USER, "request_embedding", second))) == [("failed", "overdraft")]


def test_a_rule_that_does_not_split_the_pot_exactly_stops_the_node(world: World) -> None:
    job = ask(world)
    shard = draw(world, job)
    world.commit(*(seal(world, job, n, *answer(n)) for n in shard))
    world.commit(*(show(world, job, n, *answer(n)) for n in shard))
    honest = world.rule.settle

    def greedy(pot: int, answers: object, settled: object) -> object:
        return honest(pot + 1, answers, settled)

    world.rule.settle = greedy
    before = dict(world.reader.data)
    with pytest.raises(CorruptionError, match="split a pot"):
        world.commit()
    assert world.reader.data == before


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("carux"), st.integers(0, 4), st.integers(1, 70_000)), max_size=25))
def test_whatever_members_do_the_job_ends_and_the_money_is_all_there(steps: list[tuple[str, int, int]]) -> None:
    world = World()
    job = ask(world)
    for step, number, wait in steps:
        payloads = []
        if step == "a":
            payloads.append(world.transaction(0, "attest_data", chain.AttestData(job)))
        elif step == "c" and number:
            payloads.append(seal(world, job, number, *answer(number)))
        elif step == "r" and number:
            payloads.append(show(world, job, number, *answer(number)))
        elif step == "u" and number:
            payloads.append(world.transaction(number, "report_unavailable", chain.ReportUnavailable(job)))
        world.commit(*payloads, after=wait if wait % 3 == 0 else 20)
    for _ in range(12):
        world.commit(after=30_000)
    assert world.state.get(chain.JOBS, job) is None
    assert world.state.need(chain.DONE, job).outcome in ("settled", "refunded")


def test_data_are_kept_until_nobody_can_ask_for_them_any_more() -> None:
    """Blobs of a job that takes as long as it may, stage by stage, and is audited and disputed in its last moment."""
    p = make_genesis(audit_ms=9_000, evidence_ms=10**6, unbonding_ms=10**7).parameters
    stages = (p.attest_ms, p.draw_ms, p.commit_ms, p.reveal_ms, p.draw_ms, p.audit_ms)
    each = p.audit_seal_ms + p.audit_reveal_ms + p.dispute_ms
    assert chain.longest_life(p) == sum(stages) + 2 * each
