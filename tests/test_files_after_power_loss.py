"""Small files and blobs when the power goes: what a call promised is there, and nothing is there in part."""

from pathlib import Path

import pytest
from file_world import traced

from soma_core.errors import CorruptionError, RefusedError
from soma_core.net import BlobStore
from soma_core.net._blobs import CHUNK_SIZE, manifest_of
from soma_core.node.durable import read_if_there, write_durably

VERSIONS = [b"the first version, of some length", b"the second one", b"a third, which is longer than the others were"]


def write_versions(directory: Path, results: Path, ignore: str = "") -> int:
    """Write one file several times: how many leftovers there are, each with a version at least as new as promised."""
    with traced(directory, ignore=ignore) as trace:
        for version in VERSIONS:
            write_durably(directory / "answer", version)
            trace.done += 1
    leftovers = list(trace.leftovers(results))
    for left, done in leftovers:
        found = read_if_there(left / "answer")
        assert found in (VERSIONS[max(done - 1, 0) :] if done else [None, *VERSIONS])
        write_durably(left / "answer", b"and life goes on")
        assert read_if_there(left / "answer") == b"and life goes on"
    return len(leftovers)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("work", "left"):
        (tmp_path / name).mkdir()
    return tmp_path / "work", tmp_path / "left"


def test_a_small_file_is_old_or_new_and_what_was_promised_stays(places: tuple[Path, Path]) -> None:
    assert write_versions(*places) > 10


@pytest.mark.parametrize("forgotten", ["file", "directory"])
def test_notices_a_sync_that_was_forgotten(places: tuple[Path, Path], forgotten: str) -> None:
    with pytest.raises(AssertionError):
        write_versions(*places, ignore=forgotten)


SMALL, BIG = b"a small blob", bytes(range(256)) * (CHUNK_SIZE // 256) + b"and a second chunk"


def store_blobs(directory: Path, results: Path, ignore: str = "") -> int:
    """Put a blob, fetch another: how many leftovers there are, each of which opens and lies about no blob."""
    big = manifest_of(BIG)
    promised = [manifest_of(SMALL).digest, big.digest]
    blobs = BlobStore(directory)
    with traced(directory, ignore=ignore) as trace:
        blobs.put(SMALL)
        trace.done += 1
        assert blobs.begin(big) == {0, 1}
        blobs.fill(big, 1, BIG[CHUNK_SIZE:])
        blobs.fill(big, 0, BIG[:CHUNK_SIZE])
        blobs.finish(big)
        trace.done += 1
    leftovers = list(trace.leftovers(results))
    for left, done in leftovers:
        again = BlobStore(left)
        for place, (name, data) in enumerate(zip(promised, (SMALL, BIG), strict=True)):
            if place < done:
                assert again.get(name) == data
            else:
                assert not again.has(name) or again.get(name) == data
        again.begin(big)
        assert again.put(SMALL) == promised[0]
        assert again.put(BIG) == promised[1]
        assert (again.get(promised[0]), again.get(promised[1])) == (SMALL, BIG)
    return len(leftovers)


def test_a_blob_that_was_stored_stays_and_no_other_is_made_up(places: tuple[Path, Path]) -> None:
    assert store_blobs(*places) > 20


@pytest.mark.parametrize("forgotten", ["file", "directory"])
def test_notices_a_blob_that_was_not_synced(places: tuple[Path, Path], forgotten: str) -> None:
    with pytest.raises((AssertionError, CorruptionError, RefusedError)):
        store_blobs(*places, ignore=forgotten)
