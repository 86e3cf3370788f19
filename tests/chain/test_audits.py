"""Rules AU: answers are computed again, who lied pays, and the rule is computed again (``specs/25-audits.md``)."""

from typing import Any

import pytest
from attrs import evolve
from audit_replays import confess, plant, secret_for
from audit_world import (
    NOTHING,
    accounts,
    audit_of,
    audited,
    claims,
    deliver,
    dispute,
    hear,
    hear_all,
    near,
    number_of,
    pay_day,
    result_of,
    sealed,
    shown,
    truth,
)
from committee_world import Committee, account, address
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import PlainRule
from replays import SALT, answer, ask_and_draw, begun, mixing, seal, show

from soma_core import chain
from soma_core.api import Payment, Settlement
from soma_core.chain import audits, penalties, settlement
from soma_core.chain.execution import Execution
from soma_core.crypto import digest
from soma_core.records import unpack

USER, WATCHER = 6, 5


def delivery(world: Committee, job: bytes) -> chain.Delivery:
    return world.state.need(chain.DELIVERIES, job)


def won(world: Committee, number: int) -> int:
    wins = world.state.get(chain.WINS, address(number))
    return 0 if wins is None else wins.jobs


def stake(world: Committee, number: int) -> int:
    return chain.stake_of(world.state, address(number))


def only(applied: chain.Applied, kind: type[Any]) -> Any:
    (event,) = (e for e in applied.events if isinstance(e, kind))
    return event


def paid(applied: chain.Applied) -> chain.JobReceipt:
    return unpack(chain.JobReceipt, only(applied, chain.Paid).receipt)


def certain(**changes: int) -> Committee:
    """Every winner is audited: no stake is worth a hundred pots."""
    return audited(pot=10**10, **changes)


# The honest way. ------------------------------------------------------------------------------------------------------


def test_the_vector_is_out_at_once_and_the_winner_is_paid_after_the_window() -> None:
    world = certain()
    before = {n: world.balance(n) for n in (1, 2, 3, 4, USER)}
    job, shard = deliver(world)
    pot, commission = chain.price(world.genesis.parameters, 100)
    applied = next(a for a in world.trace if any(isinstance(e, chain.Settled) for e in a.events))
    receipt = unpack(chain.JobReceipt, only(applied, chain.Settled).receipt)
    assert (receipt.outcome, receipt.final, receipt.sampled) == ("settled", False, False)
    assert receipt.due == delivery(world, job).deadline == receipt.time + world.genesis.parameters.audit_ms
    assert receipt.vector
    winner = min(shard)
    assert receipt.winner == f"e{winner}"
    assert world.balance(winner) == before[winner] - 2 * world.genesis.parameters.fee
    assert world.state.get(chain.JOBS, job) is None
    hear_all(world, job)
    assert world.balance(winner) == before[winner] - 2 * world.genesis.parameters.fee
    final = paid(pay_day(world, job))
    assert world.balance(winner) == before[winner] - 2 * world.genesis.parameters.fee + pot
    assert world.balance(USER) == before[USER] - pot - commission - world.genesis.parameters.fee
    assert (final.final, final.vector, final.payments) == (True, receipt.vector, receipt.payments)
    assert [m.verdict for m in final.shard].count("honest") == 2  # the winner and one more
    assert world.state.get(chain.DELIVERIES, job) is None
    done = world.state.need(chain.DONE, job)
    assert unpack(chain.JobReceipt, world.trace[done.index].receipts[done.place]) == final


def test_nothing_is_paid_at_the_deadline_itself_nor_while_an_audit_is_open() -> None:
    world = certain(audit_ms=50_000)
    job, _ = deliver(world)
    world.step(after=50_000 - (world.tip.time - (delivery(world, job).deadline - 50_000)))
    assert world.tip.time == delivery(world, job).deadline
    assert not [e for e in world.trace[-1].events if isinstance(e, chain.Paid)]
    world.step(after=1)
    assert audit_of(world, job).stage == "sealing"
    assert delivery(world, job)
    applied = world.step(after=60_000)  # nobody seals: concluded, and everybody had time to dispute it
    assert not [e for e in applied.events if isinstance(e, chain.Paid)]
    assert delivery(world, job).deadline == world.tip.time + world.genesis.parameters.dispute_ms


