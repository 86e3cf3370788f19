"""Nodes over real sockets: in this process, or each in one of its own (``python -m net.sockets_world``)."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import trio
from attrs import evolve, frozen
from net.peers_world import HELLO, peer_of, who

from soma_core.api import Budget, TransportContext
from soma_core.net import Address, BlobStore, Network, Reply, fetch, serve_blobs
from soma_libp2p import Libp2pConfig, soma_transport

LIMIT = 30.0
"""Seconds; none needs a tenth of it."""


@asynccontextmanager
async def node(
    number: int,
    directory: Path,
    *book: Address,
    chain: bytes = HELLO.chain,
    config: Libp2pConfig | None = None,
    budget: Budget | None = None,
) -> AsyncIterator[tuple[Network, BlobStore, Address]]:
    """A node with a store of blobs, which echoes what it is asked; and where others dial it."""
    await trio.Path(directory / "blobs").mkdir(parents=True, exist_ok=True)
    budget = budget or Budget()
    identity = evolve(who(number), chain=HELLO.chain)
    context = TransportContext("transport-libp2p", directory, logging.getLogger("soma.test"), identity, budget)
    async with soma_transport().open(config or Libp2pConfig(), context) as transport, trio.open_nursery() as nursery:
        hello = evolve(HELLO, chain=chain, addresses=transport.addresses)
        network = Network(transport, peer_of(number), hello, book, random=Random(number), budget=budget)
        store = BlobStore(directory / "blobs")
        serve_blobs(network, store)

        async def echo(_peer: bytes, body: object, payload: bytes) -> Reply:
            return Reply({"got": body}, payload)

        network.serve("test.echo", echo, channel="sync", max_payload=1 << 19)
        await nursery.start(network.run)
        with trio.fail_after(LIMIT):
            yield network, store, Address(peer_of(number), transport.addresses[0])
        nursery.cancel_scope.cancel()


@frozen
class Process:
    """A node in a process of its own."""

    process: trio.Process
    where: Address

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def resident(self) -> int:
        """Bytes of memory that it has now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def process(
    number: int, directory: Path, *book: Address, port: int = 0, budget: int = 128 << 20
) -> AsyncIterator[Process]:
    """The node `number` of `directory` as a process, killed on leaving.

    It echoes, serves its blobs, answers each consensus message with the same, and fetches every blob that it is asked
    for by ``test.fetch`` from who asks.
    """
    asked = {"number": number, "directory": str(directory), "book": list(map(str, book)), "port": port, "most": budget}
    child = await trio.lowlevel.open_process(
        [sys.executable, "-m", "net.sockets_world", json.dumps(asked)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    assert child.stdout is not None
    try:
        with trio.fail_after(LIMIT):
            line = await child.stdout.receive_some()
        yield Process(child, Address.parse(line.decode().strip()))
    finally:
        child.kill()
        with trio.CancelScope(shield=True):
            await child.wait()
            await child.stdout.aclose()


async def _main(number: int, directory: str, book: list[str], port: int, most: int) -> None:
    config = Libp2pConfig(listen=f"/ip4/127.0.0.1/tcp/{port}")
    addresses = map(Address.parse, book)
    async with node(number, Path(directory), *addresses, config=config, budget=Budget(most)) as (network, store, where):

        async def get(peer: Any, body: Any, _payload: bytes) -> Reply:
            await fetch(network, store, body["blob"], [peer])
            return Reply({"has": store.has(body["blob"])})

        network.serve("test.fetch", get, channel="sync")
        sys.stdout.write(f"{where}\n")
        sys.stdout.flush()
        async for peer, message in network.consensus_messages:
            network.consensus_send(peer, message)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    trio.run(lambda: _main(**json.loads(sys.argv[1])))
