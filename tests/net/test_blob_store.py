"""Blobs on disk: whole or not there, checked, bounded, resumed, never dropped while in use."""

import os
import threading
from pathlib import Path

import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import load

from soma_core.errors import CorruptionError, DecodeError, RefusedError
from soma_core.net import BlobStore, Manifest, manifest_of
from soma_core.net import _blobs as rules
from soma_core.net._blobs import CHUNK_SIZE, KEEP_FOR
from soma_core.net._shelf import LEAST_WEIGHT
from soma_core.records import pack, unpack

VECTORS = load("blobs.json")
THREE = bytes(range(256)) * 2048 + b"rest"
"""Two chunks and four bytes."""


@define
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_digests_are_those_of_the_vectors() -> None:
    for case in VECTORS["blobs"]:
        data = bytes.fromhex(case["unit"]) * case["times"]
        manifest = manifest_of(data)
        assert (manifest.size, manifest.digest.hex()) == (case["size"], case["digest"]), case["name"]
        assert pack(manifest).hex() == case["manifest"], case["name"]
        assert manifest.chunks.hex() == "".join(case["chunks"]), case["name"]


@pytest.mark.parametrize("case", VECTORS["invalid_manifests"], ids=lambda case: case["name"])
def test_manifests_that_are_none_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(DecodeError):
        unpack(Manifest, bytes.fromhex(case["bytes"]))


def test_put_and_get(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    for data in (b"x", b"y" * CHUNK_SIZE, b"z" * (CHUNK_SIZE + 1), THREE):
        name = store.put(data)
        assert name == manifest_of(data).digest
        assert store.has(name)
        assert store.get(name) == data
        manifest = store.manifest(name)
        assert manifest is not None
        assert b"".join(store.chunk(name, place) for place in range(manifest.count)) == data
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=1, max_size=3000), st.data())
def test_no_other_data_has_the_digest_and_every_chunk_is_bound(data: bytes, draw: st.DataObject) -> None:
    manifest = manifest_of(data)
    place = draw.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[place] ^= 1 << draw.draw(st.integers(0, 7))
    assert manifest_of(bytes(changed)).digest != manifest.digest
    assert not manifest.holds(0, bytes(changed))
    assert not manifest.holds(0, data + b"\0")
    assert manifest.holds(0, data)


def test_empty_and_too_large_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, max_blob=1000)
    with pytest.raises(RefusedError, match="a blob of 0 bytes; a blob has 1 to"):
        store.put(b"")
    with pytest.raises(RefusedError, match="a blob of 1001 bytes; this network takes at most 1000"):
        store.put(b"x" * 1001)
    with pytest.raises(RefusedError, match="has 1001 bytes; this network takes at most 1000"):
        store.begin(manifest_of(b"x" * 1001))
    with pytest.raises(RefusedError, match="1 to"):
        manifest_of(b"\0" * (rules.MAX_BLOB + 1))
    assert names(tmp_path) == []


def test_what_is_not_here_is_refused(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    name = store.put(b"x")
    for call in (store.get, lambda n: store.chunk(n, 0)):
        with pytest.raises(RefusedError, match="blob 000000000000 is not here; ask another peer"):
            call(bytes(32))
    with pytest.raises(RefusedError, match="has 1 chunks, not one at 1"):
        store.chunk(name, 1)
    assert store.manifest(bytes(32)) is None
    assert not store.has(bytes(32))


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "empty"])
@pytest.mark.parametrize("read", ["get", "chunk"])
def test_rot_is_found_and_the_blob_dropped(tmp_path: Path, damage: str, read: str) -> None:
    store = BlobStore(tmp_path)
    data = b"a" * 1000
    name = store.put(data)
    wrong = {"flip": b"a" * 999 + b"b", "cut": data[:-1], "grow": data + b"a", "empty": b""}[damage]
    (tmp_path / name.hex()).write_bytes(wrong)
    with pytest.raises(CorruptionError, match="is not what it was; it was dropped; get it again"):
        store.get(name) if read == "get" else store.chunk(name, 0)
    assert not store.has(name)
    assert names(tmp_path) == []
    assert store.put(data) == name
    assert store.get(name) == data