def test_engines_that_differ_within_the_band_agree() -> None:
    world = certain()
    job, shard = deliver(world, honestly=near)
    hear_all(world, job)
    assert set(delivery(world, job).verdicts) <= {"none", "honest"}
    assert delivery(world, job).verdicts[shard.index(min(shard))] == "honest"


def test_without_a_window_a_job_is_paid_at_once() -> None:
    world = audited(audit_ms=0)
    job, _ = deliver(world)
    assert world.state.get(chain.DELIVERIES, job) is None
    assert world.state.need(chain.DONE, job).outcome == "settled"


def test_without_auditors_the_window_still_holds() -> None:
    world = certain(audit_quorum=0)
    job, shard = deliver(world)
    world.step()
    assert world.state.get(chain.AUDITS, chain.subject("embed", job)) is None
    assert delivery(world, job).verdicts[shard.index(min(shard))] == "honest"
    assert paid(pay_day(world, job)).winner == f"e{min(shard)}"


class Doubting(PlainRule):
    """Says of no answer what it is worth before all of them were audited."""

    def settle(self, pot: int, answers: Any, settled: Any, /) -> Settlement:
        judged = super().settle(pot, answers, settled)
        doubtful = tuple(place for place, answer in enumerate(answers) if answer.verdict == "none")
        refund = (Payment("submitter", pot, "refund"),)
        nothing = evolve(judged, outcome="refunded", vector=None, weights={}, winner=None, payments=refund)
        return evolve(nothing, reexecute=doubtful) if doubtful else nothing


def test_a_job_without_a_vector_whose_answers_are_in_doubt_is_audited_and_then_paid_back() -> None:
    world = Committee(genesis=audited().genesis, rule=Doubting())
    world.announce()
    before = world.balance(USER)
    job, _ = deliver(world)
    assert [item.member for item in audit_of(world, job).items] == [0, 1, 2]
    assert delivery(world, job).number is None
    hear_all(world, job)
    assert delivery(world, job).verdicts == ("honest",) * 3
    final = paid(pay_day(world, job))
    assert (final.outcome, final.vector, final.final) == ("refunded", b"", True)
    assert world.balance(USER) == before - world.genesis.parameters.fee
    assert world.state.count(settlement.SETTLED) == 0


def test_a_vector_that_is_kept_no_more_is_not_corrected() -> None:
    world = audited()
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 0)
    for vector in (b"", answer(1)[1]):
        settlement.correct(run, 7, vector)
    assert run.state.changes() == {}


def test_an_answer_to_a_job_without_a_pot_locks_nothing() -> None:
    world = audited()
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 0)
    penalties.lock(run, address(1), 0)
    penalties.unlock(run, address(1), 0)
    assert run.state.changes() == {}


# Liars. ---------------------------------------------------------------------------------------------------------------


def test_a_liar_loses_the_pot_and_a_tenth_and_the_next_winner_is_audited_too() -> None:
    world = certain()
    job, shard = deliver(world, liars=1)
    liar, honest = max(shard), min(shard)
    before, had = stake(world, liar), world.balance(honest)
    first = delivery(world, job)
    hear(world, job)
    after = delivery(world, job)
    assert after.verdicts[shard.index(liar)] == "false"
    if after.verdicts[shard.index(honest)] == "none":
        assert [item.member for item in audit_of(world, job).items] == [shard.index(honest)]
    hear_all(world, job)
    final = paid(pay_day(world, job))
    assert final.winner == f"e{honest}"
    assert final.shard[shard.index(liar)].slash == before // 10 == before - stake(world, liar)
    assert world.balance(honest) == had + final.pot
    assert final.shard[shard.index(liar)].weight == 0
    assert first.job.pot == final.pot
    settled = [r.vector for _, r in world.state.scan(settlement.SETTLED)]
    assert settled == [final.vector]  # the joined vector without the liar


