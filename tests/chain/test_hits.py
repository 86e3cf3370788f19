"""Rules Z17 to Z21: who is next if a hit is found false, and what an audit of a hit looks at."""

from random import Random
from typing import Any

import pytest
import replays
from attrs import evolve
from committee_world import Committee, address
from race_world import (
    HUNTER,
    RIVAL,
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

from soma_core import chain
from soma_core.chain import audits, hits, targets
from soma_core.chain import race as race_
from soma_core.records import pack

REWARD = 15_000_000
BOND = REWARD // 10 + 1_000
LATE = 30_001
"""Ms after which what was sealed cannot be shown any more."""


def treasury(world: Committee) -> int:
    return world.state.need(chain.POOLS).treasury


def hit_of(world: Committee, target: int = 0) -> chain.Hit:
    return world.state.need(chain.HITS, race_.target_key(target))


def ended(applied: chain.Applied) -> list[tuple[int, str]]:
    return [(e.target, e.how) for e in applied.events if isinstance(e, chain.TargetEnded)]


def rivals(world: Committee, *numbers: int, target: int = 0, shown: bool = True) -> list[dict[str, Any]]:
    """A made-up hit of HUNTER, and after it, in this order, the seals of these, and what they show."""
    first = parts(world, target)
    theirs = [parts(world, target, blob=blob(n)) for n in numbers]
    pairs = list(zip(numbers, theirs, strict=True))
    world.step(seal(world, HUNTER, first), *(seal(world, n, one) for n, one in pairs))
    if shown:
        world.step(*(show(world, n, one) for n, one in pairs))
    world.step(show(world, HUNTER, first))
    return theirs


def found_false(world: Committee, target: int = 0) -> chain.Applied:
    """Every auditor finds another vector; and one more commit."""
    judged(world, target, 1 << 16, far(hit_of(world, target).target))
    return world.step()


# Who is next. ---------------------------------------------------------------------------------------------------------


def test_when_a_made_up_hit_is_found_false_the_rival_that_sealed_next_hits_and_is_paid() -> None:
    world = hunting()
    balance = world.balance(RIVAL)
    (shown,) = rivals(world, RIVAL)
    replays.mixing(world)
    pool, opened = race(world).pool, race(world).opened
    held = treasury(world)
    found_false(world)
    assert treasury(world) == held + BOND
    found = hit_of(world)
    assert (found.submitter, found.blob) == (address(RIVAL), shown["blob"])
    assert found.claimable == world.tip.time + 5_000
    assert race(world).hits == 0
    judged(world, 0, shown["loss"], shown["vector"])
    assert world.outcomes(world.step(claim(world, RIVAL, 0), after=5_000)) == [("applied", "")]
    gain = REWARD * 4975 // 10_000 + REWARD * 50 // 10_000 - 3 * world.genesis.parameters.fee
    assert world.balance(RIVAL) == balance + gain
    assert (race(world).hits, race(world).pool) == (1, pool)
    assert race(world).opened == opened, "one target came for this one, not two"


def test_rivals_are_next_in_the_order_of_their_seals_and_each_false_one_pays() -> None:
    world = hunting()
    rivals(world, 5, RIVAL, 4)
    held = treasury(world)
    for number in (5, RIVAL):
        found_false(world)
        assert hit_of(world).submitter == address(number)
    assert treasury(world) == held + 2 * BOND
    assert [submitter for _, submitter in submissions(world)] == [address(4)]
    balance = world.balance(4)
    judged(world, 0, 1 << 16, hit_of(world).vector)
    assert submissions(world) == {}
    assert world.balance(4) == balance + BOND, "who was never next has its bond back"


def test_without_a_rival_the_reward_goes_back_and_nothing_was_hit() -> None:
    world = hunting()
    hit(world)
    replays.mixing(world)
    pool = race(world).pool
    judged(world, 0, 1 << 16, far(open_targets(world)[1]))
    assert ended(world.trace[-1]) == [(0, "false")]
    assert (race(world).pool, race(world).hits) == (pool + REWARD, 0)
    assert 0 not in open_targets(world)
    assert world.state.get(race_.SPENT, blob(0)) is None
    assert chain.weak_spots(world.state) == []


def test_a_rival_has_still_to_show_in_time_and_pays_if_others_wait_for_it() -> None:
    world = hunting()
    _, shown = rivals(world, 5, RIVAL, shown=False)
    assert world.outcomes(world.step(show(world, RIVAL, shown))) == [("applied", "")]
    found_false(world)
    (target,) = (t for n, t in open_targets(world).items() if n == 0)
    assert target.closed
    assert world.state.count(chain.HITS) == 0, "the one that sealed second has time to show"
    assert world.outcomes(world.step(seal(world, 4, shown))) == [("failed", "target")], "nobody joins them"
    held, balance = treasury(world), world.balance(5)
    world.step(after=LATE)
    assert hit_of(world).submitter == address(RIVAL)
    assert treasury(world) == held + BOND // 10
    assert world.balance(5) == balance + BOND - BOND // 10


def test_who_does_not_show_while_somebody_elses_hit_is_audited_loses_nothing() -> None:
    world = hunting(audit_seal_ms=60_000)
    rivals(world, 5, shown=False)
    held, balance = treasury(world), world.balance(5)
    world.step(after=LATE)
    assert [submitter for _, submitter in submissions(world)] == [address(5)]
    pool = race(world).pool
    judged(world, 0, 1 << 16, far(hit_of(world).target))
    assert submissions(world) == {}
    assert (treasury(world), world.balance(5)) == (held + BOND, balance + BOND)
    assert race(world).pool == pool + REWARD


def test_a_closed_target_that_nobody_can_hit_any_more_expires_without_being_counted() -> None:
    world = hunting()
    rivals(world, 5, shown=False)
    found_false(world)
    pool = race(world).pool
    applied = world.step(after=LATE)
    assert ended(applied) == [(0, "expired")]
    assert race(world).pool >= pool + REWARD
    assert world.state.count(race_.TARGETS) == len(open_targets(world))
    assert chain.weak_spots(world.state) == []


def test_a_rival_that_does_not_hit_is_refused_as_before_the_hit() -> None:
    world = hunting()
    target = open_targets(world)[0]
    bad = parts(world, 0, blob=blob(5), vector=far(target))
    first = parts(world, 0)
    world.step(seal(world, HUNTER, first), seal(world, 5, bad))
    world.step(show(world, HUNTER, first))
    assert world.outcomes(world.step(show(world, 5, bad))) == [("failed", "distance")]
    assert world.outcomes(world.step(show(world, 4, bad))) == [("failed", "submission")]


def test_rivals_wait_over_the_end_of_the_epoch() -> None:
    world = hunting(epoch_ms=10_000, audit_seal_ms=60_000)
    (shown,) = rivals(world, RIVAL)
    turn(world)
    assert [submitter for _, submitter in submissions(world)] == [address(RIVAL)]
    opened = race(world).opened
    found_false(world)
    assert hit_of(world).submitter == address(RIVAL)
    judged(world, 0, shown["loss"], shown["vector"])
    assert race(world).hits == 1, "it counts for the epoch in which it is upheld"
    assert race(world).opened >= opened
    turn(world)
    assert hit_of(world).target.epoch < world.tip.epoch - 1
    assert world.outcomes(world.step(claim(world, RIVAL, 0), after=9_000)) == [("applied", "")]


def test_without_an_audit_window_rivals_get_their_bonds_back_at_once() -> None:
    world = hunting(audit_ms=0)
    balance = world.balance(5)
    rivals(world, 5)
    assert submissions(world) == {}
    assert world.balance(5) == balance - 2 * world.genesis.parameters.fee
    assert race(world).hits == 1


def test_with_nobody_to_audit_it_a_hit_is_upheld_at_once() -> None:
    world = hunting(audit_quorum=0)
    balance = world.balance(5)
    rivals(world, 5)
    assert (submissions(world), race(world).hits) == ({}, 1)
    assert world.balance(5) == balance - 2 * world.genesis.parameters.fee


# Blobs of hits that may be false. -------------------------------------------------------------------------------------


def test_a_made_up_hit_spends_nobodys_blob() -> None:
    """The blob of an honest submission, named by a cheat for another target: the honest one waits, and then hits."""
    world = hunting()
    honest = parts(world, 1)
    world.step(seal(world, RIVAL, honest))
    hit(world, 5, 0, blob=honest["blob"])
    assert world.outcomes(world.step(show(world, RIVAL, honest))) == [("applied", "")]
    assert 1 in open_targets(world)
    later = parts(world, 1, blob=blob(9))
    world.step(seal(world, 4, later))
    world.step(show(world, 4, later), after=LATE)
    assert 1 in open_targets(world), "who sealed first is first, as long as its blob may be free"
    assert ended(found_false(world)) == []
    assert hit_of(world, 1).submitter == address(RIVAL)


def test_of_two_targets_that_one_blob_would_hit_the_one_sealed_first_gets_it() -> None:
    world = hunting()
    early, late = parts(world, 2), parts(world, 1)
    world.step(seal(world, RIVAL, early))
    world.step(seal(world, 5, late))
    world.step(show(world, 5, late), show(world, RIVAL, early))
    assert [int.from_bytes(key, "big") for key, _ in world.state.scan(chain.HITS)] == [2]


def test_a_blob_that_was_spent_meanwhile_gives_the_bond_back() -> None:
    world = hunting()
    shared = blob(0)
    second = parts(world, 1, blob=shared)
    world.step(seal(world, RIVAL, second))
    balance = world.balance(RIVAL)
    hit(world, 5, 0, blob=shared)
    world.step(show(world, RIVAL, second))
    judged(world, 0, 1 << 16, hit_of(world).vector)
    world.step()
    assert submissions(world) == {}
    assert world.balance(RIVAL) == balance + BOND - world.genesis.parameters.fee
    assert not open_targets(world)[1].closed


# The assigned encoder of the lowest loss. -----------------------------------------------------------------------------


def test_a_hits_audit_looks_at_every_assigned_encoder_and_at_the_named_one_first() -> None:
    world = hunting(target_encoders=3)
    target = open_targets(world)[0]
    shown = hit(world, encoder=target.encoders[1].encoder)
    audit = world.state.need(audits.AUDITS, audits.subject(hits.KIND, hits.audit_key(0)))
    order = [target.encoders[place] for place in (1, 0, 2)]
    assert [(item.member, item.encoder, item.weights, item.frame) for item in audit.items] == [
        (place, assigned.encoder, assigned.weights, assigned.frame) for place, assigned in enumerate(order)
    ]
    assert [item.vector for item in audit.items] == [shown["vector"], b"", b""]
    assert {item.loss for item in audit.items} == {shown["loss"]}
    assert not {a.account for a in audit.panel} & {assigned.encoder for assigned in order}


def test_an_audit_looks_at_as_many_encoders_as_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "room", lambda _dimension: 2)
    world = hunting(target_encoders=4)
    hit(world)
    audit = world.state.need(audits.AUDITS, audits.subject(hits.KIND, hits.audit_key(0)))
    assert [item.member for item in audit.items] == [0, 1]


