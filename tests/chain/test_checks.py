"""What validators compute again of what encoders say of themselves (rules AU25 to AU30, ``specs/25-audits.md``)."""

from typing import Final

import numpy as np
import pytest
from audit_world import number_of
from check_world import (
    ENCODERS,
    EPOCH,
    KIND,
    POSITION,
    SETTLED,
    audit_of,
    blob,
    change,
    checked,
    encoder,
    end,
    founded,
    hear,
    settle,
    stake,
    truth,
    vector,
)
from committee_world import address, spread
from ledger_world import DIM
from replays import SALT
from turmoil import best

from soma_core import chain, fixed
from soma_core.chain import audits, checks, claims
from soma_core.genesis import OPAQUE


def test_every_encoder_is_checked_where_there_is_time_for_it() -> None:
    world = founded()
    settle(world)
    end(world)
    found = checked(world)
    assert sorted(found) == list(ENCODERS)
    for number, audit in found.items():
        assert [claims.ASPECTS[item.member] for item in audit.items] == ["position", "best", "frame"]
        assert [item.vector for item in audit.items] == [POSITION, best(1), b""]
        assert len(audit.panel) == 3
        assert audit.deadline == world.tip.time + 4_000
        assert sorted(anchor.blob for anchor in audit.anchors) == sorted(blob(n) for n in range(SETTLED))
        assert encoder(world, number).weights == audit.items[0].weights


def test_nobody_is_checked_where_there_is_no_time_for_it() -> None:
    world = founded(check_ms=0)
    settle(world)
    end(world)
    assert checked(world) == {}
    assert list(world.state.scan(checks.CHECKED)) == []


def test_only_who_can_be_computed_again_and_is_drawn_is_checked() -> None:
    world = founded()
    settle(world)
    change(world, 1, architecture=OPAQUE)
    change(world, 2, until=9)
    end(world)
    assert sorted(checked(world)) == [3, 4]


def test_claims_that_hold_cost_nothing_and_are_not_asked_again() -> None:
    world = founded()
    settle(world)
    end(world)
    audit = checked(world)[1]
    before = encoder(world, 1), stake(world, 1)
    hear(world, 1, truth(audit))
    assert audit_of(world, 1) is None
    assert (encoder(world, 1), stake(world, 1)) == before
    hear(world, 2, truth(audit), speaking=1)  # too few to know: asked again
    end(world)
    assert [item.member for item in checked(world)[1].items] == [2]
    assert [item.member for item in checked(world)[2].items] == [0, 1, 2]


@pytest.mark.parametrize("aspect", ["position", "best"])
def test_a_false_claim_is_dropped_and_costs_a_hundredth_of_the_stake(aspect: str) -> None:
    world = founded()
    settle(world)
    end(world)
    false = {"position": fixed.vector_bytes(spread(701)), "best": best(2)}[aspect]
    before = stake(world, 1)
    hear(world, 1, truth(checked(world)[1], **{aspect: false}))
    found = encoder(world, 1)
    assert getattr(found, aspect) == b""
    assert {"position": found.best, "best": found.position}[aspect]
    assert found.until is None
    assert stake(world, 1) == before - before * checks.CLAIM_FINE // 10_000


def test_who_is_out_of_the_frame_is_drawn_no_more_and_pays_nothing() -> None:
    world = founded()
    settle(world)
    end(world)
    before = stake(world, 1)
    hear(world, 1, truth(checked(world)[1], frame=b"".join(vector(900 + n) for n in range(SETTLED))))
    assert encoder(world, 1).until == world.epoch + 1
    assert stake(world, 1) == before
    assert encoder(world, 1).position == POSITION


def test_what_nobody_could_have_changes_nothing() -> None:
    world = founded()
    settle(world)
    end(world)
    before = encoder(world, 1), stake(world, 1)
    hear(world, 1, [chain.Result(loss=0, vector=b"")] * 3)
    assert (encoder(world, 1), stake(world, 1)) == before
    end(world)
    assert [item.member for item in checked(world)[1].items] == [0, 1, 2]


def test_what_is_found_of_weights_that_are_gone_changes_nothing() -> None:
    world = founded()
    settle(world)
    end(world)
    results = truth(checked(world)[1], position=fixed.vector_bytes(spread(701)), frame=b"\1" * 2 * DIM * SETTLED)
    change(world, 1, frame=b"\7" * 32)
    before = encoder(world, 1), stake(world, 1)
    hear(world, 1, results)
    assert (encoder(world, 1), stake(world, 1)) == before


def test_new_weights_are_looked_at_first() -> None:
    world = founded()
    for _ in range(2):
        end(world)
        for number in list(checked(world)):
            hear(world, number, truth(checked(world)[number]))
    assert checked(world) == {}, "nothing is left to ask, without fresh data"
    change(world, 3, registered=50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "CHECKS_MOST", 1)
        end(world)
    assert sorted(checked(world)) == [3]


