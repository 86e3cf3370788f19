"""Rules V: the committee, its links and anchors, and its signatures under records (``specs/14-validators.md``)."""

from typing import Any

import pytest
import replays
from attrs import evolve
from committee_world import Committee, committee_genesis
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_core import beacon, chain, codec
from soma_core.chain import proofs, validators
from soma_core.crypto import digest
from soma_core.records import pack


def tally(world: Committee, index: int) -> Any:
    return world.state.get(validators.TALLIES, index.to_bytes(8, "big"))


def test_a_leader_mixes_its_link_and_its_chain_moves_on() -> None:
    world = replays.begun((1, 1))
    start = world.state.need(chain.BEACON)
    assert start == validators.Beacon(digest("soma/beacon", world.genesis.chain), 0)
    link = world.chain_of(1, 0).link(world.round)
    world.step(leader=1)
    assert world.state.need(chain.BEACON) == validators.Beacon(beacon.mix(start.value, link), 1)
    assert (world.validator(1).link, world.validator(1).link_round) == (link, 2)
    world.step(leader=0)
    world.step(leader=0)
    assert world.state.need(chain.BEACON).links == 3
    assert [world.validator(place).misses for place in world.places] == [1, 0]


def test_a_link_of_a_later_round_is_checked_over_the_gap() -> None:
    world = replays.begun((1, 1))
    chain_ = world.chain_of(1, 0)
    world.step(leader=1, round_=40, system=world.system_of(1, link=chain_.link(40)))
    world.step(leader=1, round_=4096, system=world.system_of(1, link=chain_.link(4096)))
    assert world.state.need(chain.BEACON).links == 2
    world.step(leader=1, round_=4097, system=world.system_of(1, link=digest("soma/beaconlink")))
    assert world.validator(1).misses == 1


@pytest.mark.parametrize(
    "link",
    [None, b"", bytes(31), bytes(32), bytes(33), "own of the next round", "another's", "own of the next epoch"],
    ids=str,
)
def test_a_link_that_is_missing_or_wrong_mixes_nothing_and_is_a_miss(link: bytes | str | None) -> None:
    world = replays.begun((1, 1))
    known = {
        "own of the next round": world.chain_of(0, 0).link(world.round + 1),
        "another's": world.chain_of(1, 0).link(world.round),
        "own of the next epoch": world.chain_of(0, 1).link(world.round),
    }
    before = world.state.need(chain.BEACON), world.validator(0).link
    given_ = known[link] if isinstance(link, str) else link
    item = chain.System(link=given_, anchors=(), signatures=())
    world.step(system=pack(item))
    assert (world.state.need(chain.BEACON), world.validator(0).link) == before
    assert world.validator(0).misses == 2  # the first was before its anchor was known


@pytest.mark.parametrize("system", [b"", b"\xff", codec.encode({}), codec.encode([b"", bytes(64)]), b"\x00" * 9])
def test_system_bytes_that_are_no_system_item_are_a_miss(system: bytes) -> None:
    world = replays.begun()
    applied = world.step(system=system)
    assert (world.validator(0).misses, applied.receipts) == (2, ())


def test_a_link_that_was_shown_is_worth_nothing_again() -> None:
    world = replays.begun()
    link = world.chain_of(0, 0).link(2)
    world.step()
    world.step(system=world.system_of(0, link=link))
    world.step(round_=2, system=world.system_of(0, link=link))
    assert (world.state.need(chain.BEACON).links, world.validator(0).misses) == (1, 3)


def test_anchors_are_announced_once_and_taken_up_at_the_boundary() -> None:
    world = replays.begun((1, 1))
    anchors = [world.chain_of(1, epoch).anchor for epoch in (0, 1, 2)]
    assert (world.validator(1).link, world.validator(1).next_anchor) == (anchors[0], anchors[1])
    other = chain.System(link=None, anchors=((0, bytes(32)), (1, bytes(32)), (2, bytes(32))), signatures=())
    world.step((1, pack(other)))
    assert (world.validator(1).link, world.validator(1).next_anchor) == (anchors[0], anchors[1])
    world.step(after=60_000)
    assert (world.validator(1).link, world.validator(1).next_anchor) == (anchors[1], None)
    world.step((1, pack(chain.System(link=None, anchors=((1, bytes(32)), (2, anchors[2])), signatures=()))))
    assert (world.validator(1).link, world.validator(1).next_anchor) == (anchors[1], anchors[2])
    world.step(leader=1)
    assert world.validator(1).misses == 0