@pytest.mark.parametrize(
    ("lower", "word"), [(0, "honest"), (655, "honest"), (656, "false"), (1 << 16, "false"), (-9, "honest")]
)
def test_a_hit_is_false_where_another_assigned_encoder_has_a_lower_loss(lower: int, word: str) -> None:
    world = hunting()
    shown = hit(world)
    other = audits.Result(loss=shown["loss"] - lower, vector=far(open_targets(world)[1]))
    held = treasury(world)
    judged(world, 0, shown["loss"], shown["vector"], other)
    assert world.state.count(chain.HITS) == (word == "honest")
    assert treasury(world) - held == (0 if word == "honest" else BOND)
    assert race(world).hits == (word == "honest")


def test_another_encoders_weights_that_cannot_be_had_do_not_count_against_a_hit() -> None:
    world = hunting((1, 1, 1), audit_quorum=3)
    shown = hit(world)
    judged(world, 0, shown["loss"], shown["vector"], audits.Result(loss=0, vector=b""))
    assert (race(world).hits, world.state.count(chain.HITS), world.state.count(audits.AUDITS)) == (1, 1, 0)


def test_a_lower_loss_that_one_of_three_auditors_says_condemns_nobody() -> None:
    world = hunting((1, 1, 1), audit_quorum=3)
    shown = hit(world)
    lower = audits.Result(loss=0, vector=far(open_targets(world)[1]))
    judged(world, 0, shown["loss"], shown["vector"], lower, silent=2)
    assert race(world).hits == 1


