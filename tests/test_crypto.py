"""Rules S: every digest and signature names what it is for (``specs/02-signatures.md``)."""

from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import key
from vectors import load

from soma_core import crypto
from soma_core.errors import KeyStoreError

CASES = load("signatures.json")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.mark.parametrize("case", CASES["digests"], ids=lambda case: case["name"])
def test_digest_vectors(case: dict[str, Any]) -> None:
    parts = [bytes.fromhex(part) for part in case["parts"]]
    assert crypto.digest(case["domain"], *parts).hex() == case["digest"]
    person = case["domain"].encode().ljust(16, b"\0")
    assert blake2b(b"".join(parts), digest_size=32, person=person).hexdigest() == case["digest"]


@pytest.mark.parametrize("case", CASES["addresses"], ids=lambda case: case["name"])
def test_address_vectors(case: dict[str, Any]) -> None:
    secret = crypto.SecretKey(bytes.fromhex(case["secret"]))
    assert secret.public.hex() == case["key"]
    assert crypto.address_of(secret.public).hex() == case["address"]


@pytest.mark.parametrize("case", CASES["signatures"], ids=lambda case: case["name"])
def test_signature_vectors(case: dict[str, Any]) -> None:
    signed = crypto.signing_digest(
        case["domain"], bytes.fromhex(case["chain"]), case["epoch"], bytes.fromhex(case["body"])
    )
    assert signed.hex() == case["digest"]
    assert crypto.verify(bytes.fromhex(case["key"]), signed, bytes.fromhex(case["signature"]))


@pytest.mark.parametrize("case", CASES["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case: dict[str, Any]) -> None:
    assert not crypto.verify(*(bytes.fromhex(case[part]) for part in ("key", "digest", "signature")))


def test_every_bit_of_key_digest_and_signature_counts() -> None:
    case = CASES["signatures"][0]
    parts = [bytes.fromhex(case[part]) for part in ("key", "digest", "signature")]
    assert crypto.verify(*parts)
    for place, part in enumerate(parts):
        for byte in range(len(part)):
            for bit in (0, 7):
                altered = bytearray(part)
                altered[byte] ^= 1 << bit
                assert not crypto.verify(*parts[:place], bytes(altered), *parts[place + 1 :])


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=70))
def test_verify_never_raises(public: bytes, digest: bytes, signature: bytes) -> None:
    assert not crypto.verify(public, digest, signature)


@settings(max_examples=20)
@given(st.integers(1, ORDER - 1), st.binary(min_size=32, max_size=32))
def test_what_a_key_signs_its_public_half_verifies(number: int, digest: bytes) -> None:
    secret = crypto.SecretKey(number.to_bytes(32, "big"))
    assert crypto.verify(secret.public, digest, secret.sign(digest))


@given(st.sampled_from(sorted(crypto.DOMAINS)), st.sampled_from(sorted(crypto.DOMAINS)), st.binary(max_size=50))
def test_no_two_domains_share_a_digest(one: str, other: str, data: bytes) -> None:
    assert (crypto.digest(one, data) == crypto.digest(other, data)) == (one == other)


def test_a_signature_fits_one_domain_one_chain_and_one_epoch() -> None:
    secret, chain = key(1), bytes(32)
    signature = secret.sign(crypto.signing_digest("soma/tx", chain, 5, b"body"))
    said = [
        ("soma/checkpoint", chain, 5, b"body"),
        ("soma/tx", b"\1" + chain[1:], 5, b"body"),
        ("soma/tx", chain, 6, b"body"),
        ("soma/tx", chain, 5, b"bodY"),
    ]
    assert crypto.verify(secret.public, crypto.signing_digest("soma/tx", chain, 5, b"body"), signature)
    assert not any(crypto.verify(secret.public, crypto.signing_digest(*other), signature) for other in said)


def test_domain_tags_fit_the_person_of_blake2b() -> None:
    for domain, use in crypto.DOMAINS.items():
        assert domain.isascii()
        assert domain.startswith("soma/")
        assert 1 <= len(domain) <= 16
        assert "\0" not in domain
        assert use


@pytest.mark.parametrize("domain", ["", "soma/nobody", "soma/tx\0", "SOMA/TX"])
def test_a_tag_that_is_not_listed_is_no_tag(domain: str) -> None:
    with pytest.raises(ValueError, match="is not a domain tag"):
        crypto.digest(domain, b"")


@pytest.mark.parametrize(
    "secret",
    [b"", b"\x01", bytes(31), bytes(32), bytes(33), ORDER.to_bytes(32, "big"), b"\xff" * 32, bytes(31) + b"\1\0"],
    ids=lambda s: f"{len(s)} bytes {s[-1:].hex()}",
)
def test_what_is_no_secret(secret: bytes) -> None:
    with pytest.raises(KeyStoreError, match="soma keys new"):
        crypto.SecretKey(secret)


def test_a_secret_key_shows_only_its_public_half() -> None:
    secret = crypto.SecretKey.generate()
    assert secret.expose().hex() not in repr(secret)
    assert secret.public.hex()[:12] in repr(secret)
    assert secret == crypto.SecretKey(secret.expose())
    assert secret != crypto.SecretKey.generate()


def test_secrets_for_other_uses_are_hashed_and_differ_by_use() -> None:
    secret = key(3)
    seeds = {secret.derive(domain, bytes([n])) for domain in ("soma/beaconseed", "soma/draw") for n in range(3)}
    assert len(seeds) == 6
    assert secret.derive("soma/draw", b"a") == crypto.digest("soma/draw", secret.expose(), b"a")