def test_all_lie_and_the_requester_gets_everything_back() -> None:
    world = certain()
    before = world.balance(USER)
    job, _ = deliver(world, liars=3)
    hear_all(world, job)
    for _ in range(2):  # the third was neither the winner nor the one more: somebody else says so
        open_ = [p for p, v in enumerate(delivery(world, job).verdicts) if v == "none"]
        for place in open_:
            world.step(dispute(world, WATCHER, job, number_of(delivery(world, job).job.shard[place].encoder)))
            hear_all(world, job)
    final = paid(pay_day(world, job))
    assert (final.outcome, final.vector, final.winner) == ("refunded", b"", "")
    assert world.balance(USER) == before - world.genesis.parameters.fee
    assert not list(world.state.scan(settlement.SETTLED))
    assert all(member.slash for member in final.shard)


def nothing(world: Committee, job: bytes, auditors: int = 4) -> None:
    """The first `auditors` of the open audit cannot have what they should compute with."""
    audit = audit_of(world, job)
    hear(world, job, {a.account: tuple(NOTHING for _ in audit.items) for a in audit.panel[:auditors]})


def test_missing_weights_are_silence_if_the_whole_committee_cannot_have_them() -> None:
    world = certain()
    job, shard = deliver(world)
    winner = min(shard)
    nothing(world, job)
    assert delivery(world, job).verdicts[shard.index(winner)] == "none"
    whole = audit_of(world, job)
    assert (whole.appeal, [auditor.account for auditor in whole.panel]) == (True, sorted(accounts(world)))
    assert world.outcomes(world.step(dispute(world, WATCHER, job, winner))) == [("failed", "busy")]
    nothing(world, job)
    assert delivery(world, job).verdicts[shard.index(winner)] == "missing"
    hear_all(world, job)
    final = paid(pay_day(world, job))
    member = final.shard[shard.index(winner)]
    assert (member.answer, member.weight, member.slash, member.fine) == ("silent", 0, 0, final.pot // 10)
    assert final.winner != f"e{winner}"


def test_what_a_drawn_panel_could_not_have_and_the_committee_had_marks_the_panel() -> None:
    world = certain(audit_quorum=1)
    job, shard = deliver(world)
    winner = min(shard)
    (alone,) = audit_of(world, job).panel
    nothing(world, job)
    hear(world, job)
    assert delivery(world, job).verdicts[shard.index(winner)] == "honest"
    assert [where for where, _ in world.state.scan(chain.MARKS)] == [alone.account]
    hear_all(world, job)
    assert paid(pay_day(world, job)).winner == f"e{winner}"


def test_one_auditor_that_is_alone_takes_nothing_from_an_honest_encoder() -> None:
    """It may have trouble of its own, and there is nobody who could say that it has not."""
    world = begun((1,), audit_ms=1_000_000, epoch_ms=100_000_000, dispute_ms=500_000, pot=10**10)
    job, shard = deliver(world)
    stakes_ = [chain.stake_of(world.state, address(number)) for number in shard]
    for _ in range(9):
        if world.state.get(chain.AUDITS, chain.subject("embed", job)) is None:
            break
        nothing(world, job)
    final = paid(pay_day(world, job))
    assert "open" in {member.verdict for member in final.shard}
    assert [member.fine + member.slash for member in final.shard] == [0] * len(shard)
    assert [chain.stake_of(world.state, address(number)) for number in shard] >= stakes_


@pytest.mark.parametrize(("offence", "tenths"), [(0, 10), (1, 50), (2, 95), (3, 95)])
def test_the_next_offence_costs_more(offence: int, tenths: int) -> None:
    world = certain()
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 40)
    if offence:
        run.state.put(chain.OFFENCES, address(1), penalties.Offences(count=offence, epoch=10))
    before = chain.stake_of(run.state, address(1))
    assert penalties.convict(run, address(1), before // 10) == before // 10 * tenths // 10
    assert run.state.need(chain.OFFENCES, address(1)) == penalties.Offences(count=offence + 1, epoch=40)


def test_an_old_offence_is_forgiven() -> None:
    world = certain()
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 41)
    run.state.put(chain.OFFENCES, address(1), penalties.Offences(count=2, epoch=10))
    assert penalties.convict(run, address(1), 100) == 100


