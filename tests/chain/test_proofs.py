"""Rules H: receipt trees, and receipts that prove themselves offline (``specs/17-receipts.md``)."""

from typing import Any

import attrs
import pytest
import replays
from attrs import evolve
from committee_world import Committee, Signer, committee_genesis
from hypothesis import given
from hypothesis import strategies as st
from member_replays import handed_over
from vectors import load

from soma_core import chain, codec
from soma_core.chain import proofs
from soma_core.chain.receipts import Step, committee_digest, leaf_hash, proof, root, root_from
from soma_core.crypto import digest
from soma_core.errors import DecodeError, SomaError, VerificationError
from soma_core.genesis import Genesis
from soma_core.records import pack, unpack

CASES = load("receipts.json")
TRUSTED = unpack(Genesis, bytes.fromhex(CASES["trusted"]))


@pytest.mark.parametrize("case", CASES["trees"], ids=lambda case: f"{len(case['leaves'])} leaves")
def test_tree_vectors(case: dict[str, Any]) -> None:
    leaves = [bytes.fromhex(leaf) for leaf in case["leaves"]]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert root(hashes).hex() == case["root"]
    for place, steps in enumerate(case["proofs"]):
        path = [Step(side, bytes.fromhex(sibling)) for side, sibling in steps]
        assert path == list(proof(hashes, place))
        assert root_from(leaves[place], path).hex() == case["root"]


def test_committee_vectors() -> None:
    for case in CASES["committees"]:
        members = [(bytes.fromhex(key), power) for key, power in case["members"]]
        assert committee_digest(members).hex() == case["digest"]


@pytest.mark.parametrize("case", CASES["valid"], ids=lambda case: case["name"])
def test_files_that_prove_a_job(case: dict[str, Any]) -> None:
    file = proofs.load(bytes.fromhex(case["file"]))
    receipt = proofs.verify_receipt(file, TRUSTED)
    assert receipt.job.hex() == case["job"]
    assert receipt.outcome == "settled"
    assert proofs.vector_digest(receipt.vector).hex() == case["vector_digest"]
    assert proofs.dump(file).hex() == case["file"]


@pytest.mark.parametrize("case", CASES["invalid"], ids=lambda case: case["name"])
def test_files_that_do_not(case: dict[str, Any]) -> None:
    file = proofs.load(bytes.fromhex(case["file"]))
    with pytest.raises(VerificationError) as caught:
        proofs.verify_receipt(file, TRUSTED)
    assert case["says"] in caught.value.what
    assert "do not rely on it" in caught.value.remedy


@pytest.mark.parametrize("case", CASES["handovers"]["files"], ids=lambda case: case["name"])
def test_files_that_handovers_lead_through(case: dict[str, Any]) -> None:
    trusted = unpack(Genesis, bytes.fromhex(CASES["handovers"]["trusted"]))
    file = proofs.load(bytes.fromhex(case["file"]))
    basis = case["basis"] and bytes.fromhex(case["basis"])
    if case["says"]:
        with pytest.raises(VerificationError, match=case["says"]):
            proofs.verify_receipt(file, trusted, basis)
    else:
        assert proofs.verify_receipt(file, trusted, basis).outcome == "settled"


def test_a_file_with_any_bit_flipped_proves_nothing_else() -> None:
    data = bytes.fromhex(CASES["valid"][0]["file"])
    honest = proofs.verify_receipt(proofs.load(data), TRUSTED)
    refused = 0
    for place in range(0, len(data), 7):
        altered = bytearray(data)
        altered[place] ^= 1 << place % 8
        try:
            assert proofs.verify_receipt(proofs.load(bytes(altered)), TRUSTED) == honest
        except (DecodeError, VerificationError):
            refused += 1
    assert refused == len(range(0, len(data), 7))


def test_a_file_from_outside_that_is_none() -> None:
    for data in (b"", b"\xa0", codec.encode({"format": "soma-receipt/2"})):
        with pytest.raises(DecodeError):
            proofs.load(data)
    with pytest.raises(DecodeError, match="more than"):
        proofs.load(bytes(proofs.MAX_FILE + 1))


def test_a_trusted_genesis_that_is_none_is_said() -> None:
    file = proofs.load(bytes.fromhex(CASES["valid"][0]["file"]))
    with pytest.raises(SomaError, match="no validator"):
        proofs.verify_receipt(file, evolve(TRUSTED, validators=()))


def test_a_receipt_carries_what_proves_it_and_no_more_of_its_genesis() -> None:
    """The sketches alone of 512 anchors would be 32 KiB of every receipt."""
    sizes = []
    for anchors in (0, 512):
        genesis = evolve(committee_genesis((1,)), sketches=(bytes(64),) * anchors, encoders=())
        world = Committee(genesis=genesis)
        world.announce()
        job = chain.job_key(replays.address(replays.USER), replays.BLOB, 0)
        world.step(replays.request(world))
        world.step(after=31_000)
        file = replays.honest_file(world, job, (0,))
        sizes.append(len(proofs.dump(file)))
        assert proofs.verify_receipt(file, genesis).outcome == "refunded"
    assert max(sizes) < 8_192


