"""What a restored validator does before it orders: decision 0011."""

from pathlib import Path
from typing import Any

import pytest
import trio
from driver_world import InlineThread, Setting, drive, quiet
from ledger_world import key

from soma_core import chain
from soma_core.crypto import signing_digest
from soma_core.errors import UsageError
from soma_core.net import Entry
from soma_core.node.applying import Applying
from soma_core.node.events import Hub
from soma_core.node.following import Following, Source
from soma_core.node.restoring import MARK, PATIENCE, remember


async def known() -> tuple[list[Entry], Setting]:
    """Entries of a network of one, each signed."""
    setting = Setting()
    leader = await drive(setting, 3, [], feed=3)
    for index in range(1, leader.tip.index + 1):
        record: Any = leader.record(index)
        digest = signing_digest("soma/checkpoint", leader.genesis.chain, record.epoch, chain.record_digest(record))
        leader.backing.keep(index, ((0, key(100).sign(digest)),))
    return list(await Source(leader, InlineThread(), Hub()).entries(1, 256, 1 << 19)), setting  # type: ignore[arg-type]


def restored() -> Applying:
    world = Setting()
    return Applying(world.store(), InlineThread(), quiet)  # type: ignore[arg-type]  # the same calls, in this thread


async def nobody(_applying: Applying) -> None:
    await trio.sleep_forever()


async def test_without_a_mark_nobody_is_asked(tmp_path: Path) -> None:
    async def never(_applying: Applying) -> None:
        raise AssertionError("asked")

    await remember(tmp_path, restored(), never, members=4, engine_remembers=False)


async def test_it_takes_what_peers_can_prove_and_waits_until_nothing_comes(tmp_path: Path, autojump_clock: Any) -> None:
    entries, _ = await known()
    (tmp_path / MARK).write_text("0\n")
    applying = restored()

    async def slowly(to: Applying) -> None:
        for entry in entries:
            await trio.sleep(PATIENCE - 1)
            await Following(to, lambda: True).apply([entry])
        await trio.sleep_forever()

    begun = trio.current_time()
    await remember(tmp_path, applying, slowly, members=1, engine_remembers=False)
    assert applying.store.tip.index == entries[-1].index
    assert trio.current_time() - begun >= len(entries) * (PATIENCE - 1) + 1
    assert not (tmp_path / MARK).exists()


async def test_in_a_committee_it_orders_only_with_an_engine_that_asks_a_quorum(
    tmp_path: Path, autojump_clock: Any
) -> None:
    (tmp_path / MARK).write_text("0\n")
    with pytest.raises(UsageError, match="does not know what it signed"):
        await remember(tmp_path, restored(), nobody, members=4, engine_remembers=False)
    assert (tmp_path / MARK).exists()
    begun = trio.current_time()
    await remember(tmp_path, restored(), nobody, members=4, engine_remembers=True)
    assert not (tmp_path / MARK).exists()
    assert trio.current_time() == begun  # the others go on: they never have nothing new
