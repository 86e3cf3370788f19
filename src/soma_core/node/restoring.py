"""Making and taking backups: of a node that is stopped, and into a directory that is none yet.

A restored validator does not know what it signed after the backup. It carries a mark, and before it orders anything it
takes from its peers whatever they can prove beyond it. ``specs/decisions/0011-restored-nodes.md``.
"""

import logging
import secrets
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

from soma_core.config import Options, prepare
from soma_core.errors import UsageError
from soma_core.genesis import read

from . import directory as places
from .applying import Applying
from .backups import About, check_backup, check_restored, restore_entries, restore_files, sealed_answers, write_backup
from .components import one_of, open_ledger, scoring_of
from .durable import sync_directory, write_durably
from .store import Store
from .threads import open_thread

MARK: Final = "restored"
"""The file that says that a node has not yet asked its peers what it forgot: the last commit of its backup."""
PATIENCE: Final = 10.0
"""Seconds without a new commit after which a restored validator takes it that its peers have none."""

_log = logging.getLogger("soma.restoring")


async def back_up_stopped(options: Options, data_dir: Path, genesis_file: Path, target: Path, *, keys: bool) -> About:
    """The backup of a node that does not run. Raises `UsageError` if it runs after all, or never did."""
    genesis = read(genesis_file)
    prepared = prepare(options)
    with places.locked(data_dir):
        async with open_thread("chain") as thread:
            ledger = await open_ledger(prepared, data_dir, "chain", thread)
            try:
                # Opening it checks what it holds.
                await thread.run(Store, genesis, scoring_of(prepared.plugins, genesis.scoring), ledger)
                answers = sealed_answers(data_dir)
                return await thread.run(lambda: write_backup(target, data_dir, genesis, ledger, answers, keys=keys))
            finally:
                await thread.run(ledger.close)


async def restore(options: Options, source: Path, target: Path) -> About:
    """Make `target` the data directory of a node as it was when `source` was made: all of it, or nothing.

    Raises `UsageError` if something is there, `DecodeError` if the file is no whole backup, `CorruptionError` if what
    it holds does not fit together.
    """
    prepared = prepare(options)
    ledger_plugin = one_of(prepared, "ledger")
    if "durable" not in prepared.specs[ledger_plugin.name].features:
        raise UsageError(f"{ledger_plugin.name} keeps nothing on disk", "restore into another ledger")
    with _appears_whole(target) as draft:
        about = check_backup(source)
        restore_files(source, draft)
        genesis = read(draft / places.GENESIS)
        if genesis.chain != about.chain:
            raise UsageError(f"{source}: its genesis is of another chain", "take another backup")
        async with open_thread("chain") as thread:
            ledger = await open_ledger(prepared, draft, "chain", thread)
            try:
                await thread.run(restore_entries, source, ledger)
                store = await thread.run(Store, genesis, scoring_of(prepared.plugins, genesis.scoring), ledger)
                await thread.run(check_restored, store, about)
            finally:
                await thread.run(ledger.close)
        write_durably(draft / MARK, f"{about.index}\n".encode())
    return about


@contextmanager
def _appears_whole(target: Path) -> Iterator[Path]:
    """A directory beside `target` that takes its place when the block ends well, and goes when it does not."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: something is there already", "name a new --data-dir, or move this one away")
    draft = places.make(target.with_name(f".{target.name}.{secrets.token_hex(4)}"))
    try:
        yield draft
        if target.exists():
            target.rmdir()
        draft.rename(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


async def remember(
    data_dir: Path,
    applying: Applying,
    fetch: Callable[[Applying], Awaitable[None]],
    *,
    members: int,
    engine_remembers: bool,
) -> None:
    """Before a restored validator orders: take what peers can prove beyond the backup; then the mark goes.

    Returns at once without a mark. `fetch` takes commits from peers until cancelled. In a committee of several, whose
    others go on meanwhile, it is the engine that asks a quorum what it signed, before it signs, if it is one that does
    (`engine_remembers`). Raises `UsageError` if it is not: then this node may only follow.
    """
    mark = data_dir / MARK
    if not mark.exists():
        return
    if members > 1 and not engine_remembers:
        raise UsageError(
            f"{data_dir} was restored from a backup, and this node does not know what it signed after it",
            "start it without a consensus plugin: it then follows the network",
        )
    _log.warning("restored at commit %d: asking peers for what came after it", applying.store.tip.index)
    if members == 1:
        await _until_quiet(applying, fetch)
        _log.warning("going on after commit %d", applying.store.tip.index)
    mark.unlink()
    sync_directory(data_dir)


async def _until_quiet(applying: Applying, fetch: Callable[[Applying], Awaitable[None]]) -> None:
    """Let `fetch` work until the chain has not moved for `PATIENCE`."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch, applying)
        quiet = False
        while not quiet:
            before = applying.store.tip.index
            await trio.sleep(PATIENCE)
            async with applying.lock:  # so that nothing is cut off half applied
                quiet = applying.store.tip.index == before
                if quiet:
                    nursery.cancel_scope.cancel()
