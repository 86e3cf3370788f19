"""The mempool: bounded, in order, forgetting nothing it took until the chain has decided."""

import pytest
from ledger_world import World

from soma_core import chain
from soma_core.crypto import address_of
from soma_core.errors import RefusedError
from soma_core.node import mempool as module
from soma_core.node.mempool import Mempool


def signed(world: World, number: int, sequence: int) -> chain.SignedTransaction:
    action = chain.Transfer(address_of(bytes(32)), 1)
    return chain.parse_wire(world.transaction(number, "transfer", action, sequence=sequence))


def test_items_come_out_in_order_and_stay_until_they_are_decided(world: World) -> None:
    pool = Mempool()
    three = [signed(world, 5, n) for n in range(3)]
    assert [pool.add(one) for one in [*three, three[0]]] == [True, True, True, False]
    assert pool.pull(1 << 20, 0) == tuple(one.wire for one in three)
    assert pool.pull(1 << 20, 1) == ()
    assert len(pool) == 3
    pool.forget(three[1].id)
    pool.give_back()
    assert pool.pull(1 << 20, 2) == (three[0].wire, three[2].wire)


def test_a_pull_takes_no_more_bytes_than_asked(world: World) -> None:
    pool = Mempool()
    pair = [signed(world, 5, n) for n in range(2)]
    for one in pair:
        pool.add(one)
    assert pool.pull(len(pair[0].wire), 0) == (pair[0].wire,)
    assert pool.has_ready(0)
    assert pool.pull(len(pair[1].wire), 0) == (pair[1].wire,)
    assert not pool.has_ready(0)


def test_what_was_pulled_and_never_ordered_is_pulled_again(world: World) -> None:
    pool = Mempool()
    one = signed(world, 5, 0)
    pool.add(one)
    pool.pull(1 << 20, 0)
    assert not pool.has_ready(module.AGAIN_AFTER - 1)
    assert pool.pull(1 << 20, module.AGAIN_AFTER) == (one.wire,)


def test_a_full_pool_refuses_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    pool = Mempool()
    pool.add(signed(world, 5, 0))
    pool.add(signed(world, 6, 0))
    with pytest.raises(RefusedError, match="2 transactions wait"):
        pool.add(signed(world, 7, 0))


def test_one_sender_cannot_take_all_the_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OF_ONE", 1)
    pool = Mempool()
    pool.add(signed(world, 5, 0))
    with pytest.raises(RefusedError, match="of this sender"):
        pool.add(signed(world, 5, 1))
    assert pool.add(signed(world, 6, 0))
    pool.forget(signed(world, 5, 0).id)
    assert pool.add(signed(world, 5, 1))


def test_what_expired_is_forgotten(world: World) -> None:
    pool = Mempool()
    pool.add(signed(world, 5, 0))
    pool.expire(1)
    assert len(pool) == 1
    pool.expire(2)
    assert len(pool) == 0