# Sampling and locks. --------------------------------------------------------------------------------------------------


def test_a_cheap_job_is_audited_one_time_in_ten_unless_its_requester_wants_to_be_certain() -> None:
    world = audited()
    audited_jobs = 0
    for nonce in range(40):
        job, _ = deliver(world, nonce=nonce)
        assert delivery(world, job).job.sampled
        audited_jobs += world.state.get(chain.AUDITS, chain.subject("embed", job)) is not None
    assert 1 <= audited_jobs <= 18  # of 40 winners and 40 others
    blob = digest("soma/blob", b"data")
    request = chain.RequestEmbedding(blob=blob, size=100, nonce=999, certain=True)
    world.step(world.transaction(USER, "request_embedding", request))
    assert world.state.need(chain.JOBS, chain.job_key(address(USER), blob, 999)).certain


def test_of_what_an_epoch_makes_for_winners_only_answers_that_were_checked_get_a_part() -> None:
    """J23: else a lie that is audited one time in ten would win far more than what secures one pot."""
    world = audited()
    counted: list[bool] = []
    while set(counted) != {True, False}:  # one in ten is audited
        assert len(counted) < 100
        job, shard = deliver(world, nonce=len(counted))
        hear_all(world, job)
        place = shard.index(min(shard))
        checked = delivery(world, job).verdicts[place] == "honest"
        before = won(world, min(shard))
        pay_day(world, job)
        assert won(world, min(shard)) == before + checked
        counted.append(checked)


def test_stakes_are_locked_from_the_draw_until_the_payment() -> None:
    world = audited()
    pot, _ = chain.price(world.genesis.parameters, 100)
    job, shard = deliver(world)
    for n in range(1, 5):
        lock = world.state.get(chain.LOCKS, address(n))
        assert (0 if lock is None else lock.amount) == (10 * pot if n in shard else 0)
    hear_all(world, job)
    pay_day(world, job)
    assert not list(world.state.scan(chain.LOCKS))


def test_who_has_all_its_stake_locked_is_not_drawn() -> None:
    world = certain()
    pot, _ = chain.price(world.genesis.parameters, 100)
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 0)
    run.state.put(chain.LOCKS, address(1), penalties.Lock(10**11 - pot + 1))
    assert not penalties.can_lock(run, address(1), pot)
    run.state.put(chain.LOCKS, address(1), penalties.Lock(10**11 - pot))
    assert penalties.can_lock(run, address(1), pot)


def test_a_job_that_ends_early_frees_what_it_locked() -> None:
    world = audited()
    job, shard = ask_and_draw(world)
    assert len(list(world.state.scan(chain.LOCKS))) == 3
    away = [world.transaction(n, "report_unavailable", chain.ReportUnavailable(job)) for n in shard[:2]]
    world.step(*away)
    assert not list(world.state.scan(chain.LOCKS))


# Auditors. ------------------------------------------------------------------------------------------------------------


def test_a_panel_is_drawn_by_power_and_never_judges_itself() -> None:
    world = certain()
    job, _ = deliver(world)
    audit = audit_of(world, job)
    panel = [auditor.account for auditor in audit.panel]
    assert len(set(panel)) == 3
    assert set(panel) <= set(accounts(world))
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 0)
    item = evolve(audit.items[0], encoder=accounts(world)[0])
    whole = audits.open_audit(run, "target", bytes(32), bytes(32), 1, [item], appeal=True)
    assert [a.account for a in whole.panel] == sorted(accounts(world)[1:])
    assert {a.account: a.power for a in whole.panel} == dict(zip(accounts(world)[1:], (3, 2, 1), strict=True))


