"""The suite that holds scoring rules to their contract notices what breaks it."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from soma_core.api import Answer, Payment, Settlement
from soma_core.api.fixed import quantise
from soma_core.testing.scoring import check_settlement, fingerprint
from soma_scoring import Params, open_rule

POT = 10**9


def shard() -> list[Answer]:
    rng = np.random.default_rng(3)
    return [
        Answer(
            encoder=bytes([n]) * 32,
            stake=10**12,
            registered=n,
            opaque=False,
            own=True,
            gate=131072,
            loss=100_000 + 20_000 * n,
            vector=quantise(rng.normal(size=8) + 2) if n else None,
        )
        for n in range(4)
    ]


def settled() -> Settlement:
    return open_rule(Params()).settle(POT, shard(), [])


def test_a_settlement_of_the_rule_passes() -> None:
    check_settlement(settled(), POT, shard())
    assert settled().fines == {0: POT // 10, 3: POT // 10}


@pytest.mark.parametrize(
    "changed",
    [
        {"payments": (Payment(1, POT - 1, "won"),)},
        {"payments": (Payment(1, POT + 1, "won"), Payment("submitter", -1, "refund"))},
        {"payments": (Payment(1, float(POT), "won"),)},
        {"payments": (Payment(4, POT, "won"),)},
        {"payments": (Payment(1, POT, ""),)},
        {"outcome": "refunded"},
        {"vector": None},
        {"vector": np.ones(8, np.int16)},
        {"vector": np.full(8, 4096.0)},
        {"weights": {1: 65535}},
        {"weights": {0: 65536}},
        {"weights": {1: 65537, 2: -1}},
        {"weights": {1: 65536.0}},
        {"winner": 9},
        {"winner": 0},
        {"silent": (0, 0)},
        {"fines": {0: 10**13}},
        {"fines": {0: -1}},
        {"gates": {1: 0.5}},
        {"reexecute": (7,)},
    ],
    ids=str,
)
def test_a_broken_settlement_is_noticed(changed: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check_settlement(evolve(settled(), **changed), POT, shard())


def test_a_fingerprint_is_that_of_the_rule() -> None:
    assert fingerprint("scoring-soma") == fingerprint("scoring-soma")
    assert len(fingerprint("scoring-soma")) == 128


def test_importing_the_plugin_imports_no_numpy() -> None:
    code = "import sys, soma_scoring; soma_scoring.soma_scoring(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
