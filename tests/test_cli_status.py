"""What ``soma status`` says of the rules: their version, and whether the last epoch ended in safe mode."""

import pytest
from attrs import evolve

from soma_core.api import control
from soma_core.cli.status import rules_in_words

CALM = control.Status(
    version="1",
    network="test",
    chain=bytes(32),
    data_dir="data",
    roles=(),
    index=1,
    time=1,
    epoch=1,
    rules=1,
    known_rules=1,
    parked=0,
    state=bytes(32),
    account=bytes(32),
    balance=0,
    node=bytes(32),
    addresses=(),
    peers=0,
    validators=1,
    encoders=(),
    open_jobs=0,
    mempool=0,
    free=0,
    takes_work=True,
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "version 1"),
        ({"known_rules": 2}, "version 1 of 2 known here"),
        (
            {"parked": 1},
            "version 1 · SAFE MODE: a rule failed at the last end of an epoch, and the money of one epoch waits",
        ),
        (
            {"rules": 3, "known_rules": 3, "parked": 2},
            "version 3 · SAFE MODE: a rule failed at the last end of an epoch, and the money of 2 epochs waits",
        ),
    ],
)
def test_the_rules_in_words(changes: dict[str, int], words: str) -> None:
    assert rules_in_words(evolve(CALM, **changes)) == words