def test_a_silent_auditor_accuses_nobody_and_loses_its_reward() -> None:
    world = certain(epoch_ms=2_000_000)
    job, shard = deliver(world)
    panel = [auditor.account for auditor in audit_of(world, job).panel]
    hear(world, job, {panel[0]: ()})
    hear_all(world, job)
    assert delivery(world, job).verdicts[shard.index(min(shard))] == "honest"
    assert [part for part, _ in world.state.scan(chain.MARKS)] == [panel[0]]
    before = {each: world.balance(number_of(each)) for each in accounts(world)}
    world.step(after=2_000_000)
    gained = {each: world.balance(number_of(each)) - before[each] for each in accounts(world)}
    assert gained[panel[0]] == 0
    assert all(gained[each] > 0 for each in accounts(world) if each != panel[0])


def test_who_calls_a_proven_lie_honest_is_marked_when_the_job_is_paid() -> None:
    world = certain()
    job, _ = deliver(world, liars=1)
    audit = audit_of(world, job)
    lazy = audit.panel[0].account
    hear(world, job, {lazy: claims(audit)})
    hear_all(world, job)
    assert not list(world.state.scan(chain.MARKS))
    pay_day(world, job)
    assert [part for part, _ in world.state.scan(chain.MARKS)] == [lazy]


def test_who_may_seal_and_show_and_when() -> None:
    world = certain()
    job, _ = deliver(world)
    audit = audit_of(world, job)
    first, second, third = (auditor.account for auditor in audit.panel)
    outsider = next(each for each in accounts(world) if each not in {first, second, third})
    right = truth(audit)

    def outcome(*payloads: bytes, after: int = 20) -> list[str]:
        return [code for _, code in world.outcomes(world.step(*payloads, after=after))]

    assert outcome(sealed(world, bytes(32), first, right)) == ["audit"]
    odd = chain.CommitVerdict(kind="nothing", key=job, commitment=bytes(32))
    assert outcome(world.transaction(number_of(first), "commit_verdict", odd)) == ["audit"]
    assert outcome(shown(world, job, first, right)) == ["stage"]
    assert outcome(sealed(world, job, outsider, right)) == ["sender"]
    assert outcome(sealed(world, job, first, right), sealed(world, job, first, right)) == ["", "exists"]
    assert outcome(sealed(world, job, second, right)) == [""]
    assert outcome(sealed(world, job, third, right), after=60_001) == ["late"]
    assert audit_of(world, job).stage == "showing"
    assert outcome(shown(world, job, third, right)) == ["state"]
    assert outcome(shown(world, job, first, right[:-1])) == ["results"]
    assert outcome(shown(world, job, first, (result_of(0, b"12"), *right[1:]))) == ["results"]
    assert outcome(shown(world, job, first, (result_of(0, right[0].vector), *right[1:]))) == ["seal"]
    copied = chain.RevealVerdict(kind="embed", key=job, salt=bytes(32), results=right)
    assert outcome(world.transaction(number_of(first), "reveal_verdict", copied)) == ["seal"]
    assert outcome(shown(world, job, first, right), shown(world, job, first, right)) == ["", "state"]
    assert outcome(shown(world, job, second, right), after=30_001) == ["late"]
    assert len(list(world.state.scan(chain.MARKS))) == 2


def test_a_seal_cannot_be_opened_by_another() -> None:
    world = certain()
    job, _ = deliver(world)
    audit = audit_of(world, job)
    first, second, _ = (auditor.account for auditor in audit.panel)
    copy = chain.verdict_commitment("embed", job, first, SALT, truth(audit))
    action = chain.CommitVerdict(kind="embed", key=job, commitment=copy)
    world.step(sealed(world, job, first, truth(audit)), world.transaction(number_of(second), "commit_verdict", action))
    world.step(after=60_001)
    assert world.outcomes(world.step(shown(world, job, second, truth(audit)))) == [("failed", "seal")]