def test_the_committee_that_looks_for_what_is_missing_looks_at_the_other_encoders_too() -> None:
    world = hunting((1, 1, 1))
    shown = hit(world)
    judged(world, 0, shown["loss"], b"")
    audit = world.state.need(audits.AUDITS, audits.subject(hits.KIND, hits.audit_key(0)))
    assert (audit.appeal, len(audit.items)) == (True, 2)
    lower = audits.Result(loss=0, vector=far(open_targets(world)[1]))
    held = treasury(world)
    judged(world, 0, shown["loss"], shown["vector"], lower)
    assert world.state.count(chain.HITS) == 0
    assert treasury(world) == held + BOND


def test_what_could_not_be_computed_finds_nothing_false() -> None:
    world = hunting()
    hit(world)
    audit = world.state.need(audits.AUDITS, audits.subject(hits.KIND, hits.audit_key(0)))
    nothing = audits.Result(loss=0, vector=b"")
    assert not any(chain.is_false(world.genesis.parameters, item, nothing) for item in audit.items)


# Bounds. --------------------------------------------------------------------------------------------------------------


def test_as_many_rivals_wait_as_submissions_may_and_each_is_audited_once() -> None:
    world = hunting()
    target = open_targets(world)[0]
    first = parts(world, 0)
    world.step(seal(world, HUNTER, first))
    state = world.state
    bonds = 0
    for number in range(targets.SUBMISSIONS_MOST - 1):
        record = race_.Submission(
            order=9 + number,
            commitment=bytes(32),
            size=1,
            bond=0,
            deadline=10**12,
            state="shown",
            blob=blob(number + 1),
            encoder=target.encoders[0].encoder,
            loss=0,
            vector=target.point,
        )
        bonds += record.bond
        state.put(chain.SUBMISSIONS, race_.target_key(0) + bytes([number]) * 32, record)
    world.reader.data.update({name: now for name, (_, now) in state.changes().items() if now is not None})
    tip = evolve(world.tip, lthash=chain.lthash.total(world.reader.data.items()))
    world.trace.append(evolve(world.trace[-1], tip=tip))
    world.step(show(world, HUNTER, first))
    seen = 0
    while world.state.count(chain.HITS):
        seen += 1
        found_false(world)
    assert seen == targets.SUBMISSIONS_MOST
    assert 0 not in open_targets(world)


