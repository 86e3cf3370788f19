"""After a start a quorum is asked for our own last block; what we do not remember is never signed again."""

import pytest

from soma_consensus_dag._committee import Committee
from soma_consensus_dag._recovery import Recovery


def test_a_committee_of_one_need_ask_nobody() -> None:
    assert Recovery(0, Committee([1])).done


def test_a_quorum_answers_and_our_own_stake_counts() -> None:
    recovery = Recovery(0, Committee([1, 1, 1, 1]))
    assert not recovery.done
    recovery.answer(2, 0)
    recovery.answer(2, 0)
    assert not recovery.done, "f + 1 may all have missed our last block, or lie"
    recovery.answer(3, 0)
    assert recovery.done
    assert recovery.floor(0) == 0


def test_stake_counts_and_not_heads() -> None:
    recovery = Recovery(3, Committee([4, 3, 2, 1]))
    recovery.answer(2, 0)
    recovery.answer(1, 0)
    assert not recovery.done
    recovery.answer(0, 0)
    assert recovery.done
    heavy = Recovery(0, Committee([4, 3, 2, 1]))
    heavy.answer(1, 0)
    assert heavy.done


@pytest.mark.parametrize(
    ("answers", "last", "floor"), [((9, 4), 9, 0), ((4, 9), 8, 11), ((9, 4), 0, 11), ((0, 0), 5, 0)]
)
def test_we_go_on_two_rounds_above_what_we_forgot(answers: tuple[int, int], last: int, floor: int) -> None:
    recovery = Recovery(1, Committee([1, 1, 1, 1]))
    for peer, round_ in zip((0, 3), answers, strict=True):
        recovery.answer(peer, round_)
    assert recovery.floor(last) == floor