def test_a_charter_without_validators_proves_nothing() -> None:
    file = proofs.load(bytes.fromhex(CASES["valid"][0]["file"]))
    nobody = evolve(file, charter=evolve(file.charter, validators=()))
    with pytest.raises(VerificationError, match="nobody founded"):
        proofs.verify_receipt(nobody, nobody.charter)
    assert proofs.verify_receipt(file, file.charter).outcome == "settled"


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Genesis)])
def test_the_chain_id_depends_on_every_field_of_a_genesis(name: str) -> None:
    other = committee_genesis((4, 3, 2, 1), epoch_ms=77_000)
    changed = {
        "name": "other",
        "time": 5,
        "validators": TRUSTED.validators * 2,
        "consensus": evolve(TRUSTED.consensus, rule_version=9),
        "scoring": evolve(TRUSTED.scoring, rule_version=9),
        "architectures": ("other",),
        "anchors": bytes([9] * 32),
        "allocations": (),
        "encoders": (),
        "references": TRUSTED.references[:-1],
        "sketches": (bytes(64),) * 16,
    }.get(name, getattr(other, name))
    assert changed != getattr(TRUSTED, name)
    assert evolve(TRUSTED, **{name: changed}).chain != TRUSTED.chain


def test_a_refund_is_proved_too() -> None:
    world = replays.begun()
    job = chain.job_key(replays.address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world))
    world.step(after=31_000)
    receipt = proofs.verify_receipt(replays.honest_file(world, job, (0,)), world.genesis)
    assert (receipt.outcome, receipt.vector, receipt.shard) == ("refunded", b"", ())


def test_the_largest_receipt_there_can_be_fits_its_file() -> None:
    member = chain.receipts.MemberReceipt(
        encoder=bytes(32),
        name="é" * 64,
        answer="revealed",
        opaque=False,
        loss=16 << 16,
        vector=bytes(1 << 14),
        weight=1 << 16,
        gate=3 << 16,
        out=True,
        verdict="missing",
        fine=1 << 62,
        slash=1 << 62,
    )
    payment = chain.receipts.PaymentReceipt(to="é" * 64, amount=1 << 62, reason="é" * 64)
    world = replays.settled_job()
    honest = unpack(
        chain.JobReceipt, replays.honest_file(world, chain.job_key(replays.address(6), replays.BLOB, 0), (0,)).receipt
    )
    largest = evolve(honest, vector=bytes(1 << 14), shard=(member,) * 31, payments=(payment,) * 40)
    file = replays.honest_file(world, honest.job, (0,))
    file = evolve(file, receipt=pack(largest))
    assert proofs.load(proofs.dump(file)).receipt == pack(largest)


@pytest.mark.parametrize("size", range(1, 34))
def test_every_leaf_of_every_tree_is_proved_and_no_altered_byte_is(size: int) -> None:
    leaves = [b"leaf %d" % n for n in range(size)]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    top = root(hashes)
    for place in range(size):
        path = proof(hashes, place)
        assert len(path) <= (size - 1).bit_length()
        assert root_from(leaves[place], path) == top
        assert all(root_from(leaf, path) != top for n, leaf in enumerate(leaves) if n != place)
        for n, step in enumerate(path):
            other_side = Step("left" if step.side == "right" else "right", step.sibling)
            assert root_from(leaves[place], (*path[:n], other_side, *path[n + 1 :])) != top
            assert root_from(leaves[place], path[:n] + path[n + 1 :]) != top
            for byte in range(32):
                sibling = bytearray(step.sibling)
                sibling[byte] ^= 1 << byte % 8
                assert root_from(leaves[place], (*path[:n], Step(step.side, bytes(sibling)), *path[n + 1 :])) != top
    with pytest.raises(IndexError, match=f"no leaf {size}"):
        proof(hashes, size)
    with pytest.raises(IndexError, match="no leaf -1"):
        proof(hashes, -1)


def test_trees_of_all_sizes_have_different_roots_and_inner_nodes_are_no_leaves() -> None:
    hashes = [leaf_hash(b"")] * 33
    assert len({root(hashes[:size]) for size in range(34)}) == 34
    assert root([]) == digest("soma/node")
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert root([leaf_hash(b"\x01" + left + right)]) != root([left, right])


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40), st.data())
def test_a_leaf_that_is_not_in_the_tree_has_no_proof(leaves: list[bytes], data: st.DataObject) -> None:
    hashes = [leaf_hash(leaf) for leaf in leaves]
    place = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.binary(max_size=8).filter(lambda leaf: leaf != leaves[place]))
    assert root_from(other, proof(hashes, place)) != root(hashes)