def test_who_announced_no_anchor_misses_the_whole_epoch_and_not_the_next() -> None:
    world = replays.begun((1, 1))
    world.step(after=60_000)
    world.step((0, world.system_of(0, link=None)), system=b"")  # only place 0 announces for epoch 2
    world.step(after=60_000, system=b"")
    assert [world.validator(place).link is None for place in world.places] == [False, True]
    world.step((1, world.system_of(1)), leader=1)  # an anchor of the running epoch comes too late
    world.step(leader=1)
    assert world.validator(1).misses == 2
    world.step(after=60_000, leader=1)
    world.step(leader=1)
    assert world.validator(1).misses == 3  # the commit that ended the epoch, and none since


def test_anchors_of_the_wrong_length_or_beyond_the_fourth_are_passed_over() -> None:
    world = Committee(genesis=committee_genesis((1,)))
    good = world.chain_of(0, 0).anchor
    many = ((7, good),) * validators.SYSTEM_ANCHORS + ((0, good),)
    world.step(system=pack(chain.System(link=None, anchors=many, signatures=())))
    assert world.validator(0).link is None
    short = ((0, good[1:]), (1, good + b"\0"), (0, good))
    world.step(system=pack(chain.System(link=None, anchors=short, signatures=())))
    assert (world.validator(0).link, world.validator(0).next_anchor) == (good, None)


def test_signatures_under_records_are_gathered_to_a_checkpoint() -> None:
    world = Committee(genesis=committee_genesis((4, 3, 2, 1)))
    record = world.step().record
    items = [(place, world.system_of(place)) for place in (3, 1, 0, 1)]
    applied = world.step(*items, leader=2, system=world.system_of(2, signs=False))
    events = [e for e in applied.events if isinstance(e, chain.RecordSigned)]
    assert [(e.index, e.place) for e in events] == [(1, 3), (1, 1), (1, 0)]
    gathered = tally(world, 1)
    assert (gathered.epoch, gathered.record) == (0, chain.record_digest(record))
    assert [place for place, _ in gathered.signatures] == [0, 1, 3]
    checkpoint = chain.Checkpoint(record=record, signatures=gathered.signatures)
    assert proofs.check_checkpoint(world.genesis.chain, chain.founders(world.genesis), checkpoint) == 8


def test_a_signature_counts_for_its_author_its_record_and_its_epoch_alone() -> None:
    world = Committee(genesis=committee_genesis((1, 1)))
    first = world.step(system=b"").record
    own = world.record_signature(0, first)
    wrong = [
        (1, own),  # another's
        (0, chain.RecordSignature(0, own.signature)),  # of another record
        (0, chain.RecordSignature(2, own.signature)),  # of a record that is not yet
        (0, chain.RecordSignature(1, bytes(64))),
    ]
    for author, signature in wrong:
        world.step((author, pack(chain.System(link=None, anchors=(), signatures=(signature,)))), system=b"")
    assert all(not record.signatures for _, record in world.state.scan(validators.TALLIES))
    world.step((0, pack(chain.System(link=None, anchors=(), signatures=(own,)))), system=b"")
    assert tally(world, 1).signatures == ((0, own.signature),)


def test_more_signatures_than_an_item_may_carry_are_not_looked_at() -> None:
    world = Committee(genesis=committee_genesis((1,)))
    record = world.step(system=b"").record
    junk = (chain.RecordSignature(1, bytes(64)),) * validators.SYSTEM_SIGNATURES
    item = chain.System(link=None, anchors=(), signatures=(*junk, world.record_signature(0, record)))
    world.step(system=pack(item))
    assert tally(world, 1).signatures == ()


def test_tallies_are_kept_for_64_commits() -> None:
    world = Committee(genesis=committee_genesis((1,)))
    records = [world.trace[0].record]
    records.extend(world.step(system=b"").record for _ in range(70))
    names = [int.from_bytes(name, "big") for name, _ in world.state.scan(validators.TALLIES)]
    assert names == list(range(70 - validators.TALLIES_KEPT, 70))
    late = tuple(world.record_signature(0, records[index]) for index in (5, 6, 7))
    world.step(system=pack(chain.System(link=None, anchors=(), signatures=late)))
    assert tally(world, 6) is None  # its 64 commits ended with this one
    assert len(tally(world, 7).signatures) == 1


