"""The beacon chains of a validator, built by its signer beside signing."""

import pytest
import trio
import trio.testing
from signer_world import CHAIN, raw

from soma_core.beacon import Chain
from soma_core.crypto import SecretKey
from soma_core.errors import KeyStoreError
from soma_core.keystore import KeyStore
from soma_core.node import signer as child
from soma_core.node._frames import frame
from soma_core.node.signing import open_signer


async def test_beacon_chains_come_from_the_secret_and_outlive_restarts(home):
    seed = KeyStore(home).open("validator").derive("soma/beaconseed", CHAIN, (3).to_bytes(8, "big"))
    expected = Chain(seed, 50)
    async with open_signer(home, CHAIN, roles=("validator", "account")) as signer:
        key = signer.role("validator")
        with pytest.raises(KeyStoreError, match="no beacon chain of epoch 3 is built; ask for its anchor first"):
            await key.beacon_link(3, 1)
        assert await key.beacon_anchor(3, 50) == expected.anchor
        assert await key.beacon_anchor(3, 50) == expected.anchor
        assert await key.beacon_link(3, 17) == expected.link(17)
        with pytest.raises(KeyStoreError, match="epoch 3 has 50 rounds, not 51"):
            await key.beacon_link(3, 51)
        with pytest.raises(KeyStoreError, match="of epoch 3 has 50 rounds, not 51; an epoch has one chain"):
            await key.beacon_anchor(3, 51)
        for epoch in range(4, 8):
            await key.beacon_anchor(epoch, 5)
        with pytest.raises(KeyStoreError, match="no beacon chain of epoch 3"):
            await key.beacon_link(3, 1)


async def test_signing_goes_on_while_a_chain_is_built(home):
    async with open_signer(home, CHAIN, roles=("validator",)) as signer:
        key, order = signer.role("validator"), []

        async def build():
            await key.beacon_anchor(1, 1 << 19)
            order.append("anchor")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(build)
            await trio.testing.wait_all_tasks_blocked()
            for slot in range(3):
                await key.sign("soma/block", 0, b"x", slot=slot)
                order.append("signed")
        assert order == ["signed"] * 3 + ["anchor"]


def test_beacons_need_the_validator_and_have_a_bound(home):
    _, answers, _ = raw(
        home,
        frame([1, "anchor", {"epoch": 0, "rounds": 5}]),
        frame([2, "link", {"epoch": 0, "round": 5}]),
        roles=("account",),
    )
    assert [a[1] for a in answers] == [True, False, False]
    beacons = child.Beacons(SecretKey.generate(), CHAIN)
    for number in range(child.BUILDING_MAX):
        beacons.order(number, child.Anchor(epoch=0, rounds=1))
    with pytest.raises(KeyStoreError, match="8 beacon chains are being built already"):
        beacons.order(9, child.Anchor(epoch=0, rounds=1))
