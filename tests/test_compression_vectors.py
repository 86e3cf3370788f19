"""What was packed once unpacks for ever: ``specs/vectors/compression.json``."""

import os
import subprocess
import sys
from typing import Any

import pytest
import vectors

from soma_symbols.coding import CoderConfig, open_coder
from soma_symbols.coding.records import unpack_records

CASES = vectors.load("compression.json")
PLAIN = open_coder(CoderConfig())


@pytest.mark.parametrize("case", CASES["blocks"], ids=lambda case: case["name"])
def test_packed_blocks_unpack_under_any_settings(case: dict[str, Any]) -> None:
    assert PLAIN.decompress(bytes.fromhex(case["packed"])).hex() == case["block"]


@pytest.mark.parametrize("case", CASES["blocks"], ids=lambda case: case["name"])
def test_blocks_are_packed_like_this(case: dict[str, Any]) -> None:
    assert open_coder(CoderConfig(**case["settings"])).compress(bytes.fromhex(case["block"])).hex() == case["packed"]


@pytest.mark.parametrize("case", CASES["blocks"], ids=lambda case: case["name"])
def test_packed_blocks_with_a_bit_changed_are_refused(case: dict[str, Any]) -> None:
    for place in range(0, len(case["packed"]) // 2, 7):
        changed = bytearray.fromhex(case["packed"])
        changed[place] ^= 1
        with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
            PLAIN.decompress(bytes(changed))


def test_every_method_has_cases() -> None:
    assert {bytes.fromhex(case["packed"])[4] for case in CASES["blocks"]} == set(range(6))


@pytest.mark.parametrize("case", CASES["records"], ids=lambda case: case["name"])
def test_packed_records_come_back(case: dict[str, Any]) -> None:
    _, document, made = unpack_records(bytes.fromhex(case["packed"]), PLAIN)
    assert document.hex() == case["document"]
    assert int(made[0].uids[0]) == 10977518812293740004


@pytest.mark.parametrize("processor", ["Prescott", "Haswell"])
def test_another_processors_sums_change_nothing(processor: str) -> None:
    """BLAS adds up in another order on another processor: here it is told that it runs on one."""
    case = next(case for case in CASES["blocks"] if case["name"] == "code: one lane")
    script = (
        "from soma_symbols.coding import CoderConfig, open_coder\n"
        f"print(open_coder(CoderConfig()).decompress(bytes.fromhex({case['packed']!r})).hex())"
    )
    made = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "OPENBLAS_CORETYPE": processor},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert made.stdout.strip() == case["block"]
