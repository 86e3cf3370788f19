"""What each key signs for whom: domains, chains, refusals."""

import pytest
from signer_world import CHAIN, raw, sign_frame

from soma_core import keystore
from soma_core.crypto import SecretKey, signing_digest
from soma_core.errors import KeyStoreError
from soma_core.keystore import KeyStore
from soma_core.node import signer as child
from soma_core.node._frames import frame
from soma_core.node.signing import open_signer
from soma_core.records import to_value


async def test_every_role_signs_under_its_domains_and_the_chain_checks_it(home):
    async with open_signer(home, CHAIN) as signer:
        assert signer.roles == keystore.ROLES
        for role, domains in child.DOMAINS_OF.items():
            key = signer.role(role)
            assert key.key == next(e.key for e in KeyStore(home).list() if e.role == role)
            for domain in domains:
                signature = await key.sign(domain, 7, b"body", slot=1 if domain in child.SLOTTED else None)
                assert key.verify(key.key, signing_digest(domain, CHAIN, 7, b"body"), signature)
                assert not key.verify(key.key, signing_digest(domain, bytes(32), 7, b"body"), signature)
                assert not key.verify(key.key, signing_digest(domain, CHAIN, 8, b"body"), signature)


async def test_the_node_side_gets_a_clear_refusal(home):
    async with open_signer(home, CHAIN, roles=("account", "validator")) as signer:
        with pytest.raises(
            KeyStoreError, match=r"for account does not sign under soma/block; it signs under soma/poss"
        ):
            await signer.role("account").sign("soma/block", 0, b"x", slot=1)
        with pytest.raises(KeyStoreError, match="soma/block needs a slot"):
            await signer.role("validator").sign("soma/block", 0, b"x")
        with pytest.raises(KeyStoreError, match="soma/possession has no slots"):
            await signer.role("validator").sign("soma/possession", 0, b"x", slot=3)
        with pytest.raises(
            KeyStoreError, match="the key for encoder is not open; make what is missing: `soma keys new encoder`"
        ):
            signer.role("encoder")
        with pytest.raises(
            KeyStoreError, match="the keys for node, encoder-jax are not open; make what is missing: `soma"
        ):
            signer.need("account", "node", "encoder-jax")
        with pytest.raises(KeyStoreError, match=r"for account does not sign"):
            await signer.role("account").sign("soma/checkpoint", 0, b"x", slot=1)
        # after every refusal it still serves
        assert await signer.role("account").sign("soma/tx", 0, b"x")


def test_the_child_refuses_wrong_domains_by_itself(home):
    status, answers, _ = raw(
        home,
        sign_frame(1, "account", "soma/block", slot=1),
        sign_frame(2, "account", "soma/checkpoint", slot=1),
        sign_frame(3, "validator", "soma/tx"),
        sign_frame(4, "validator", "soma/hello"),
        sign_frame(5, "account", "soma/beaconseed"),
        sign_frame(6, "account", "no/domain"),
        sign_frame(7, "node", "soma/hello"),  # a role that was not opened
        sign_frame(8, "root", "soma/tx"),
        sign_frame(9, "account", "soma/tx"),
    )
    assert status == 0
    assert [(a[0], a[1]) for a in answers] == [(0, True), *((n, False) for n in range(1, 9)), (9, True)]


def test_keys_are_opened_once(home):
    again = frame([5, "open", to_value(child.Open(directory=str(home), chain=bytes(32), roles=("node",)))])
    status, answers, _ = raw(home, again, sign_frame(6, "node", "soma/hello"))
    assert status == 0
    assert [a[1] for a in answers] == [True, False, False]


async def test_several_encoders_have_keys_of_their_own(home):
    KeyStore(home).create("encoder-one")
    KeyStore(home).create("encoder-two")
    async with open_signer(home, CHAIN) as signer:
        assert signer.roles == (*keystore.ROLES, "encoder-one", "encoder-two")
        one, two = signer.role("encoder-one"), signer.role("encoder-two")
        assert one.key != two.key
        assert await one.sign("soma/webhook", 0, b"x")
        with pytest.raises(KeyStoreError, match="the key for encoder-two does not sign under soma/hello"):
            await two.sign("soma/hello", 0, b"x")


async def test_the_identity_is_the_node_key(home):
    async with open_signer(home, CHAIN, roles=("node",)) as signer:
        identity = signer.identity()
        signature = await identity.sign(b"challenge")
        assert identity.verify(identity.peer, b"challenge", signature)
        assert not identity.verify(identity.peer, b"another", signature)
        assert not identity.verify(SecretKey.generate().public, b"challenge", signature)
        assert not identity.verify(b"short", b"challenge", b"")
        with pytest.raises(KeyStoreError, match="at most 256"):
            await identity.sign(bytes(257))
