"""Rules Z: the race for targets (``specs/24-targets.md``)."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import race_world
import replays
from attrs import evolve
from committee_world import Committee, account, address, committee_genesis
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ledger_world import DIM, PlainRule
from race_world import (
    HUNTER,
    RIVAL,
    SIZE,
    blob,
    claim,
    far,
    hit,
    hunting,
    judged,
    open_targets,
    parts,
    race,
    seal,
    show,
    submissions,
    turn,
    upheld,
)

import soma_scoring
from soma_core import chain, fixed
from soma_core.chain import audits, pools, routing, settlement, stakes
from soma_core.chain import hits as hits_
from soma_core.chain import race as race_
from soma_core.chain import targets as targets_
from soma_core.crypto import digest
from soma_core.records import pack, unpack
from soma_scoring import balanced

REWARD = 15_000_000
"""Of each target in these worlds: 60 % of 10^9, for ten hits."""
BOND = REWARD // 10 + SIZE


def held(world: Committee) -> pools.Pools:
    return world.state.need(chain.POOLS)


def ended(applied: chain.Applied) -> list[tuple[int, str]]:
    return [(e.target, e.how) for e in applied.events if isinstance(e, chain.TargetEnded)]


def touched(world: Committee, before: dict[bytes, bytes]) -> set[int]:
    """Prefixes of what changed, without what every commit with a fee changes."""
    names = {*before, *world.reader.data}
    changed = {name[0] for name in names if before.get(name) != world.reader.data.get(name)}
    return changed - {0x10, 0x11, 0x14, 0x15, 0x16, 0x40}


# The money, the openings. ---------------------------------------------------------------------------------------------


def test_a_rule_without_targets_has_no_race_and_makes_no_money_for_one() -> None:
    world = Committee(genesis=committee_genesis((1,)), rule=PlainRule())
    world.announce()
    turn(world)
    replays.mixing(world)
    assert world.state.get(chain.RACE) is None
    assert held(world).emitted == 400_000_000
    shown = {"target": 0, "salt": bytes(32), "blob": blob(0), "encoder": address(1), "loss": 0, "vector": b""}
    assert world.outcomes(world.step(seal(world, HUNTER, shown))) == [("failed", "target")]


def test_the_first_boundary_fills_the_escrow_and_the_next_beacon_opens_targets() -> None:
    world = hunting()
    now = race(world)
    assert (now.pool, now.reward, now.opened, now.hits) == (600_000_000 - 3 * REWARD, REWARD, 3, 0)
    assert held(world).emitted == 10**9
    assert list(open_targets(world)) == [0, 1, 2]
    target = open_targets(world)[1]
    assert (target.epoch, target.radius, target.loss, target.reward) == (1, 1 << 15, 8 << 16, REWARD)
    assert [assigned.encoder for assigned in target.encoders] == [e for e, _ in world.state.scan(chain.ENCODERS)][:2]
    assert len({t.point for t in open_targets(world).values()}) == 3
    assert world.state.count(race_.OPENINGS) == 0


def test_an_opening_waits_for_leaders_of_later_commits_as_a_draw_does() -> None:
    world = Committee(genesis=committee_genesis((1,) * 7, targets=2, target_goal=10), rule=race_world.PlainTargets())
    world.announce()
    turn(world)
    assert open_targets(world) == {}
    for place in (0, 1, 1, 2):
        world.step(leader=place)
        assert open_targets(world) == {}
    world.step(leader=3, system=b"")  # its link is missing
    assert open_targets(world) == {}
    applied = world.step(leader=4)
    opened = [e.target for e in applied.events if isinstance(e, chain.TargetOpened)]
    assert opened == list(open_targets(world)) == [0, 1]


def test_what_nobody_hit_for_is_not_made_again() -> None:
    world = hunting()
    emitted = held(world).emitted
    applied = turn(world)
    assert ended(applied) == [(0, "expired"), (1, "expired"), (2, "expired")]
    assert held(world).emitted - emitted == 10**9
    for _ in range(2):
        turn(world)
    emitted = held(world).emitted
    turn(world)
    assert held(world).emitted - emitted == 400_000_000  # the escrow is full
    assert race(world).pool + sum(t.reward for t in open_targets(world).values()) == 4 * 600_000_000
    assert race(world).reward == 4 * REWARD
    replays.mixing(world)
    hit(world, target=min(open_targets(world)))
    emitted = held(world).emitted
    turn(world)
    assert held(world).emitted - emitted == 400_000_000 + 4 * REWARD


def test_difficulty_follows_the_hits_of_each_epoch() -> None:
    world = hunting(target_goal=1)
    assert (race(world).radius, race(world).memory, race(world).reward) == (1 << 15, 0, 150_000_000)
    turn(world)
    assert (race(world).radius, race(world).memory) == ((1 << 15) * 3 // 2, 0)
    world = hunting(target_goal=2)
    hit(world)
    hit(world, target=1, blob=blob(1))
    assert race(world).hits == 0  # they can be false yet
    for target in (0, 1):
        judged(world, target, 1 << 16, world.state.need(chain.HITS, race_.target_key(target)).vector)
    assert race(world).hits == 2
    turn(world)
    assert (race(world).radius, race(world).memory, race(world).hits) == (1 << 15, 2, 0)


def test_no_more_targets_are_open_than_can_be_paid() -> None:
    world = hunting(targets=9, target_goal=2)
    assert list(open_targets(world)) == list(range(8))
    assert race(world).pool == 0
    nothing = hunting(target_goal=10**9)
    assert (race(nothing).reward, open_targets(nothing)) == (0, {})


def test_without_an_encoder_that_can_be_audited_no_target_opens() -> None:
    genesis = committee_genesis((1,), targets=3, target_goal=10)
    opaque = tuple(evolve(e, architecture="opaque", weights=b"", frame=b"") for e in genesis.encoders)
    world = Committee(genesis=evolve(genesis, encoders=opaque), rule=race_world.PlainTargets())
    world.announce()
    turn(world)
    replays.mixing(world)
    assert (race(world).reward, race(world).opened, open_targets(world)) == (REWARD, 0, {})
    turn(world)
    assert race(world).radius == 1 << 15  # there was nothing to hit


def test_an_opening_that_the_beacon_never_served_ends_with_its_epoch() -> None:
    world = Committee(genesis=committee_genesis((1,), targets=3), rule=race_world.PlainTargets())
    world.announce()
    world.step(after=60_000)
    world.step(system=b"")
    assert [o.count for _, o in world.state.scan(race_.OPENINGS)] == [3]
    world.step(after=60_000, system=b"")
    ((key, opening),) = world.state.scan(race_.OPENINGS)
    assert (int.from_bytes(key, "big"), opening) == (world.tip.index, race_.Opening(count=3))


def test_targets_lie_by_settled_vectors_and_their_losses_once_there_are_enough() -> None:
    world = hunting()
    state = world.state
    for number in range(40):
        vector = fixed.vector_bytes(replays.spread(number))
        record = settlement.SettledVector(blob=digest("soma/blob", bytes([number])), vector=vector, loss=number << 10)
        world.reader.data[settlement.SETTLED.key(number.to_bytes(8, "big"))] = pack(record)
    assert state.count(settlement.SETTLED) == 40
    tip = evolve(world.tip, lthash=chain.lthash.total(world.reader.data.items()))
    world.trace.append(evolve(world.trace[-1], tip=tip))
    hit(world)
    replays.mixing(world)
    assert open_targets(world)[3].loss == (39 << 10) // 2


def test_a_settled_job_leaves_the_least_loss_of_its_shard() -> None:
    world = replays.begun()
    replays.whole_job(world)
    ((_, record),) = world.state.scan(settlement.SETTLED)
    (job,) = (
        e.receipt for _, applied in enumerate(world.trace) for e in applied.events if isinstance(e, chain.Settled)
    )
    assert record.loss == min(member.loss for member in unpack(chain.JobReceipt, job).shard)


# Submissions. ---------------------------------------------------------------------------------------------------------


def test_a_submission_is_sealed_with_a_bond_shown_and_hits() -> None:
    world = hunting()
    before = world.balance(HUNTER)
    shown = parts(world, 0)
    world.step(seal(world, HUNTER, shown))
    fee = world.genesis.parameters.fee
    assert world.balance(HUNTER) == before - BOND - fee
    (submission,) = submissions(world).values()
    assert (submission.order, submission.size, submission.bond, submission.state) == (1, SIZE, BOND, "sealed")
    assert submission.deadline == world.tip.time + 30_000
    applied = world.step(show(world, HUNTER, shown))
    assert world.outcomes(applied) == [("applied", "")]
    (event,) = (e for e in applied.events if isinstance(e, chain.TargetHit))
    assert event == chain.TargetHit(0, address(HUNTER), shown["encoder"], blob(0), world.tip.time + 5_000)
    assert submissions(world) == {}
    assert list(open_targets(world)) == [1, 2]
    assert (race(world).hits, race(world).sealed) == (0, 1)
    found = world.state.need(chain.HITS, race_.target_key(0))
    assert (found.target.reward, found.bond, found.distance, found.loss, found.size) == (REWARD, BOND, 0, 1 << 16, SIZE)
    assert (found.submitter, found.encoder) == (address(HUNTER), shown["encoder"])
    world.step()
    assert list(open_targets(world)) == [1, 2, 3]  # a new one at once
    assert world.state.need(race_.SPENT, blob(0)).target == 0
    judged(world, 0, shown["loss"], shown["vector"])
    assert race(world).hits == 1


def changed_vector(world: Committee) -> bytes:
    """A vector whose distance to target 0 is one unit beyond its radius, nearly."""
    return far(open_targets(world)[0])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda world: {"encoder": address(3)}, "encoder"),
        (lambda world: {"encoder": bytes(32)}, "encoder"),
        (lambda world: {"loss": (8 << 16) + 1}, "loss"),
        (lambda world: {"vector": changed_vector(world)}, "distance"),
        (lambda world: {"vector": b""}, "vector"),
        (lambda world: {"vector": bytes(2 * DIM)}, "vector"),
        (lambda world: {"vector": bytes(2 * DIM + 2)}, "vector"),
        (lambda world: {"vector": b"\x01\x00" * DIM}, "vector"),
        (lambda world: {"vector": b"\x00\x80" * DIM}, "vector"),
    ],
)
def test_what_does_not_hit_is_refused_and_changes_nothing(
    change: Callable[[Committee], dict[str, Any]], code: str
) -> None:
    world = hunting()
    shown = parts(world, 0, **change(world))
    assert world.outcomes(world.step(seal(world, HUNTER, shown))) == [("applied", "")]
    before = dict(world.reader.data)
    assert world.outcomes(world.step(show(world, HUNTER, shown))) == [("failed", code)]
    assert touched(world, before) == set()


def test_a_distance_at_the_radius_and_a_loss_at_the_ceiling_hit() -> None:
    world = hunting()
    target = open_targets(world)[0]
    point = fixed.vector_from_bytes(target.point, DIM).astype(int)
    other = replays.spread(77).astype(int)
    for part in range(200):
        vector = fixed.quant((point * part + other * (60 - part)).tolist())
        away = fixed.ONE - fixed.cosq(
            int(vector.astype(int) @ point), fixed.squared_norm(vector), fixed.squared_norm(point)
        )
        if away <= target.radius:
            break
    name = chain.TARGETS.key(race_.target_key(0))
    world.reader.data[name] = pack(evolve(target, radius=away))
    tip = evolve(world.tip, lthash=chain.lthash.total(world.reader.data.items()))
    world.trace.append(evolve(world.trace[-1], tip=tip))
    hit(world, vector=fixed.vector_bytes(vector), loss=8 << 16)
    assert world.state.need(chain.HITS, race_.target_key(0)).distance == away
    tighter = hunting()
    tighter.reader.data[name] = pack(evolve(target, radius=away - 1))
    tip = evolve(tighter.tip, lthash=chain.lthash.total(tighter.reader.data.items()))
    tighter.trace.append(evolve(tighter.trace[-1], tip=tip))
    shown = parts(tighter, 0, vector=fixed.vector_bytes(vector))
    tighter.step(seal(tighter, HUNTER, shown))
    assert tighter.outcomes(tighter.step(show(tighter, HUNTER, shown))) == [("failed", "distance")]


@pytest.mark.parametrize("name", ["salt", "blob", "encoder", "loss", "vector"])
def test_only_what_was_sealed_can_be_shown(name: str) -> None:
    world = hunting()
    shown = parts(world, 0)
    world.step(seal(world, HUNTER, shown))
    target = open_targets(world)[0]
    other = {
        "salt": bytes(32),
        "blob": blob(9),
        "encoder": target.encoders[1].encoder,
        "loss": 0,
        "vector": fixed.vector_bytes(replays.spread(5)),
    }
    before = dict(world.reader.data)
    assert world.outcomes(world.step(show(world, HUNTER, {**shown, name: other[name]}))) == [("failed", "seal")]
    assert touched(world, before) == set()


def test_nobody_can_show_what_another_has_sealed_nor_copy_what_another_shows() -> None:
    world = hunting()
    shown = parts(world, 0)
    copied = world.transaction(
        RIVAL,
        "seal_submission",
        chain.SealSubmission(
            target=0,
            commitment=chain.submission_seal(
                0, address(HUNTER), *(shown[n] for n in ("salt", "blob", "encoder", "loss", "vector"))
            ),
            size=SIZE,
        ),
    )
    world.step(copied)
    world.step(seal(world, HUNTER, shown))
    assert world.outcomes(world.step(show(world, RIVAL, shown))) == [("failed", "seal")]
    # Sealed by its own name, but later: who sealed first takes the target, though the copier showed first.
    world = hunting()
    world.step(seal(world, HUNTER, shown))
    world.step(seal(world, RIVAL, shown))
    applied = world.step(show(world, RIVAL, shown))
    assert world.outcomes(applied) == [("applied", "")]
    assert world.state.count(chain.HITS) == 0
    world.step(show(world, HUNTER, shown))
    assert world.state.need(chain.HITS, race_.target_key(0)).submitter == address(HUNTER)


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ({"target": 9}, "target"),
        ({"target": 0, "size": 0}, "action"),
        ({"target": 0, "size": (1 << 20) + 1}, "size"),
        ({"target": 0, "commitment": b""}, "action"),
    ],
)
def test_what_cannot_be_sealed_changes_nothing(action: dict[str, Any], code: str) -> None:
    world = hunting()
    before = dict(world.reader.data)
    sent = world.transaction(HUNTER, "seal_submission", {"commitment": bytes(32), "size": 5, **action})
    assert world.outcomes(world.step(sent)) == [("failed", code)]
    assert touched(world, before) == set()


@pytest.mark.parametrize(("part", "bond"), [(0, BOND), (1_000, BOND), (5_000, REWARD // 2)])
def test_a_bond_is_at_least_a_part_of_the_reward(part: int, bond: int) -> None:
    world = hunting(target_bond=part)
    world.step(seal(world, HUNTER, parts(world, 0)))
    ((_, submission),) = race_.submissions_of(world.state, 0)
    assert submission.bond == bond


def test_one_submission_for_each_account_and_target_as_many_as_wait_and_can_be_bonded() -> None:
    world = hunting()
    shown = parts(world, 0)
    world.step(seal(world, HUNTER, shown))
    assert world.outcomes(world.step(seal(world, HUNTER, shown))) == [("failed", "exists")]
    assert world.outcomes(world.step(seal(world, HUNTER, parts(world, 1)))) == [("applied", "")]
    state = world.state
    for number in range(targets_.SUBMISSIONS_MOST - 1):
        record = race_.Submission(order=9 + number, commitment=bytes(32), size=1, bond=0, deadline=10**12)
        state.put(chain.SUBMISSIONS, race_.target_key(0) + digest("soma/chunk", bytes([number])), record)
    world.reader.data.update({name: now for name, (_, now) in state.changes().items() if now is not None})
    tip = evolve(world.tip, lthash=chain.lthash.total(world.reader.data.items()))
    world.trace.append(evolve(world.trace[-1], tip=tip))
    assert world.outcomes(world.step(seal(world, RIVAL, shown))) == [("failed", "full")]
    poor = hunting(target_goal=1, emission=10**14, supply_limit=10**17)
    assert poor.outcomes(poor.step(seal(poor, HUNTER, parts(poor, 0)))) == [("failed", "overdraft")]


def test_what_is_shown_twice_late_or_never_sealed_is_refused() -> None:
    world = hunting()
    shown = parts(world, 0)
    assert world.outcomes(world.step(show(world, HUNTER, shown))) == [("failed", "submission")]
    world.step(seal(world, RIVAL, parts(world, 0, blob=blob(1))))
    world.step(seal(world, HUNTER, shown))
    world.step(show(world, HUNTER, shown))  # waits for the rival, who sealed first
    assert world.outcomes(world.step(show(world, HUNTER, shown))) == [("failed", "state")]
    late = hunting()
    late.step(seal(late, HUNTER, parts(late, 0)))
    assert late.outcomes(late.step(show(late, HUNTER, shown), after=30_000)) == [("applied", "")]
    late = hunting()
    late.step(seal(late, HUNTER, parts(late, 0)))
    assert late.outcomes(late.step(show(late, HUNTER, shown), after=30_001)) == [("failed", "late")]


def test_who_seals_and_does_not_show_holds_others_up_for_a_while_and_pays_for_it() -> None:
    world = hunting()
    world.step(seal(world, RIVAL, parts(world, 0, blob=blob(1))))
    withheld, treasury = world.balance(RIVAL), held(world).treasury
    shown = parts(world, 0)
    world.step(seal(world, HUNTER, shown))
    world.step(show(world, HUNTER, shown))
    assert world.state.count(chain.HITS) == 0
    world.step(after=30_000)
    assert world.state.count(chain.HITS) == 1
    assert world.balance(RIVAL) == withheld + BOND - BOND // 10
    assert held(world).treasury == treasury + BOND // 10


def test_who_sealed_later_gets_the_bond_back_shown_or_not() -> None:
    world = hunting()
    balances = [world.balance(n) for n in (RIVAL, 5)]
    shown = parts(world, 0)
    world.step(seal(world, HUNTER, shown), seal(world, RIVAL, shown), seal(world, 5, shown))
    world.step(show(world, RIVAL, shown))
    world.step(show(world, HUNTER, shown))
    assert len(submissions(world)) == 2  # the hit may be false
    judged(world, 0, shown["loss"], shown["vector"])
    fee = world.genesis.parameters.fee
    assert [world.balance(n) for n in (RIVAL, 5)] == [balances[0] - 2 * fee, balances[1] - fee]
    assert submissions(world) == {}


def test_a_blob_hits_once() -> None:
    world = hunting()
    upheld(world)
    again = parts(world, 1)
    world.step(seal(world, RIVAL, again))
    assert world.outcomes(world.step(show(world, RIVAL, again))) == [("failed", "spent")]
    both = hunting()
    before = both.balance(RIVAL)
    shown = [parts(both, 0), parts(both, 1)]
    both.step(seal(both, HUNTER, shown[0]), seal(both, RIVAL, shown[1]))
    both.step(show(both, HUNTER, shown[0]), show(both, RIVAL, shown[1]))
    assert [int.from_bytes(key, "big") for key, _ in both.state.scan(chain.HITS)] == [0]
    assert [target for target, _ in submissions(both)] == [1]  # the blob is free again if the hit is false
    judged(both, 0, shown[0]["loss"], shown[0]["vector"])
    both.step()
    assert both.balance(RIVAL) == before - 2 * both.genesis.parameters.fee
    assert submissions(both) == {}
    assert 1 in open_targets(both)


def test_a_target_with_submissions_outlives_its_epoch_until_they_are_decided() -> None:
    world = hunting(epoch_ms=10_000)
    shown, idle = parts(world, 0), parts(world, 1, blob=blob(1))
    world.step(seal(world, HUNTER, shown), seal(world, RIVAL, idle))
    applied = turn(world)
    assert ended(applied) == [(2, "expired")]
    assert world.outcomes(world.step(seal(world, RIVAL, shown))) == [("failed", "target")]
    hits = race(world).hits
    world.step(show(world, HUNTER, shown))
    assert world.state.need(chain.HITS, race_.target_key(0)).target.reward == REWARD
    assert race(world).hits == hits  # which counted for the epoch before, or not at all
    pool = race(world).pool
    applied = world.step(after=30_000)
    assert (1, "expired") in ended(applied)
    assert race(world).pool >= pool + REWARD


# Audits and claims. ---------------------------------------------------------------------------------------------------


def test_a_hit_is_audited_and_claimed_by_anybody_and_its_reward_is_split_exactly() -> None:
    world = hunting(emission=10**9 + 7)
    reward = race(world).reward
    shown = hit(world)
    judged(world, 0, shown["loss"], shown["vector"])
    hunter, claimer, treasury = world.balance(HUNTER), world.balance(5), held(world).treasury
    stake = stakes.stake_of(world.state, shown["encoder"])
    encoder = next(n for n in range(1, 5) if address(n) == shown["encoder"])
    earner = world.balance(encoder)
    assert world.outcomes(world.step(claim(world, 5, 0))) == [("failed", "early")]
    applied = world.step(claim(world, 5, 0), after=5_000)
    assert world.outcomes(applied) == [("applied", "")]
    assert ended(applied) == [(0, "claimed")]
    half, part = reward * 4975 // 10_000, reward * 50 // 10_000
    assert world.balance(HUNTER) - hunter == half + BOND - REWARD // 10 + reward // 10
    assert world.balance(encoder) - earner + stakes.stake_of(world.state, shown["encoder"]) - stake == half
    assert world.balance(5) - claimer == part - 2 * world.genesis.parameters.fee
    assert held(world).treasury - treasury == reward - 2 * half - part
    assert world.outcomes(world.step(claim(world, 5, 0))) == [("failed", "target")]


@pytest.mark.parametrize(
    ("word", "lost", "powers"), [("false", BOND, (1,)), ("missing", BOND // 10, (1, 1, 1)), ("open", 0, (1,))]
)
def test_what_an_audit_does_not_confirm_is_not_paid(word: str, lost: int, powers: tuple[int, ...]) -> None:
    world = hunting(powers)
    shown = hit(world)
    replays.mixing(world)
    pool, hunter, treasury = race(world).pool, world.balance(HUNTER), held(world).treasury
    judged(world, 0, 3 << 16, far(open_targets(world)[1]) if word == "false" else b"")
    if word != "false":
        assert world.state.count(chain.HITS) == 1
        judged(world, 0, 3 << 16, b"")  # the whole committee cannot have them either
    assert world.state.count(chain.HITS) == 0
    assert race(world).pool == pool + REWARD
    assert world.balance(HUNTER) == hunter + BOND - lost
    assert held(world).treasury == treasury + lost
    assert world.outcomes(world.step(claim(world, HUNTER, 0), after=9_000)) == [("failed", "target")]
    assert race(world).hits == 0
    again = parts(world, 1, blob=shown["blob"])
    world.step(seal(world, RIVAL, again))
    assert world.outcomes(world.step(show(world, RIVAL, again))) == [("applied", "")]  # what is false spends nothing
    assert world.state.count(chain.HITS) == 1


def test_a_hit_is_not_paid_while_its_audit_is_open_and_silent_auditors_accuse_nobody() -> None:
    world = hunting(audit_seal_ms=60_000)
    hit(world)
    key = audits.subject(hits_.KIND, hits_.audit_key(0))
    assert world.state.get(audits.AUDITS, key) is not None
    assert world.outcomes(world.step(claim(world, 5, 0), after=50_000)) == [("failed", "early")]
    world.step(after=10_001)
    assert world.state.get(audits.AUDITS, key) is None
    assert world.outcomes(world.step(claim(world, 5, 0))) == [("applied", "")]


def test_without_an_audit_window_a_hit_is_paid_at_once() -> None:
    world = hunting(audit_ms=0)
    hit(world)
    assert world.state.count(audits.AUDITS) == 0
    assert world.outcomes(world.step(claim(world, HUNTER, 0))) == [("applied", "")]


# Whatever anybody does. -----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.data())
def test_no_mix_of_submissions_makes_or_loses_money(data: st.DataObject) -> None:
    """`World` adds up the whole state after every commit; here also: every escrow ends, and bonds are paid or lost."""
    world = hunting(epoch_ms=data.draw(st.sampled_from([2_000, 60_000])), targets=4, target_goal=3)
    sealed: dict[tuple[int, int], dict[str, Any]] = {}
    for _ in range(data.draw(st.integers(3, 12))):
        items = []
        for number in data.draw(st.lists(st.sampled_from([5, HUNTER, RIVAL]), unique=True, max_size=3)):
            found = open_targets(world)
            if found and data.draw(st.booleans()):
                target = data.draw(st.sampled_from(sorted(found)))
                vector = data.draw(st.sampled_from([near, far]))(found[target])
                shown = parts(world, target, blob=blob(data.draw(st.integers(0, 5))), vector=vector)
                sealed[number, target] = shown
                items.append(seal(world, number, shown, size=data.draw(st.integers(1, 1 << 20))))
            elif mine := [key for key in sealed if key[0] == number]:
                items.append(show(world, number, sealed[data.draw(st.sampled_from(mine))]))
            else:
                items.append(claim(world, number, data.draw(st.integers(0, 5))))
        world.step(*items, after=data.draw(st.sampled_from([1, 500, 31_000])), system=None)
    world.step(after=100_000)
    world.announce()
    assert submissions(world) == {}
    world.step(after=70_000)  # no auditor answers
    world.step(*(claim(world, 5, int.from_bytes(key, "big")) for key, _ in world.state.scan(chain.HITS)), after=70_000)
    assert world.state.count(chain.HITS) == 0
    emitted, pool = held(world).emitted, race(world).pool
    turn(world)
    assert held(world).emitted - emitted <= 400_000_000 + max(0, min(600_000_000, 2_400_000_000 - pool))


near = race_world.near


def test_the_auditors_of_a_committee_are_never_the_encoder_they_audit() -> None:
    world = hunting((1, 1, 1, 1), audit_quorum=3)
    hit(world)
    audit = world.state.need(audits.AUDITS, audits.subject(hits_.KIND, hits_.audit_key(0)))
    assert len(audit.panel) == 3
    assert {auditor.account for auditor in audit.panel} <= {address(account(place)) for place in world.places}
    assert (audit.blob, audit.size, audit.items[0].member) == (blob(0), SIZE, 0)


@pytest.mark.parametrize("plugin", [soma_scoring, balanced], ids=lambda plugin: plugin.__name__)
def test_the_races_of_both_scoring_rules_run_from_opening_to_claim(plugin: Any) -> None:
    genesis = committee_genesis((1,), targets=3, target_goal=10, target_encoders=2, audit_ms=5_000, audit_quorum=1)
    world = Committee(genesis=genesis, rule=plugin.open_rule(plugin.Params()))
    world.announce()
    turn(world)
    replays.mixing(world)
    start = race(world)
    shown = hit(world)
    judged(world, 0, shown["loss"], shown["vector"])
    assert world.outcomes(world.step(claim(world, 5, 0), after=6_000)) == [("applied", "")]
    turn(world)
    assert race(world).radius > start.radius  # one hit where ten were wanted
    assert list(open_targets(world)) == [4, 5, 6]


# Where the network is weak. -------------------------------------------------------------------------------------------


def known_data(world: Committee) -> None:
    """As if forty jobs had settled, in cells 0, 1 and none in turn, and cells 0 to 2 were known."""
    for number in range(40):
        vector = fixed.vector_bytes(replays.spread(number))
        cell = (0, 1, None)[number % 3]
        record = settlement.SettledVector(blob=blob(number), vector=vector, loss=(number % 3) << 16, cell=cell)
        world.reader.data[settlement.SETTLED.key(number.to_bytes(8, "big"))] = pack(record)
    for number in range(3):
        cell = routing.Cell(middle=bytes(128), jobs=10 + number)
        world.reader.data[routing.CELLS.key(bytes([number]))] = pack(cell)
    tip = evolve(world.tip, lthash=chain.lthash.total(world.reader.data.items()))
    world.trace.append(evolve(world.trace[-1], tip=tip))


def test_a_target_lies_in_the_cell_of_the_settled_datum_nearest_to_it() -> None:
    world = hunting(targets=12, target_goal=20)
    assert {target.cell for target in open_targets(world).values()} == {None}
    known_data(world)
    turn(world)
    replays.mixing(world)
    points = {n: fixed.vector_from_bytes(target.point, 8).astype(int) for n, target in open_targets(world).items()}
    assert len(points) == 12
    for number, point in points.items():
        near = max(range(40), key=lambda n, point=point: (int(replays.spread(n).astype(int) @ point), -n))  # type: ignore[misc]
        assert open_targets(world)[number].cell == (0, 1, None)[near % 3]


def test_the_weakest_cell_is_the_one_whose_targets_are_seldom_hit() -> None:
    world = hunting(targets=12, target_goal=20)
    assert chain.weak_spots(world.state) == []
    known_data(world)
    turn(world)
    assert chain.weak_spots(world.state) == []  # those of no cell are not counted
    replays.mixing(world)
    cells = {number: target.cell for number, target in open_targets(world).items()}
    for number in [n for n, cell in cells.items() if cell == 1][:2]:
        upheld(world, target=number, blob=blob(100 + number))
    (strong,) = chain.weak_spots(world.state)
    assert strong == chain.WeakSpot(cell=1, jobs=11, hits=512, expired=0, data=13, loss=1 << 16)
    replays.mixing(world)
    count = Counter(target.cell for target in open_targets(world).values())
    turn(world)
    weak, strong = chain.weak_spots(world.state)
    assert weak == chain.WeakSpot(cell=0, jobs=10, hits=0, expired=192 * count[0], data=14, loss=0)
    assert (strong.cell, strong.hits, strong.expired) == (1, 384, 192 * count[1])