def test_putting_again_what_has_rotted_mends_it(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    name = store.put(b"good")
    (tmp_path / name.hex()).write_bytes(b"evil")
    assert store.put(b"good") == name
    assert store.get(name) == b"good"


def test_rotten_manifest_is_found(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    name = store.put(b"good")
    (tmp_path / f"{name.hex()}.manifest").write_bytes(pack(manifest_of(b"other")))
    assert store.get(name) == b"good"
    with pytest.raises(CorruptionError):
        store.chunk(name, 0)
    assert not store.has(name)


def test_file_that_somebody_took_away_is_not_here_any_more(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    name = store.put(b"gone")
    (tmp_path / name.hex()).unlink()
    with pytest.raises(RefusedError, match="is not here"):
        store.get(name)
    assert not store.has(name)


def test_begun_blob_goes_on_where_it_was_even_after_a_restart(tmp_path: Path) -> None:
    manifest = manifest_of(THREE)
    store = BlobStore(tmp_path)
    assert store.begin(manifest) == {0, 1, 2}
    store.fill(manifest, 2, THREE[2 * CHUNK_SIZE :])
    assert not store.has(manifest.digest)
    again = BlobStore(tmp_path)
    assert again.begin(manifest) == {0, 1}
    assert again.manifest(manifest.digest) == manifest
    for place in (0, 1):
        again.fill(manifest, place, THREE[place * CHUNK_SIZE : (place + 1) * CHUNK_SIZE])
    again.finish(manifest)
    again.finish(manifest)
    assert again.get(manifest.digest) == THREE
    assert again.begin(manifest) == set()
    assert names(tmp_path) == [manifest.digest.hex(), f"{manifest.digest.hex()}.manifest"]
    assert BlobStore(tmp_path).get(manifest.digest) == THREE


def test_begun_blob_that_rotted_or_is_not_full_does_not_become_whole(tmp_path: Path) -> None:
    store, manifest = BlobStore(tmp_path), manifest_of(THREE)
    store.begin(manifest)
    store.fill(manifest, 2, THREE[2 * CHUNK_SIZE :])
    with pytest.raises(CorruptionError):
        store.finish(manifest)
    assert names(tmp_path) == []
    with pytest.raises(RefusedError, match="was dropped to make room; get it again"):
        store.fill(manifest, 0, THREE[:CHUNK_SIZE])
    assert store.begin(manifest) == {0, 1, 2}


def test_put_takes_the_place_of_a_begun_blob(tmp_path: Path) -> None:
    store, manifest = BlobStore(tmp_path), manifest_of(THREE)
    store.begin(manifest)
    store.put(THREE)
    assert names(tmp_path) == [manifest.digest.hex(), f"{manifest.digest.hex()}.manifest"]
    assert store._begun.total == 0


def test_leftovers_of_a_crash_are_cleared_and_files_of_others_are_not(tmp_path: Path) -> None:
    clock = Clock()
    store = BlobStore(tmp_path, clock=clock)
    kept, old, bare = store.put(b"kept"), manifest_of(b"old" * 100), manifest_of(b"bare")
    store.begin(old)
    os.utime(tmp_path / f"{old.digest.hex()}.part", (clock.now - KEEP_FOR - 1,) * 2)
    (tmp_path / f"{bare.digest.hex()}").write_bytes(b"bare")  # without a manifest: not of this store's making
    (tmp_path / f".{kept.hex()}.0a1b2c3d").write_bytes(b"draft")
    (tmp_path / f".{kept.hex()}.manifest.0a1b2c3d").write_bytes(b"draft")
    (tmp_path / f"{'ab' * 32}.manifest").write_bytes(b"alone")
    (tmp_path / "notes.txt").write_text("mine")
    again = BlobStore(tmp_path, clock=clock)
    assert names(tmp_path) == sorted([kept.hex(), f"{kept.hex()}.manifest", "notes.txt"])
    assert again.get(kept) == b"kept"


# Room. ----------------------------------------------------------------------------------------------------------------


def test_longest_unused_goes_first_and_use_counts(tmp_path: Path) -> None:
    clock = Clock()
    store = BlobStore(tmp_path, max_total=3 * LEAST_WEIGHT, keep_for=10, clock=clock)
    one, two, three = (store.put(b"%d" % n) for n in (1, 2, 3))
    clock.now += 20
    store.get(one)
    clock.now += 20
    four = store.put(b"4")
    assert [store.has(name) for name in (one, two, three, four)] == [True, False, True, True]
    clock.now += 20
    store.chunk(three, 0)
    clock.now += 11
    again = BlobStore(tmp_path, max_total=3 * LEAST_WEIGHT, keep_for=10, clock=clock)  # use is remembered on disk
    again.put(b"5")
    assert [again.has(name) for name in (one, three, four)] == [False, True, True]


def test_what_was_used_lately_stays_and_what_is_new_is_refused(tmp_path: Path) -> None:
    clock = Clock()
    store = BlobStore(tmp_path, max_total=2 * LEAST_WEIGHT, keep_for=100, clock=clock)
    one, two = store.put(b"1"), store.put(b"2")
    clock.now += 99
    store.get(one)
    before = names(tmp_path)
    for refused in (lambda: store.put(b"3"), lambda: store.begin(manifest_of(b"3"))):
        with pytest.raises(RefusedError, match="the store of blobs is full: 131072 bytes, all in use; try again later"):
            refused()
    assert names(tmp_path) == before
    clock.now += 2
    store.put(b"3")
    assert (store.has(one), store.has(two)) == (True, False)


def test_begun_blobs_count_whole_and_go_before_whole_ones(tmp_path: Path) -> None:
    clock = Clock()
    store = BlobStore(tmp_path, max_total=len(THREE) + 2 * LEAST_WEIGHT, keep_for=100, clock=clock)
    manifest = manifest_of(THREE)
    store.begin(manifest)
    assert store._begun.total == len(THREE)
    one = store.put(b"1")
    two = store.put(b"2")
    three = store.put(b"3")
    assert [store.has(name) for name in (one, two, three)] == [True] * 3
    assert f"{manifest.digest.hex()}.part" not in names(tmp_path)
    with pytest.raises(RefusedError, match="dropped to make room"):
        store.fill(manifest, 0, THREE[:CHUNK_SIZE])


def test_begun_blobs_that_nobody_fills_are_given_up(tmp_path: Path) -> None:
    clock = Clock()
    store = BlobStore(tmp_path, keep_for=100, clock=clock)
    given_up, filled = manifest_of(THREE), manifest_of(THREE[::-1])
    store.begin(given_up)
    store.begin(filled)
    clock.now += 60
    store.fill(filled, 2, THREE[::-1][2 * CHUNK_SIZE :])
    clock.now += 60
    store.put(b"another")
    assert given_up.digest not in store._begun
    assert filled.digest in store._begun


def test_a_blob_larger_than_the_store_drops_nothing(tmp_path: Path) -> None:
    clock = Clock()
    store = BlobStore(tmp_path, max_total=2 * LEAST_WEIGHT, keep_for=1, clock=clock)
    one = store.put(b"1")
    clock.now += 10
    with pytest.raises(RefusedError, match="full"):
        store.put(b"x" * (2 * LEAST_WEIGHT + 1))
    assert store.has(one)


def test_store_that_was_made_smaller_shrinks_when_there_is_something_new(tmp_path: Path) -> None:
    clock = Clock()
    large = BlobStore(tmp_path, clock=clock)
    for n in range(10):
        large.put(b"%d" % n)
        clock.now += 1
    clock.now += KEEP_FOR
    small = BlobStore(tmp_path, max_total=3 * LEAST_WEIGHT, clock=clock)
    small.put(b"new")
    assert small._whole.total <= 3 * LEAST_WEIGHT
    assert len(names(tmp_path)) == 6


@pytest.mark.parametrize("step", ["fsync", "replace", "pwrite"])
def test_disk_that_fails_refuses_and_leaves_nothing_half(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest = BlobStore(tmp_path), manifest_of(THREE)
    store.begin(manifest)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path if step == "replace" else os, step, full)
        with pytest.raises(RefusedError, match="No space left on device; see whether it is full"):
            if step == "pwrite":
                store.fill(manifest, 0, THREE[:CHUNK_SIZE])
            else:
                store.put(b"new")
    assert not [name for name in names(tmp_path) if name.startswith(".")], "no drafts stay"
    assert not store.has(manifest_of(b"new").digest)
    assert store.put(b"new") == manifest_of(b"new").digest
    assert store.begin(manifest) == {0, 1, 2}


def test_a_name_appears_after_its_file_and_directory_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def traced_fsync(descriptor: int) -> None:
        trace.append("sync " + str(Path(f"/proc/self/fd/{descriptor}").readlink()).removeprefix(str(tmp_path))[:2])
        fsync(descriptor)

    def traced_replace(path: Path, target: Path) -> Path:
        trace.append("name " + ("manifest" if target.suffix else "blob"))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(Path, "replace", traced_replace)
    store = BlobStore(tmp_path)
    store.put(b"data")
    assert trace == ["sync /.", "name manifest", "sync ", "sync /.", "name blob", "sync "]
    trace.clear()
    manifest = manifest_of(b"other")
    store.begin(manifest)
    store.fill(manifest, 0, b"other")
    trace.clear()
    store.finish(manifest)
    assert trace == [f"sync /{manifest.digest.hex()[0]}", "name blob", "sync "]


def test_many_threads_at_once(tmp_path: Path) -> None:
    clock = Clock()
    store = BlobStore(tmp_path, max_total=8 * LEAST_WEIGHT, keep_for=-1, clock=clock)
    wrong: list[object] = []

    def work(number: int) -> None:
        for n in range(40):
            data = b"%d" % ((n * number) % 13)
            try:
                name = store.put(data)
                if store.get(name) != data:
                    wrong.append(name)
            except RefusedError:
                pass  # another thread made room
            except Exception as error:  # noqa: BLE001  # handed to the test's own thread
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store._whole.total <= 8 * LEAST_WEIGHT
    on_disk = {name for name in names(tmp_path) if "." not in name}
    assert on_disk == {name.hex() for name in store._whole}
