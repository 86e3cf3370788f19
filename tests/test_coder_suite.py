"""`CoderSuite` finds coders that are wrong, each by the case that is there for it, and lets a right one pass."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_distributions import forget, install

from soma_core.testing import run_suite

SOURCE = """
    import hashlib
    import os
    import random
    import zlib

    from soma_core.api import MAX_BLOCK, CoderSpec, NoConfig, hookimpl

    SEEN = []

    class Deflated:
        def compress(self, block):
            if len(block) > MAX_BLOCK:
                raise ValueError("too large")
            body = min(b"z" + zlib.compress(block, 9), b"s" + block, key=len)
            {packing}
            return hashlib.blake2b(body, digest_size=8).digest() + body

        def decompress(self, packed):
            {unpacking}
            check, body = packed[:8], packed[8:]
            if not body or hashlib.blake2b(body, digest_size=8).digest() != check:
                raise ValueError("no check")
            return zlib.decompress(body[1:]) if body[:1] == b"z" else body[1:]

    @hookimpl
    def soma_coder():
        return CoderSpec(api=1, config=NoConfig, open=lambda config: Deflated())
"""

CASES = {
    "lossy": ("body = b's' + block.rstrip(b'\\0')", "pass", "test_gives_back_every_length"),
    "long": ("body = b's' + block + bytes(60)", "pass", "test_gives_every_block_back"),
    "array": ("pass", "return bytearray(zlib.decompress(packed[9:]))", "test_gives_every_block_back"),
    "stored": ("body = b's' + block", "pass", "test_makes_what_repeats_shorter"),
    "boundless": ("block[: MAX_BLOCK]", "pass", None),
    "remembers": ("SEEN.append(0); body += bytes([len(SEEN) % 256])", "pass", "test_keeps_nothing_between_calls"),
    "hashed": ("body = b's' + block + bytes([hash(block) & 255])", "pass", "test_packs_alike_in_every_process"),
    "trusting": ("pass", "return zlib.decompress(packed[9:])", "test_refuses_what_it_did_not_make"),
    "blind": (
        "pass",
        "packed = hashlib.blake2b(packed[8:], digest_size=8).digest() + packed[8:]",
        "test_refuses_what_is_cut_short_or_changed",
    ),
    "greedy": ("pass", "bytearray(int.from_bytes(packed[:3], 'big') << 2)", "test_refuses_before_it_makes_room"),
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield tmp_path
    forget(tmp_path)


@pytest.mark.parametrize(("packing", "unpacking", "case"), CASES.values(), ids=CASES)
def test_a_fault_is_found(packing: str, unpacking: str, case: str | None, world: Path) -> None:
    source = SOURCE.replace("{packing}", packing).replace("{unpacking}", unpacking)
    install(world, "soma-coder-kit", {"coder-kit": "soma_coder_kit"}, {"soma_coder_kit": source})
    found = {one.name.partition("[")[0] for one in run_suite("coder", "coder-kit", {}) if one.outcome == "failed"}
    assert (case in found) if case else not found
