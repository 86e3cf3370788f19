"""Rules L: the registry of encoders; rule J17: what a gate is measured against (``specs/15-encoders.md``)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import replays
from attrs import evolve, field, frozen
from committee_world import Committee, account, address, committee_genesis, spread
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import PlainRule

from soma_core import chain, fixed
from soma_core.api import Answer, Candidate, Payment, Settlement
from soma_core.chain import encoders as encoders_module
from soma_core.chain import settlement, stakes
from soma_core.chain.execution import Execution
from soma_core.crypto import digest
from soma_core.records import pack, unpack

NEW = 5
GOOD: dict[str, Any] = {
    "name": "fresh",
    "stake": 10**9,
    "weights": b"\x05" * 32,
    "frame": b"\x06" * 32,
    "architecture": "byte-transformer-1",
    "position": b"",
    "best": b"",
    "salt": b"",
}


@frozen
class Watching:
    """The plain rule, which remembers what it was given."""

    plain: PlainRule = field(factory=PlainRule)
    candidates: list[Sequence[Candidate]] = field(factory=list)
    answers: list[Sequence[Answer]] = field(factory=list)
    gates: list[list[bytes]] = field(factory=list)

    def draw(self, size: int, candidates: Sequence[Candidate], beacon: bytes, /) -> tuple[int, ...]:
        self.candidates.append(candidates)
        return self.plain.draw(size, candidates, beacon)

    def settle(self, pot: int, answers: Sequence[Answer], settled: Sequence[Any], /) -> Settlement:
        self.answers.append(answers)
        self.gates.append([fixed.vector_bytes(vector) for vector in settled])
        return self.plain.settle(pot, answers, settled)


def watched(**changes: Any) -> tuple[Committee, Watching]:
    rule = Watching()
    world = Committee(genesis=committee_genesis((1,), **changes), rule=rule)
    world.announce()
    return world, rule


def register(world: Committee, number: int = NEW, **changes: Any) -> list[tuple[str, str]]:
    return world.outcomes(world.step(world.transaction(number, "register_encoder", {**GOOD, **changes})))


def test_an_encoder_is_registered_with_its_stake_and_drawn_from_the_next_epoch() -> None:
    world, rule = watched()
    before = world.balance(NEW)
    assert register(world) == [("applied", "")]
    assert world.balance(NEW) == before - 10**9 - world.genesis.parameters.fee
    encoder = world.state.need(chain.ENCODERS, address(NEW))
    assert (encoder.registered, encoder.gate, encoder.since) == (4, 0, 1)
    assert chain.stake_of(world.state, address(NEW)) == 10**9
    replays.ask_and_draw(world)
    assert address(NEW) not in {c.encoder for c in rule.candidates[-1]}
    world.step(after=60_000)
    world.announce()
    replays.ask_and_draw(world, nonce=1)
    candidates = rule.candidates[-1]
    assert [c.encoder for c in candidates] == sorted(c.encoder for c in candidates)
    assert {c.encoder: c.stake for c in candidates}[address(NEW)] == 10**9
    assert len(candidates) == 5


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": ""}, "name"),
        ({"name": "1st"}, "name"),
        ({"name": "a-b"}, "name"),
        ({"name": "ß"}, "name"),
        ({"name": "submitter"}, "name"),
        ({"name": "treasury"}, "name"),
        ({"name": "validators"}, "name"),
        ({"name": "e1"}, "name"),
        ({"name": "x" * 33}, "action"),
        ({"architecture": "unknown"}, "architecture"),
        ({"architecture": ""}, "architecture"),
        ({"weights": b""}, "weights"),
        ({"weights": bytes(31)}, "weights"),
        ({"frame": b""}, "weights"),
        ({"frame": bytes(33)}, "action"),
        ({"position": bytes(16)}, "position"),
        ({"position": bytes(15)}, "position"),
        ({"stake": 10**9 - 1}, "stake"),
        ({"stake": -1}, "action"),
        ({"stake": 1 << 63}, "action"),
        ({"stake": 10**13}, "overdraft"),
        ({"gate": 3 << 16}, "action"),
    ],
    ids=str,
)
def test_what_is_not_registered_changes_nothing_but_costs_its_fee(changes: dict[str, Any], code: str) -> None:
    world = replays.begun()
    before = world.balance(NEW), dict(world.reader.data)
    assert register(world, **changes) == [("failed", code)]
    assert world.balance(NEW) == before[0] - world.genesis.parameters.fee
    touched = {key[0] for key, value in world.reader.data.items() if before[1].get(key) != value}
    assert touched <= {0x10, 0x11, 0x14, 0x15, 0x16, 0x40}  # pools, accounts, and what every commit changes


def test_an_account_has_one_encoder_and_a_name_one_holder() -> None:
    world = replays.begun()
    assert register(world) == [("applied", "")]
    assert register(world, name="second") == [("failed", "exists")]
    assert register(world, number=6) == [("failed", "name")]
    assert register(world, number=1, name="another") == [("failed", "exists")]
    assert register(world, number=6, name="other") == [("applied", "")]
    assert world.state.need(chain.ENCODERS, address(6)).registered == 5


def candidates_of(world: Committee, rule: Watching, nonce: int) -> dict[bytes, int]:
    """Whom the rule is given, with their stakes."""
    replays.ask_and_draw(world, nonce=nonce)
    return {candidate.encoder: candidate.stake for candidate in rule.candidates[-1]}


def test_equal_weights_are_drawn_once_by_who_registered_them_first() -> None:
    """L4: neither dividing a stake nor copying weights makes a second place, until the first is drawn no more."""
    world, rule = watched()
    mine = world.state.need(chain.ENCODERS, address(1)).weights
    assert register(world, weights=mine) == [("applied", "")]
    assert register(world, number=6, name="opaque", weights=mine, architecture="opaque") == [("applied", "")]
    world.step(after=60_000)
    world.announce()
    drawn = candidates_of(world, rule, 0)
    assert address(1) in drawn
    assert address(NEW) not in drawn
    assert address(6) in drawn  # nobody can say whose weights an opaque encoder has
    world.step(world.transaction(1, "deactivate_encoder", chain.DeactivateEncoder()))
    world.step(after=60_000)
    world.announce()
    drawn = candidates_of(world, rule, 1)
    assert address(1) not in drawn
    assert drawn[address(NEW)] == 10**9


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_of_any_encoders_the_earliest_of_each_weights_is_a_candidate(made: list[tuple[int, bool]]) -> None:
    genesis = committee_genesis((1,))
    (example, *_) = genesis.encoders
    encoders = tuple(
        evolve(
            example,
            name=f"e{place}",
            account=address(place),
            weights=bytes([kind]) * 32,
            architecture="opaque" if opaque else example.architecture,
        )
        for place, (kind, opaque) in enumerate(made)
    )
    world = Committee(genesis=evolve(genesis, encoders=encoders), rule=PlainRule())
    run = Execution(world.genesis, world.rule, world.state, 1, world.tip.time, 0)
    found = {encoder.name for _, encoder in encoders_module.candidates(run)}
    first = {kind: place for place, (kind, opaque) in reversed(list(enumerate(made))) if not opaque}
    assert found == {f"e{p}" for p, (kind, opaque) in enumerate(made) if opaque or first[kind] == p}


def test_an_opaque_encoder_names_no_weights_and_says_so_in_its_answer() -> None:
    world, rule = watched(shard_size=5)
    assert register(world, architecture="opaque", weights=b"", frame=b"") == [("applied", "")]
    world.step(after=60_000)
    world.announce()
    replays.whole_job(world)
    assert {a.encoder: a.opaque for a in rule.answers[-1]} == {address(n): n == NEW for n in range(1, 6)}


def test_who_has_less_than_the_least_stake_is_not_drawn() -> None:
    start = committee_genesis((1,))
    poor = evolve(start, encoders=(evolve(start.encoders[0], stake=10**9 + 5), *start.encoders[1:]))
    rule = Watching()
    world = Committee(genesis=poor, rule=rule)
    world.announce()
    for nonce in range(9):
        replays.ask_and_draw(world, nonce=nonce)
        world.step(after=60_001)
        world.step(after=31_000)
        world.announce()
    least = world.genesis.parameters.encoder_stake
    assert chain.stake_of(world.state, address(1)) < least  # fined for silence
    replays.ask_and_draw(world, nonce=100)
    assert {c.encoder for c in rule.candidates[-1]} == {address(n) for n in (2, 3, 4)}


def test_a_network_without_encoders_refunds() -> None:
    world = Committee(genesis=evolve(committee_genesis((1,)), encoders=()))
    world.announce()
    job = chain.job_key(address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world))
    world.step(*replays.attest(world, job, (0,)))
    applied = world.step()
    (done,) = (e for e in applied.events if isinstance(e, chain.Settled))
    assert done.outcome == "refunded"
    assert b"no encoder could be drawn" in done.receipt


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_a_cut_takes_what_there_is_and_gives_it_to_the_treasury(stake: int, amount: int) -> None:
    world = replays.begun()
    state = world.state
    stakes.open_pool(state, address(1), stake, 0)
    state.put(chain.POOLS, b"", evolve(state.need(chain.POOLS), treasury=0))
    run = chain.execution.Execution(world.genesis, world.rule, state, 1, 1, 0)
    moved = stakes.cut_stake(run, address(1), amount)
    assert moved == min(stake, amount)
    assert chain.stake_of(state, address(1)) == stake - moved
    assert state.need(chain.POOLS).treasury == moved


class Slashing(PlainRule):
    """Slashes the second place for more than it has, and sets its gate."""

    def settle(self, pot: int, answers: Sequence[Answer], settled: Sequence[Any], /) -> Settlement:
        judged = super().settle(pot, answers, settled)
        return evolve(judged, slashes={1: 10**12}, gates={1: -65536}, weakest=2, out=(1,))


def test_slashes_and_gates_are_what_the_rule_says_as_far_as_there_is_stake() -> None:
    world = Committee(genesis=committee_genesis((1,)), rule=Slashing())
    world.announce()
    job, shard = replays.ask_and_draw(world)
    treasury = world.state.need(chain.POOLS).treasury
    world.step(*(replays.seal(world, job, n, *replays.answer(n)) for n in shard))
    world.step(*(replays.show(world, job, n, *replays.answer(n)) for n in shard))
    applied = world.step()
    receipt = _receipt(applied)
    member = receipt.shard[1]
    assert (member.slash, member.gate, member.out, receipt.weakest) == (10**11, -65536, True, f"e{shard[2]}")
    assert chain.stake_of(world.state, address(shard[1])) == 0
    commission = sum(p.amount for p in receipt.payments if p.to == "treasury")
    assert world.state.need(chain.POOLS).treasury == treasury + 10**11 + commission


class Fining(PlainRule):
    """Fines the first place for being out, beside another fine, and the second for being out."""

    def settle(self, pot: int, answers: Sequence[Answer], settled: Sequence[Any], /) -> Settlement:
        judged = super().settle(pot, answers, settled)
        return evolve(judged, fines={0: 10}, outlier_fines={0: 1_000, 1: 10**12}, out=(0, 1))


@pytest.mark.parametrize("audit_ms", [0, 50_000])
def test_who_is_out_is_fined_at_once_beside_all_other_fines(audit_ms: int) -> None:
    world = Committee(genesis=committee_genesis((1,), audit_ms=audit_ms, epoch_ms=10**9), rule=Fining())
    world.announce()
    treasury = world.state.need(chain.POOLS).treasury
    job = replays.whole_job(world)
    (first,) = (e.receipt for a in world.trace for e in a.events if isinstance(e, chain.Settled))
    while world.state.get(chain.DELIVERIES, job) is not None:  # one time in ten an audit is waited for as well
        world.step(after=10**6)
    done = world.state.need(chain.DONE, job)
    last = unpack(chain.JobReceipt, world.trace[done.index].receipts[done.place])
    assert last.final
    for receipt in (unpack(chain.JobReceipt, first), last):
        assert [(m.fine, m.slash, m.out) for m in receipt.shard] == [(1_010, 0, True), (10**11, 0, True), (0, 0, False)]
    assert [chain.stake_of(world.state, m.encoder) for m in last.shard] == [10**11 - 1_010, 0, 10**11]
    commission = sum(p.amount for p in last.payments if p.to == "treasury")
    assert world.state.need(chain.POOLS).treasury == treasury + 10**11 + 1_010 + commission


def _receipt(applied: chain.Applied) -> chain.JobReceipt:
    (event,) = (e for e in applied.events if isinstance(e, chain.Settled))
    return unpack(chain.JobReceipt, event.receipt)


# What gates are measured against. -------------------------------------------------------------------------------------


def other_blob(number: int) -> bytes:
    return digest("soma/blob", number.to_bytes(8, "big"))


def put_settled(world: Committee, count: int, blob: bytes | None = None) -> list[bytes]:
    """As if `count` jobs had settled; their vectors."""
    vectors = [fixed.vector_bytes(spread(5000 + n)) for n in range(count)]
    for n, vector in enumerate(vectors):
        record = settlement.SettledVector(blob=blob or other_blob(n), vector=vector, loss=0)
        world.reader.data[settlement.SETTLED.key(n.to_bytes(8, "big"))] = pack(record)
    world.reader.data[settlement.SETTLED_COUNT.key()] = pack(settlement.SettledCount(count))
    tip = evolve(world.tip, lthash=chain.lthash.total(world.reader.data.items()))
    world.trace.append(evolve(world.trace[-1], tip=tip))
    return vectors


@pytest.mark.parametrize(("count", "blob"), [(0, None), (39, None), (40, replays.BLOB), (600, replays.BLOB)], ids=str)
def test_a_gate_is_measured_against_references_while_few_jobs_have_settled(count: int, blob: bytes | None) -> None:
    world, rule = watched()
    put_settled(world, count, blob)
    replays.whole_job(world)
    (gate,) = rule.gates
    assert len(gate) == settlement.GATE_VECTORS
    assert len(set(gate)) == len(gate)
    assert set(gate) <= set(world.genesis.references)


def test_then_against_settled_vectors_of_other_data() -> None:
    world, rule = watched()
    vectors = put_settled(world, 40)
    replays.whole_job(world)
    (gate,) = rule.gates
    assert len(set(gate)) == settlement.GATE_VECTORS
    assert set(gate) <= set(vectors)
    again = watched()
    put_settled(again[0], 40)
    replays.whole_job(again[0], nonce=1)
    assert again[1].gates[0] != gate  # another job, another draw


@pytest.mark.parametrize("alike", [0, 1, 2, 3, 5, 36])
def test_three_of_a_gates_vectors_are_of_the_datums_own_cell_if_there_are_so_many(alike: int) -> None:
    world, _ = watched()
    vectors = put_settled(world, 40)
    run = Execution(world.genesis, world.rule, world.state, 9, 9, 0)
    own = set(vectors[4 : 4 + alike])
    for number, (name, record) in enumerate(list(run.state.scan(settlement.SETTLED))):
        run.state.put(settlement.SETTLED, name, evolve(record, cell=5 if vectors[number] in own else number % 4))
    job, _ = replays.ask_and_draw(world)
    drawn = [
        settlement.gate_vectors(run, bytes([n]) * 32, evolve(world.state.need(chain.JOBS, job), cell=5))
        for n in range(30)
    ]
    assert all(len(set(gate)) == settlement.GATE_VECTORS for gate in drawn)
    assert all(set(gate[: min(alike, 3)]) <= own for gate in drawn)
    anyway = sum(vector in own for gate in drawn for vector in gate[3:])
    assert (anyway > 0) == (alike > 3)
    assert len({frozenset(gate) for gate in drawn}) > 20
    elsewhere = evolve(world.state.need(chain.JOBS, job), cell=None)
    assert len(set(settlement.gate_vectors(run, bytes(32), elsewhere))) == settlement.GATE_VECTORS


def test_a_settled_vector_keeps_the_cell_of_its_datum() -> None:
    world = replays.begun()
    key = chain.job_key(address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world))
    sketch = chain.sketch_of(b"text")
    world.step(world.transaction(account(0), "attest_data", chain.AttestData(key, sketch)))
    replays.mixing(world)
    shard = replays.drawn(world, key)
    world.step(*(replays.seal(world, key, n, *replays.answer(n)) for n in shard))
    world.step(*(replays.show(world, key, n, *replays.answer(n)) for n in shard))
    replays.mixing(world)
    replays.whole_job(world, nonce=1)
    assert [record.cell for _, record in world.state.scan(settlement.SETTLED)] == [0, None]


def test_the_window_keeps_the_last_settled_vectors() -> None:
    world = replays.begun(settled_window=40)
    put_settled(world, 40)
    for nonce in range(3):
        replays.whole_job(world, nonce=nonce)
    held = dict(world.state.scan(settlement.SETTLED))
    assert [int.from_bytes(name, "big") for name in held] == list(range(3, 43))
    assert [record.blob for record in held.values()][-3:] == [replays.BLOB] * 3
    assert world.state.need(settlement.SETTLED_COUNT).count == 43


def test_a_refund_settles_no_vector() -> None:
    world = replays.begun()
    replays.ask_and_draw(world)
    world.step(after=60_001)
    world.step()
    assert world.state.need(settlement.SETTLED_COUNT).count == 0


def test_members_that_point_nowhere_are_the_rules_business() -> None:
    world, rule = watched()
    job, shard = replays.ask_and_draw(world)
    rubbish = np.array([-32768, 0, 0, 0, 0, 0, 0, 0], np.int16)
    answers = {n: (n << 16, fixed.vector_bytes(rubbish) if n == shard[0] else replays.answer(n)[1]) for n in shard}
    world.step(*(replays.seal(world, job, n, *answers[n]) for n in shard))
    world.step(*(replays.show(world, job, n, *answers[n]) for n in shard))
    world.step()
    assert rule.answers[-1][0].vector is not None
    assert rule.answers[-1][0].vector.tolist() == rubbish.tolist()


def test_what_the_rule_pays_to_nobody_is_not_in_the_receipt() -> None:
    class Zero(PlainRule):
        def settle(self, pot: int, answers: Sequence[Answer], settled: Sequence[Any], /) -> Settlement:
            judged = super().settle(pot, answers, settled)
            return evolve(judged, payments=(*judged.payments, Payment(0, 0, "nothing")))

    world = Committee(genesis=committee_genesis((1,)), rule=Zero())
    world.announce()
    job = replays.whole_job(world)
    done = world.state.need(chain.DONE, job)
    assert b"nothing" not in world.trace[done.index].receipts[done.place]


# Sealed registration. -------------------------------------------------------------------------------------------------

SALT = b"s" * 32


def seal(world: Committee, number: int = NEW, salt: bytes = SALT, **changes: Any) -> list[tuple[str, str]]:
    held = {**GOOD, **changes}
    parts = (held[name] for name in ("weights", "frame", "position", "best"))
    action = chain.SealRegistration(chain.weights_seal(address(number), salt, *parts))
    return world.outcomes(world.step(world.transaction(number, "seal_registration", action)))


def test_who_sealed_first_is_the_earlier_whoever_is_ordered_first() -> None:
    world, rule = watched()
    assert seal(world) == [("applied", "")]
    thief = 6
    assert register(world, thief, name="thief") == [("applied", "")]  # it saw the registration before it was ordered
    assert register(world, salt=SALT) == [("applied", "")]
    numbers = [world.state.need(chain.ENCODERS, address(number)).registered for number in (NEW, thief)]
    assert numbers == [4, 5]
    assert world.state.need(chain.encoders.REGISTRY).count == 6
    assert not list(world.state.scan(chain.encoders.SEALS))
    world.step(after=60_000)
    world.announce()
    replays.ask_and_draw(world)
    drawable = {candidate.encoder for candidate in rule.candidates[-1]}
    assert address(NEW) in drawable
    assert address(thief) not in drawable


def test_a_seal_opens_for_its_maker_and_its_weights_alone() -> None:
    world = replays.begun()
    assert register(world, salt=SALT) == [("failed", "seal")]
    seal(world)
    before = dict(world.reader.data)[chain.encoders.SEALS.key(address(NEW))]
    for changes in ({"salt": bytes(32)}, {"weights": b"o" * 32}, {"frame": b"o" * 32}):
        assert register(world, **{"salt": SALT, **changes}) == [("failed", "seal")]
    assert register(world, 6, salt=SALT) == [("failed", "seal")]
    assert world.reader.data[chain.encoders.SEALS.key(address(NEW))] == before
    assert seal(world, 1) == [("failed", "exists")]
    seal(world, salt=bytes(32))
    assert register(world, salt=SALT) == [("failed", "seal")]
    assert register(world, salt=bytes(32)) == [("applied", "")]
    assert world.state.need(chain.ENCODERS, address(NEW)).registered == 5


def test_a_seal_holds_for_its_epoch_and_the_next() -> None:
    world = replays.begun()
    seal(world)
    world.step(after=60_000)
    assert world.state.count(chain.encoders.SEALS) == 1
    world.step(after=60_000)
    assert world.state.count(chain.encoders.SEALS) == 0
    assert register(world, salt=SALT) == [("failed", "seal")]
    assert register(world) == [("applied", "")]


def test_a_registration_without_a_salt_leaves_no_seal() -> None:
    world = replays.begun()
    seal(world)
    assert register(world) == [("applied", "")]
    assert world.state.need(chain.ENCODERS, address(NEW)).registered == 5
    assert world.state.count(chain.encoders.SEALS) == 0
