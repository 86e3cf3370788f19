"""Rule O30: a validator that was away says that it is back (``specs/40-node.md``)."""

from typing import Any

import pytest
import trio
from attrs import evolve
from committee_world import Committee, Signer, account, address, committee_genesis
from ledger_world import key

from soma_core import chain
from soma_core.chain import members
from soma_core.crypto import signing_digest
from soma_core.errors import UnreachableError
from soma_core.genesis import check
from soma_core.node.events import Hub
from soma_core.node.returning import Returning

SOMA = 10**9
ANCHOR = b"\7" * 32


class Here:
    """A store, its thread, and a signer, of the validator at place 0."""

    def __init__(self) -> None:
        genesis = committee_genesis((1, 1))
        staked = tuple(evolve(v, stake=100 * SOMA) for v in genesis.validators)
        self.world = Committee(genesis=check(evolve(genesis, validators=staked)))
        self.genesis = self.world.genesis
        self.state = self.world.state
        self.tip = evolve(self.world.tip, epoch=3)

    def read(self, look: Any) -> Any:
        return look(self.state)

    async def run(self, work: Any, *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    def role(self, role: str) -> "Capability":
        return Capability(self, {"validator": 100, "node": 200}[role])

    def member(self, **changes: bool) -> None:
        name = address(account(0))
        self.state.put(members.MEMBERS, name, evolve(self.state.need(members.MEMBERS, name), **changes))


class Capability:
    def __init__(self, here: Here, number: int) -> None:
        self.here, self.number, self.key = here, number, key(number).public

    async def sign(self, domain: str, epoch: int, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return Signer(self.number).sign(signing_digest(domain, self.here.genesis.chain, epoch, body))

    async def beacon_anchor(self, epoch: int, rounds: int) -> bytes:
        await trio.lowlevel.checkpoint()
        assert (epoch, rounds) == (self.here.tip.epoch + 1, self.here.genesis.parameters.beacon_rounds)
        return ANCHOR


class Wallet:
    """An account's wallet that remembers, and fails as often as it is told."""

    def __init__(self, fails: int = 0) -> None:
        self.address = address(account(0))
        self.fails = fails
        self.sent: list[chain.UpdateValidator] = []

    async def send(self, kind: str, action: chain.UpdateValidator) -> chain.TransactionDone:
        await trio.lowlevel.checkpoint()
        assert kind == "update_validator"
        self.sent.append(action)
        if len(self.sent) <= self.fails:
            raise UnreachableError("nobody", "later")
        return chain.TransactionDone(bytes(32), "applied", "", "")


async def turn(hub: Hub) -> None:
    hub.wake()
    for _ in range(20):
        await trio.lowlevel.checkpoint()


def back(here: Any, hub: Hub, wallet: Any) -> Returning:
    return Returning(here, here, hub, here, wallet)


async def test_who_is_down_says_so_once_an_epoch_and_the_chain_takes_it(autojump_clock: Any) -> None:
    here, hub, wallet = Here(), Hub(), Wallet(fails=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(back(here, hub, wallet).run)
        await turn(hub)
        assert wallet.sent == []
        here.member(down=True)
        for _ in range(3):
            await turn(hub)
        assert len(wallet.sent) == 1
        here.tip = evolve(here.tip, epoch=4)
        await turn(hub)
        assert len(wallet.sent) == 2
        nursery.cancel_scope.cancel()
    action = wallet.sent[-1]
    assert (action.key, action.node, action.anchor) == (key(100).public, key(200).public, ANCHOR)
    world = here.world
    wire = world.transaction(account(0), "update_validator", action)
    assert world.outcomes(world.step(wire, system=b"")) == [("applied", "")]


@pytest.mark.parametrize("changes", [{"barred": True}, {"goes": True}, {"down": False}])
async def test_who_cannot_sit_again_is_silent(autojump_clock: Any, changes: dict[str, bool]) -> None:
    here, hub, wallet = Here(), Hub(), Wallet()
    here.member(**{"down": True, **changes})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(back(here, hub, wallet).run)
        await turn(hub)
        nursery.cancel_scope.cancel()
    assert wallet.sent == []


async def test_who_is_no_validator_is_silent(autojump_clock: Any) -> None:
    here, hub, wallet = Here(), Hub(), Wallet()
    wallet.address = address(30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(back(here, hub, wallet).run)
        await turn(hub)
        nursery.cancel_scope.cancel()
    assert wallet.sent == []