@pytest.mark.parametrize(
    ("powers", "least"),
    [((1,), 1), ((1, 1), 2), ((1, 1, 1), 3), ((1,) * 4, 3), ((1,) * 7, 5), ((4, 3, 2, 1), 7), ((1 << 40, 1), None)],
    ids=str,
)
def test_a_quorum_is_more_than_two_thirds(powers: tuple[int, ...], least: int | None) -> None:
    needed = chain.quorum(powers)
    assert least in (None, needed)
    assert 3 * needed > 2 * sum(powers) >= 3 * (needed - 1)


@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=20))
def test_who_vouches_is_not_only_liars_and_can_be_had_without_any(powers: list[int]) -> None:
    """As much may lie as a quorum can do without."""
    quorum, validity = chain.quorum(tuple(powers)), chain.validity(tuple(powers))
    may_lie = sum(powers) - quorum
    assert validity == may_lie + 1 <= quorum
    assert 3 * may_lie < sum(powers)


@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=20), st.data())
def test_two_quorums_share_more_than_a_third(powers: list[int], data: st.DataObject) -> None:
    needed = chain.quorum(tuple(powers))
    one, other = (
        {n for n in range(len(powers)) if data.draw(st.booleans())} | set(range(start, len(powers), 2))
        for start in (0, 1)
    )
    weight = {name: sum(powers[n] for n in places) for name, places in (("one", one), ("other", other))}
    if min(weight.values()) >= needed:
        assert 3 * sum(powers[n] for n in one & other) > sum(powers)


# Draws wait for distinct leaders. -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "leaders"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 4)])
def test_a_draw_waits_for_distinct_leaders_whose_links_were_mixed(size: int, leaders: int) -> None:
    world = replays.begun((1,) * size)
    job = chain.job_key(replays.address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world))
    world.step(*replays.attest(world, job, range(2 * size // 3 + 1)))
    assert world.state.need(chain.JOBS, job).leaders == ()
    for place in range(leaders - 1):
        world.step(leader=place)
        world.step(leader=place)
    world.step(leader=size - 1, system=b"")
    world.step(leader=size - 1, system=world.system_of(size - 1, link=bytes(32)))
    record = world.state.need(chain.JOBS, job)
    assert (record.stage, record.leaders) == ("drawing", tuple(range(leaders - 1)))
    applied = world.step(leader=size - 1)
    assert [type(e) for e in applied.events if isinstance(e, chain.ShardDrawn)] == [chain.ShardDrawn]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=14))
def test_the_stage_opens_with_the_leaders_of_a_quorum_and_never_before(turns: list[tuple[int, bool]]) -> None:
    powers = (4, 3, 2, 1)
    world = replays.begun(powers, beacon_rounds=64)
    job = chain.job_key(replays.address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world))
    world.step(*replays.attest(world, job, (0, 1, 2)))
    seen: set[int] = set()
    for leader, shows in turns:
        world.step(leader=leader, system=world.system_of(leader) if shows else b"")
        if shows:
            seen.add(leader)
        enough = sum(powers[place] for place in seen) >= chain.quorum(powers)
        assert (world.state.need(chain.JOBS, job).stage == "drawing") == (not enough)
        if enough:
            break


def test_a_quorum_of_power_attests_and_each_validator_once() -> None:
    world = replays.begun((4, 3, 2, 1))
    job = chain.job_key(replays.address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world))
    applied = world.step(*replays.attest(world, job, (0, 0, 2)))
    assert world.outcomes(applied) == [("applied", ""), ("failed", "exists"), ("applied", "")]
    assert world.state.need(chain.JOBS, job).stage == "attesting"  # power 6 of 10
    applied = world.step(*replays.attest(world, job, (3,)))
    assert [e.stage for e in applied.events if isinstance(e, chain.JobChanged)] == ["drawing"]


def test_an_account_of_two_validators_attests_for_both() -> None:
    start = committee_genesis((1, 1, 1))
    shared = evolve(start, validators=tuple(evolve(v, account=start.validators[0].account) for v in start.validators))
    world = Committee(genesis=shared)
    job = chain.job_key(replays.address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world))
    world.step(*replays.attest(world, job, (0,)))
    assert world.state.need(chain.JOBS, job).attested == (0, 1, 2)
