"""What becomes of commits while the chain lacks those before them: it gets them elsewhere, as a follower does."""

from soma_consensus_dag._delivery import HELD, Delivery
from soma_consensus_dag._outbox import Outbox
from soma_core.api import Commit, Deliver


def commit(index: int) -> Commit:
    return Commit(index, bytes([index % 256]) * 32, 1000 + index, index, index % 4, ((0, b"item"), (1, b"")), b"link")


def delivery(*, applied: int, base: int) -> tuple[Delivery, Outbox]:
    out = Outbox([1, 2, 3])
    one = Delivery(out, applied)
    one.begin_after(base)
    return one, out


def delivered(out: Outbox) -> list[tuple[int, int]]:
    """Commit and barrier of each delivery since the last look."""
    actions = out.take()
    assert all(type(action) is Deliver for action in actions)
    return [(action.commit.index, action.after) for action in actions if isinstance(action, Deliver)]


def test_a_chain_that_lacks_nothing_is_given_each_commit_at_once() -> None:
    one, out = delivery(applied=4, base=4)
    for index in (3, 4, 5, 6):
        one.give(commit(index), after=index + 100)
    assert delivered(out) == [(5, 105), (6, 106)]
    assert (one.waits, one.reached) == (False, 4)


def test_commits_are_held_until_the_chain_has_come_to_the_base() -> None:
    one, out = delivery(applied=4, base=50)
    for index in (51, 52, 53):
        one.give(commit(index), after=index)
    one.apply(49)
    assert delivered(out) == []
    assert (one.waits, one.reached) == (True, 50)
    one.apply(51)  # commits of peers brought it one further than it had to come
    assert delivered(out) == [(52, 52), (53, 53)]
    one.give(commit(54))
    assert delivered(out) == [(54, 0)]
    one.apply(54)
    assert delivered(out) == [], "nothing is given twice"


def test_of_many_only_the_last_are_held_and_the_chain_has_to_come_further() -> None:
    one, out = delivery(applied=4, base=50)
    for index in range(51, 51 + HELD + 3):
        one.give(commit(index))
    assert one.reached == 53
    one.apply(52)
    assert delivered(out) == []
    one.apply(53)
    assert [index for index, _ in delivered(out)] == list(range(54, 51 + HELD + 3))


def test_who_goes_on_from_elsewhere_holds_nothing_from_before() -> None:
    one, out = delivery(applied=4, base=50)
    for index in range(51, 51 + HELD):
        one.give(commit(index))
    one.begin_after(200)
    one.give(commit(201))
    assert one.reached == 200, "nothing from before makes room by going out"
    one.apply(200)
    assert delivered(out) == [(201, 0)]


def test_it_comes_back_from_its_snapshot() -> None:
    one, out = delivery(applied=4, base=50)
    one.give(commit(51), after=7)
    one.give(commit(52), after=8)
    other_out = Outbox([1, 2, 3])
    other = Delivery(other_out, 0)
    other.load(one.dump())
    assert other.dump() == one.dump()
    one.apply(50)
    other.apply(50)
    assert other_out.take() == out.take()