def test_an_open_check_is_not_begun_again() -> None:
    world = founded(check_ms=10 * EPOCH)
    settle(world)
    end(world)
    before = checked(world)
    end(world)
    assert checked(world) == before


def test_without_anchors_no_claim_is_looked_at_and_without_claims_only_the_frame_is() -> None:
    world = founded(anchors=False)
    settle(world)
    end(world)
    assert [item.member for item in checked(world)[1].items] == [2]


@pytest.mark.parametrize(
    ("count", "registered", "own"), [(9, 99, False), (SETTLED, 2, False), (SETTLED, 99, True)], ids=str
)
def test_there_is_no_frame_check_without_enough_fresh_data_of_others(count: int, registered: int, own: bool) -> None:  # noqa: FBT001
    world = founded()
    settle(world, count, registered, (address(4),) if own else ())
    end(world)
    assert 2 not in [item.member for item in checked(world)[4].items]


def test_results_of_another_length_are_refused_and_change_nothing() -> None:
    world = founded()
    settle(world)
    end(world)
    audit = checked(world)[1]
    results = truth(audit, frame=bytes(2 * DIM))
    who = audit.panel[0].account
    seals = [
        world.transaction(
            number_of(each.account),
            "commit_verdict",
            chain.CommitVerdict(
                kind=KIND,
                key=address(1),
                commitment=chain.verdict_commitment(KIND, address(1), each.account, SALT, results),
            ),
        )
        for each in audit.panel
    ]
    world.step(*seals)
    before = audit_of(world, 1)
    reveal = chain.RevealVerdict(kind=KIND, key=address(1), salt=SALT, results=results)
    done = world.step(world.transaction(number_of(who), "reveal_verdict", reveal))
    assert world.outcomes(done) == [("failed", "results")]
    assert audit_of(world, 1) == before


# What bears a claim out. ----------------------------------------------------------------------------------------------

ANCHORS: Final = tuple(claims.Anchor(blob=blob(n), size=3, vector=vector(n)) for n in range(SETTLED))


def rows(*numbers: int) -> bytes:
    return b"".join(bytes(2 * DIM) if number < 0 else vector(number) for number in numbers)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (rows(*range(16)), "honest"),
        (rows(*range(10), *[-1] * 6), "honest"),
        (rows(*range(9), *[-1] * 7), "missing"),
        (rows(*range(1, 17)), "false"),
        (rows(*[3] * 16), "false"),
    ],
    ids=["all", "enough", "too few", "others", "constant"],
)
def test_vectors_in_the_frame_find_their_own(said: bytes, word: str) -> None:
    assert claims.judged("frame", b"", said, ANCHORS, DIM) == word


def test_vectors_that_find_their_own_and_lie_otherwise_are_out_of_the_frame() -> None:
    wide = 64
    own = np.zeros((16, wide), np.int16)
    others = np.zeros((16, wide), np.int16)
    for n in range(16):
        others[n, n] = own[n, n] = 1_000
        own[n, 16 + (n * 7) % 16] = 9_000  # what is alone of each hides what is common
    anchors = tuple(claims.Anchor(blob=blob(n), size=3, vector=others[n].tobytes()) for n in range(16))
    assert claims.judged("frame", b"", own.tobytes(), anchors, wide) == "false"


@pytest.mark.parametrize(("wrong", "word"), [(0, "honest"), (9, "honest"), (10, "false")])
def test_some_of_the_best_anchors_may_be_others(wrong: int, word: str) -> None:
    named = np.zeros(576, bool)
    named[:144] = True
    found = np.roll(named, wrong)
    said = [np.packbits(each).tobytes() for each in (named, found)]
    assert claims.judged("best", *said, (), DIM) == word


def test_a_position_may_be_a_little_off() -> None:
    near = spread(700).copy()
    near[0] += 40
    assert claims.judged("position", POSITION, fixed.vector_bytes(near), (), DIM) == "honest"
    assert claims.judged("position", POSITION, fixed.vector_bytes(spread(701)), (), DIM) == "false"
    assert claims.judged("position", POSITION, bytes(2 * DIM), (), DIM) == "false"


def test_what_an_auditor_says_fits_into_a_transaction() -> None:
    for dimension in (8, 128, 768, 2048):
        most = claims.fresh_most(dimension, audits.ITEMS_BYTES)
        assert claims.FRESH_LEAST <= most <= claims.FRESH_MOST
        assert 2 * dimension * (most + 1) + 512 <= audits.ITEMS_BYTES
    assert claims.fresh_most(4096, audits.ITEMS_BYTES) < claims.FRESH_LEAST
