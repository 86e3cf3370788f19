"""A transaction on its way: handed over again where it was forgotten, and given up in the end."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from attrs import define, field
from ledger_world import World, key

from soma_core import chain
from soma_core.crypto import address_of, signing_digest
from soma_core.errors import RefusedError, UnreachableError
from soma_core.node.events import Hub
from soma_core.node.wallet import AGAIN_AFTER, PATIENCE, Wallet, Wallets

SOMEBODY = bytes(32)


class Key:
    """A signing capability without a process behind it."""

    def __init__(self, world: World) -> None:
        self.key = key(1).public
        self._chain = world.genesis.chain

    async def sign(self, domain: str, epoch: int, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return key(1).sign(signing_digest(domain, self._chain, epoch, body))


class Here:
    """A store and its thread."""

    def __init__(self, world: World) -> None:
        self.genesis = world.genesis
        self._state = world.state

    def read(self, look: Callable[[chain.State], Any]) -> Any:
        return look(self._state)

    async def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)


@define
class Orderer:
    """Whoever orders: it forgets the first `forgets` of what it is given, and refuses what it knows."""

    hub: Hub
    forgets: int = 0
    given: list[tuple[float, bytes]] = field(factory=list)

    async def take(self, signed: chain.SignedTransaction) -> None:
        await trio.lowlevel.checkpoint()
        self.given.append((trio.current_time(), signed.id))
        if len(self.given) == self.forgets + 1:
            done = chain.TransactionDone(signed.id, "applied", "", "")
            self.hub.publish(type("Applied", (), {"events": (done,)})())  # type: ignore[arg-type]
        elif len(self.given) > 1:
            raise RefusedError("it refuses", "as it may")


def wallet_of(world: World, orderer: Orderer) -> Wallet:
    here: Any = Here(world)
    signing: Any = Key(world)
    return Wallet(signing, here, here, orderer.hub, orderer.take)


async def send(wallet: Wallet) -> chain.TransactionDone:
    return await wallet.send("transfer", chain.Transfer(SOMEBODY, 1))


async def test_what_is_ordered_at_once_is_handed_over_once(world: World, autojump_clock: object) -> None:
    orderer = Orderer(Hub())
    assert (await send(wallet_of(world, orderer))).outcome == "applied"
    assert len(orderer.given) == 1


async def test_what_was_forgotten_is_handed_over_again_and_stays_the_same(world: World, autojump_clock: object) -> None:
    orderer, begun = Orderer(Hub(), forgets=3), trio.current_time()
    assert (await send(wallet_of(world, orderer))).outcome == "applied"
    assert len({identity for _, identity in orderer.given}) == 1
    assert [round(at - begun) for at, _ in orderer.given] == [round(n * AGAIN_AFTER) for n in range(4)]


async def test_what_nobody_orders_is_given_up(world: World, autojump_clock: object) -> None:
    orderer, begun = Orderer(Hub(), forgets=1_000), trio.current_time()
    with pytest.raises(UnreachableError, match="was not ordered within 60 s"):
        await send(wallet_of(world, orderer))
    assert trio.current_time() - begun == pytest.approx(PATIENCE)
    assert len(orderer.given) == pytest.approx(PATIENCE / AGAIN_AFTER, abs=1)


async def test_what_is_ordered_twice_was_applied(world: World, autojump_clock: object) -> None:
    hub = Hub()

    async def twice(signed: chain.SignedTransaction) -> None:
        await trio.lowlevel.checkpoint()
        for outcome in ("applied", "skipped"):
            done = chain.TransactionDone(signed.id, outcome, "", "")
            hub.publish(type("Applied", (), {"events": (done,)})())  # type: ignore[arg-type]

    orderer: Any = type("Twice", (), {"hub": hub, "take": staticmethod(twice)})()
    assert (await send(wallet_of(world, orderer))).outcome == "applied"


async def test_an_operator_numbers_by_its_purse_and_sends_for_the_account(world: World, autojump_clock: object) -> None:
    owner, operator = key(2), key(1)
    here: Any = Here(world)
    signing: Any = Key(world)
    orderer, taken = Orderer(Hub()), []

    async def submit(signed: chain.SignedTransaction) -> None:
        taken.append(signed.transaction)
        await orderer.take(signed)

    account = address_of(owner.public)
    wallet = Wallet(signing, here, here, orderer.hub, submit, account)
    assert wallet.address == account
    with pytest.raises(RefusedError, match="does not act for"):
        await send(wallet)
    purse = chain.Account(balance=10**9, sequence=5, used=1)
    name = account + address_of(operator.public)
    here._state.put(chain.OPERATORS, name, chain.Operator(role="validator", purse=purse))
    assert (await send(wallet)).outcome == "applied"
    (transaction,) = taken
    assert (transaction.sender, transaction.key, transaction.sequence) == (account, operator.public, 6)


def test_a_role_has_one_wallet(world: World) -> None:
    signers, here = {"account": Key(world)}, Here(world)
    signer: Any = type("Signer", (), {"role": lambda _self, role: signers[role]})()
    store: Any = here
    wallets = Wallets(signer, store, store, Hub(), Orderer(Hub()).take, {"account": SOMEBODY})
    assert wallets.of("account") is wallets.of("account")
    assert wallets.of("account").address == SOMEBODY