def test_nothing_that_is_refused_changes_a_hit_or_who_waits_for_it() -> None:
    world = hunting()
    rivals(world, RIVAL)
    name = race_.target_key(0)
    before = pack(hit_of(world)), submissions(world)
    shown = {**parts(world, 1), "target": 0}
    refused = [
        (seal(world, 5, shown), "target"),
        (seal(world, RIVAL, shown), "target"),
        (show(world, RIVAL, shown), "state"),
        (show(world, HUNTER, shown), "submission"),
        (claim(world, RIVAL, 0), "early"),
    ]
    for wire, code in refused:
        assert world.outcomes(world.step(wire)) == [("failed", code)]
        assert (pack(world.state.need(chain.HITS, name)), submissions(world)) == before


def test_an_upheld_hit_stays_until_somebody_claims_it() -> None:
    world = hunting()
    upheld(world)
    turn(world)
    turn(world)
    assert world.state.count(chain.HITS) == 1
    assert world.outcomes(world.step(claim(world, 5, 0))) == [("applied", "")]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_audits_find_every_escrow_ends_and_no_target_is_paid_twice(seed: int) -> None:
    """`World` adds up all money after every commit, and every bond and reward is somewhere in the end."""
    roll = Random(seed)
    world = hunting((1, 1, 1), epoch_ms=roll.choice([4_000, 200_000]), targets=3, audit_quorum=2)
    sealed: dict[tuple[int, int], dict[str, Any]] = {}

    def judge() -> None:
        """Some open audit finds something."""
        open_ = [audit for _, audit in world.state.scan(chain.AUDITS) if audit.stage == "sealing"]
        if open_:
            audit = roll.choice(open_)
            number, claimed = int.from_bytes(audit.key, "big"), audit.items[0]
            vector = roll.choice([claimed.vector, claimed.vector, far(hit_of(world, number).target), b""])
            lower = vector and roll.random() < 0.3
            other = audits.Result(loss=0 if lower else claimed.loss, vector=claimed.vector)
            judged(world, number, claimed.loss, vector, other)

    for _ in range(24):
        items = []
        for number in roll.sample([3, 4, 5, HUNTER, RIVAL], roll.randint(1, 5)):
            waiting = [target for target, submitter in submissions(world) if submitter == address(number)]
            shown = [sealed[number, target] for target in waiting]
            if shown and roll.random() < 0.6:
                items.append(show(world, number, roll.choice(shown)))
            elif found := list(open_targets(world))[:2]:
                target = roll.choice(found)
                sealed.setdefault((number, target), parts(world, target, blob=blob(roll.randint(0, 12))))
                items.append(seal(world, number, sealed[number, target]))
        world.step(*items, after=roll.choice([1, 1, 500, 500, 31_000]))
        world.announce()
        if roll.random() < 0.5:
            judge()
    while submissions(world) or world.state.count(chain.AUDITS):
        judge()
        world.step(after=31_000)
        world.announce()
    numbers = [int.from_bytes(key, "big") for key, _ in world.state.scan(chain.HITS)]
    world.step(*(claim(world, 5, number) for number in numbers), after=6_000)
    assert world.state.count(chain.HITS) == 0
    assert all(not target.closed for target in open_targets(world).values())
    ends = [event for applied in world.trace for event in ended(applied)]
    paid = [number for number, how in ends if how == "claimed"]
    assert len(paid) == len(set(paid))
    assert not {number for number, how in ends if how == "expired"} & set(paid)
    assert {spent.target for _, spent in world.state.scan(race_.SPENT)} == set(paid)
