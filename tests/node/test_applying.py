"""What a node tells its operator of commits that only newer software cures."""

from types import SimpleNamespace
from typing import Any

import pytest
from driver_world import InlineThread

from soma_core import chain
from soma_core.node.applying import Applying


async def test_safe_mode_and_rules_that_are_too_new_stand_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    events = (chain.BoundaryFailed(3, "ZeroDivisionError: by nothing"), chain.ProtocolChanged(7))
    applied: Any = SimpleNamespace(events=events, record=SimpleNamespace(index=41))
    told: list[tuple[Any, bool]] = []

    async def tell(what: chain.Applied, proved: bool) -> None:  # noqa: FBT001  # as `Applying` says it
        told.append((what, proved))

    store: Any = SimpleNamespace(apply=lambda _commit, _record: applied)
    commit: Any = None
    await Applying(store, InlineThread(), tell).apply(commit)  # type: ignore[arg-type]  # as a thread does
    assert told == [(applied, False)]
    assert "epoch 3 could not be ended by the rules (ZeroDivisionError: by nothing)" in caplog.text
    assert "with the index 41 of the commit" in caplog.text
    assert "version 7 of the rules: install newer software" in caplog.text
    caplog.clear()
    applied.events = (chain.ProtocolChanged(chain.PROTOCOL_MOST), chain.EpochBegan(4))
    await Applying(store, InlineThread(), tell).apply(commit)  # type: ignore[arg-type]
    assert caplog.text == ""
