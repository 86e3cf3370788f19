"""``soma run``: one node, until Ctrl-C."""

from typing import TYPE_CHECKING

import click

from ._options import with_options
from ._print import talk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

    from soma_core.config import Options


@click.command()
@with_options
@click.option("--until-eof", is_flag=True, help="End when standard input does, as when the starting program has died.")
def run(options: "Options", *, until_eof: bool) -> None:
    """Run a node. With no genesis file, found a development network of one and run that."""
    from soma_core.node.assembly import data_dir_of, genesis_path

    _start_log(options)
    data_dir = data_dir_of(options)
    path = genesis_path(options)
    if not path.exists() and path == data_dir / "genesis.cbor":
        _found(options)
    _serve(options, until_eof=until_eof)


def _found(options: "Options") -> None:
    """Found the network, then begin afresh: the process that runs the node has never seen a secret."""
    import os
    import sys

    import trio

    from soma_core.node.assembly import data_dir_of, genesis_path
    from soma_core.node.founding import found_development

    def begun() -> None:
        talk(f"No genesis yet: founding a development network in {data_dir_of(options)}")

    trio.run(found_development, options, data_dir_of(options), genesis_path(options), begun)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "soma_core.cli", *sys.argv[1:]])  # noqa: S606  # ourselves


def _serve(options: "Options", *, until_eof: bool) -> None:
    import signal

    import trio

    from soma_core.node.assembly import Running, run_node

    def up(running: Running) -> None:
        roles = " and ".join(running.roles) or "follower"
        talk(f"{roles} of {running.genesis.name} · chain {running.genesis.chain.hex()[:12]}")
        for encoder in running.encoders:
            talk(f"encoder {encoder.name} ({encoder.plugin}): {encoder.state}")
        talk(f"data in {running.data_dir}")
        where = f" --data-dir {running.data_dir}"
        talk(f"next: soma embed FILE{where}")
        talk(f"      soma status{where}")

    async def until_told() -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as told:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_end_on_signal, told, nursery.cancel_scope)
                if until_eof:
                    nursery.start_soon(_end_with_input, nursery.cancel_scope)
                await run_node(options, up)
                nursery.cancel_scope.cancel()

    trio.run(until_told)


async def _end_on_signal(told: "AsyncIterator[int]", scope: "trio.CancelScope") -> None:
    async for number in told:
        talk(f"signal {number}: ending")
        scope.cancel()


async def _end_with_input(scope: "trio.CancelScope") -> None:
    import os

    import trio

    while await trio.to_thread.run_sync(os.read, 0, 1 << 12, abandon_on_cancel=True):
        pass
    talk("standard input has ended: ending")
    scope.cancel()


def _start_log(options: "Options") -> None:
    import logging

    from soma_core.config import gather

    level = gather(options).resolve().node.log_level
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