def test_power_is_what_counts_never_the_number_of_signers() -> None:
    world = Committee(genesis=committee_genesis((4, 3, 2, 1)))
    record = world.trace[0].record
    enough = {
        places
        for n in range(16)
        for places in [tuple(place for place in range(4) if n >> place & 1)]
        if sum((4, 3, 2, 1)[place] for place in places) >= 7
    }
    for n in range(16):
        places = tuple(place for place in range(4) if n >> place & 1)
        checkpoint = replays.signed_by(world.genesis, record, places)
        if places in enough:
            assert chain.check_checkpoint(world.genesis.chain, chain.founders(world.genesis), checkpoint) >= 7
        else:
            with pytest.raises(VerificationError, match="a quorum of 7 is needed"):
                chain.check_checkpoint(world.genesis.chain, chain.founders(world.genesis), checkpoint)


def test_a_later_committee_is_believed_when_the_one_before_has_named_it() -> None:
    world = replays.settled_job()
    honest = replays.honest_file(world, chain.job_key(replays.address(6), replays.BLOB, 0), (0,))
    file = handed_over(world, honest)
    assert proofs.verify_receipt(proofs.load(proofs.dump(file)), world.genesis).outcome == "settled"
    assert [power for _, power in proofs.signing_committee(file)] == [2_500] * 4
    (handover,) = file.handovers
    stranger = ((Signer(120).public, 10_000),)
    for says, altered in {
        "a quorum of 6667 is needed": handed_over(world, honest, places=(0, 1)),
        "another committee than the trusted": evolve(file, handovers=()),
        "names another committee than it is said to": evolve(file, handovers=(evolve(handover, committee=stranger),)),
        "does not fit": evolve(
            file, handovers=(evolve(handover, checkpoint=evolve(handover.checkpoint, signatures=((0, bytes(64)),))),)
        ),
        "where a quorum of": evolve(
            file, handovers=(evolve(handover, checkpoint=evolve(handover.checkpoint, signatures=())),)
        ),
        "the key .* does not fit": evolve(file, handovers=(handover, handover)),
        "out of order": evolve(file, checkpoint=evolve(file.checkpoint, record=handover.checkpoint.record)),
    }.items():
        with pytest.raises(VerificationError, match=says):
            proofs.verify_receipt(altered, world.genesis)


def test_a_newer_record_is_trusted_instead_of_everything_before_it() -> None:
    """Rule H17."""
    world = replays.settled_job()
    honest = replays.honest_file(world, chain.job_key(replays.address(6), replays.BLOB, 0), (0,))
    file = handed_over(world, honest)
    (handover,) = file.handovers
    old = evolve(handover, checkpoint=evolve(handover.checkpoint, signatures=((0, bytes(64)),)))
    stale = evolve(file, handovers=(old,))  # keys of long ago prove nothing any more
    basis = chain.record_digest(handover.checkpoint.record)
    assert proofs.verify_receipt(stale, world.genesis, basis).outcome == "settled"
    assert proofs.basis_of(stale, basis) == handover.checkpoint.record
    older = evolve(old, checkpoint=evolve(old.checkpoint, record=evolve(handover.checkpoint.record, time=7)))
    assert proofs.verify_receipt(evolve(file, handovers=(older, old)), world.genesis, basis).outcome == "settled"
    stranger = ((Signer(120).public, 10_000),)
    unsigned = evolve(file.checkpoint, signatures=())
    for says, altered in {
        "names others": evolve(stale, handovers=(evolve(old, committee=stranger),)),
        "a quorum of 6667 is needed": evolve(stale, checkpoint=unsigned),
        "does not fit": evolve(file, handovers=(handover, handover)),
        "does not lead through": evolve(file, handovers=()),
    }.items():
        with pytest.raises(VerificationError, match=says):
            proofs.verify_receipt(altered, world.genesis, basis)
    own = chain.record_digest(file.checkpoint.record)
    assert proofs.verify_receipt(evolve(stale, checkpoint=unsigned), world.genesis, own).outcome == "settled"
    for wrong in (bytes(32), chain.record_digest(world.trace[0].record)):
        with pytest.raises(VerificationError, match="does not lead through"):
            proofs.verify_receipt(file, world.genesis, wrong)


def test_a_trusted_record_proves_what_it_follows_from_and_nothing_else() -> None:
    world = replays.settled_job()
    honest = replays.honest_file(world, chain.job_key(replays.address(6), replays.BLOB, 0), (0,))
    basis = chain.record_digest(honest.checkpoint.record)
    assert proofs.verify_receipt(honest, world.genesis, basis).outcome == "settled"
    other = evolve(honest, receipt=honest.receipt + b"\0")
    with pytest.raises(VerificationError, match="not in the commit"):
        proofs.verify_receipt(other, world.genesis, basis)
    if honest.trail:
        broken = (evolve(honest.trail[0], receipts=bytes(32)), *honest.trail[1:])
        with pytest.raises(VerificationError, match="does not follow"):
            proofs.verify_receipt(evolve(honest, trail=broken), world.genesis, basis)