def test_a_large_dimension_takes_fewer_answers_at_a_time() -> None:
    assert audits.room(128) == 8
    assert audits.room(8192) == 3


# Disputes. ------------------------------------------------------------------------------------------------------------


def lazily_acquitted(**changes: int) -> tuple[Committee, bytes, list[int]]:
    """A liar whom a panel that copies called honest."""
    world = certain(**changes)
    job, shard = deliver(world, liars=1)
    audit = audit_of(world, job)
    hear(world, job, {auditor.account: claims(audit) for auditor in audit.panel})
    assert delivery(world, job).verdicts[shard.index(max(shard))] == "honest"
    return world, job, shard


def test_a_dispute_proves_a_lie_that_a_lazy_panel_let_pass() -> None:
    world, job, shard = lazily_acquitted()
    lazy = {opinion.auditor for opinion in delivery(world, job).opinions}
    bond = world.genesis.parameters.dispute_bond
    before = world.balance(WATCHER)
    world.step(dispute(world, WATCHER, job, max(shard)))
    assert world.balance(WATCHER) == before - bond - world.genesis.parameters.fee
    assert len(audit_of(world, job).panel) == 4
    hear(world, job)
    assert world.balance(WATCHER) == before - world.genesis.parameters.fee
    assert {part for part, _ in world.state.scan(chain.MARKS)} == lazy
    assert all(record.now == 1 for _, record in world.state.scan(chain.MARKS))
    hear_all(world, job)
    final = paid(pay_day(world, job))
    slash = final.shard[shard.index(max(shard))].slash
    assert slash > 0
    assert world.balance(WATCHER) == before - world.genesis.parameters.fee + min(bond, slash // 2)
    assert all(record.now == 1 for _, record in world.state.scan(chain.MARKS))


def test_a_false_accusation_costs_the_bond() -> None:
    world = certain()
    job, shard = deliver(world)
    hear_all(world, job)
    before = world.balance(WATCHER), world.state.need(chain.POOLS).treasury
    accused = next(n for n, verdict in zip(shard, delivery(world, job).verdicts, strict=True) if verdict == "none")
    world.step(dispute(world, WATCHER, job, accused))
    hear(world, job)
    bond = world.genesis.parameters.dispute_bond
    assert world.balance(WATCHER) == before[0] - bond - world.genesis.parameters.fee
    assert world.state.need(chain.POOLS).treasury == before[1] + bond
    assert delivery(world, job).verdicts[shard.index(accused)] == "honest"
    assert not list(world.state.scan(chain.MARKS))


def test_who_was_framed_by_a_panel_is_cleared_by_the_committee() -> None:
    world = certain()
    job, shard = deliver(world)
    winner = min(shard)
    audit = audit_of(world, job)
    wrong = tuple(result_of(0, answer(30)[1]) for _ in audit.items)
    framing = [auditor.account for auditor in audit.panel][:2]
    hear(world, job, dict.fromkeys(framing, wrong))
    assert delivery(world, job).verdicts[shard.index(winner)] == "false"
    hear_all(world, job)
    world.step(dispute(world, winner, job, winner))
    hear(world, job)
    assert delivery(world, job).verdicts[shard.index(winner)] == "honest"
    assert {part for part, _ in world.state.scan(chain.MARKS)} == set(framing)
    hear_all(world, job)
    final = paid(pay_day(world, job))
    assert final.winner == f"e{winner}"
    assert final.shard[shard.index(winner)].slash == 0


def test_an_appeal_without_a_quorum_changes_nothing() -> None:
    world, job, shard = lazily_acquitted()
    hear_all(world, job)
    before = world.balance(WATCHER)
    world.step(dispute(world, WATCHER, job, max(shard)))
    whole = accounts(world)
    hear(world, job, {whole[0]: (), whole[1]: ()})  # power 3 of 10 speaks
    assert world.balance(WATCHER) == before - world.genesis.parameters.fee
    assert delivery(world, job).verdicts[shard.index(max(shard))] == "honest"
    again = world.outcomes(world.step(dispute(world, WATCHER, job, max(shard))))
    assert again == [("failed", "exists")]


def test_what_cannot_be_disputed() -> None:
    world = certain(audit_ms=300_000)
    job, shard = deliver(world)

    def outcome(payload: bytes, after: int = 20) -> str:
        ((_, code),) = world.outcomes(world.step(payload, after=after))
        return code

    outsider = next(n for n in range(1, 5) if n not in shard)
    assert outcome(dispute(world, WATCHER, bytes(32), shard[0])) == "job"
    assert outcome(dispute(world, WATCHER, job, outsider)) == "encoder"
    assert outcome(dispute(world, WATCHER, job, shard[0])) == "busy"
    hear_all(world, job)
    world.step(world.transaction(WATCHER, "transfer", chain.Transfer(address(7), world.balance(WATCHER) - 50_000)))
    assert outcome(dispute(world, WATCHER, job, shard[0])) == "overdraft"
    wait = delivery(world, job).deadline - world.tip.time + 1
    assert outcome(dispute(world, USER, job, shard[0]), after=wait) == "late"


def test_who_gave_no_answer_is_not_disputed() -> None:
    world = certain()
    job, shard = ask_and_draw(world)
    world.step(*(seal(world, job, n, *answer(n)) for n in shard[1:]))
    world.step(after=60_001)
    world.step(*(show(world, job, n, *answer(n)) for n in shard[1:]))
    mixing(world)
    hear_all(world, job)
    assert world.outcomes(world.step(dispute(world, WATCHER, job, shard[0]))) == [("failed", "answer")]


# Canaries. ------------------------------------------------------------------------------------------------------------


def with_canary(*, may: bool = True) -> tuple[Committee, bytes, bytes, list[int]]:
    """A world in whose second epoch the last of the shard of the first job answers falsely; and its secret."""
    world = certain(epoch_ms=3_000_000)
    job = chain.job_key(address(USER), digest("soma/blob", b"data"), 0)
    secrets = plant(world, job, may=may)
    made, shard = deliver(world, liars=1)
    assert made == job
    return world, job, secrets[max(shard)], shard


def confessed(world: Committee, number: int, job: bytes, secret: bytes) -> list[tuple[str, str]]:
    return world.outcomes(world.step(confess(world, number, job, secret)))


def test_a_canary_finds_the_lazy_and_costs_its_owner_nothing() -> None:
    world, job, secret, shard = with_canary()
    audit = audit_of(world, job)
    lazy = audit.panel[0].account
    assert confessed(world, max(shard), job, secret) == [("failed", "verdict")]
    hear(world, job, {lazy: claims(audit)})
    liar = max(shard)
    before, had = stake(world, liar), world.balance(liar)
    pot = delivery(world, job).job.pot
    rich = min(pot, world.state.need(chain.POOLS).treasury)
    assert confessed(world, max(shard), job, secret) == [("applied", "")]
    assert world.balance(max(shard)) == had - world.genesis.parameters.fee + rich
    hear_all(world, job)
    final = paid(pay_day(world, job))
    member = final.shard[shard.index(max(shard))]
    assert (member.verdict, member.fine, member.slash, member.weight) == ("canary", 0, 0, 0)
    assert stake(world, liar) == before
    assert [part for part, _ in world.state.scan(chain.MARKS)] == [lazy]
    assert not list(world.state.scan(chain.OFFENCES))
    assert confessed(world, max(shard), job, secret) == [("failed", "job")]


def test_auditors_who_do_their_work_lose_nothing_to_a_canary_and_pay_nothing_for_it() -> None:
    world, job, secret, shard = with_canary()
    hear(world, job)
    had = world.balance(max(shard))
    assert confessed(world, max(shard), job, secret) == [("applied", "")]
    assert world.balance(max(shard)) == had - world.genesis.parameters.fee
    hear_all(world, job)
    pay_day(world, job)
    assert not list(world.state.scan(chain.MARKS))


def test_a_liar_is_not_excused_by_a_secret_of_another_job_nor_by_one_sealed_too_late() -> None:
    world, job, secret, shard = with_canary(may=False)
    hear(world, job)
    assert confessed(world, max(shard), job, secret) == [("failed", "canary")]
    assert confessed(world, max(shard), job, bytes(31) + b"\x01") == [("failed", "seal")]
    liar = max(shard)
    late = secret_for(liar, job)
    planting = chain.PlantCanaries(chain.canary_seal(address(liar), late))
    world.step(world.transaction(liar, "plant_canaries", planting))
    assert confessed(world, max(shard), job, late) == [("failed", "canary")]
    assert world.outcomes(world.step(world.transaction(WATCHER, "plant_canaries", planting))) == [("failed", "encoder")]
    outsider = next(n for n in range(1, 5) if all(m.encoder != address(n) for m in delivery(world, job).job.shard))
    assert confessed(world, outsider, job, late) == [("failed", "encoder")]


def test_a_canary_is_confessed_after_an_appeal_about_it_and_not_meanwhile() -> None:
    world, job, secret, shard = with_canary()
    liar = max(shard)
    hear(world, job)
    before, had = stake(world, liar), world.balance(WATCHER)
    hear_all(world, job)
    assert world.outcomes(world.step(dispute(world, WATCHER, job, liar))) == [("applied", "")]
    assert confessed(world, liar, job, secret) == [("failed", "busy")]
    hear(world, job)  # false, says the committee as well: the bond is lost
    assert confessed(world, liar, job, secret) == [("applied", "")]
    final = paid(pay_day(world, job))
    member = final.shard[shard.index(liar)]
    assert (member.verdict, member.slash, stake(world, liar)) == ("canary", 0, before)
    p = world.genesis.parameters
    assert world.balance(WATCHER) == had - p.fee - p.dispute_bond


# Money. ---------------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["truth", "copy", "wrong", "nothing", "silence"])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_members_auditors_and_watchers_do_the_job_ends_and_no_money_is_lost(data: st.DataObject) -> None:
    """The world adds up all money after every commit."""
    world = audited(pot=data.draw(st.sampled_from([10**7, 10**10])), audit_quorum=data.draw(st.integers(0, 4)))
    job, shard = deliver(world, liars=data.draw(st.integers(0, 3)))
    for _ in range(12):
        if world.state.get(chain.AUDITS, chain.subject("embed", job)) is not None:
            audit = audit_of(world, job)
            said = {}
            for auditor in audit.panel:
                word = data.draw(WORDS)
                said[auditor.account] = {
                    "truth": truth(audit),
                    "copy": claims(audit),
                    "wrong": tuple(result_of(1, answer(33)[1]) for _ in audit.items),
                    "nothing": tuple(NOTHING for _ in audit.items),
                    "silence": (),
                }[word]
            hear(world, job, said)
            if audit.panel and not any(said.values()):
                world.step()
        elif data.draw(st.booleans()):
            world.step(
                dispute(world, data.draw(st.sampled_from([WATCHER, *shard])), job, data.draw(st.sampled_from(shard)))
            )
    while world.state.get(chain.AUDITS, chain.subject("embed", job)) is not None:
        hear(world, job)
    final = paid(pay_day(world, job))
    assert sum(payment.amount for payment in final.payments) == final.pot + final.commission
    for table in (chain.DELIVERIES, chain.LOCKS, chain.AUDITS, chain.JOBS):
        assert not list(world.state.scan(table))
    assert final.outcome == ("settled" if final.vector else "refunded")
    assert all(0 <= stake(world, n) <= 10**11 for n in range(1, 5))
    assert number_of(address(account(0))) == account(0)
