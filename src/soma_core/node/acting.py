"""What a node does on the chain because a person asks it: actions of its accounts, and answers about them."""

import secrets
from collections.abc import Callable, Mapping
from typing import Final, Protocol, final

import trio
from attrs import evolve

from soma_core import chain
from soma_core.api import control, standing
from soma_core.errors import RefusedError, UsageError
from soma_core.records import structure

from . import standing as views
from .control import Answerer, Replied
from .returning import present_keys
from .signing import Signer
from .store import Store
from .threads import Thread
from .wallet import Wallet

ACCOUNT: Final = "account"


class OwnEncoders(Protocol):
    """The encoders of this node, by their plugins. All raise `SomaError`."""

    def registration(self, plugin: str, name: str, stake: int, /) -> chain.RegisterEncoder:
        """What registers one."""
        ...

    async def renew(self, plugin: str, weights: str, /) -> chain.TransactionDone:
        """Bring out new weights of one: a bundled name or a path."""
        ...

    async def plant(self, plugin: str, /) -> chain.TransactionDone:
        """Plant a canary of one."""
        ...


@final
class Acting:
    """Answers of one node that are about its accounts' part in the network. `wallet`: of a role's account."""

    def __init__(
        self,
        store: Store,
        thread: Thread,
        signer: Signer,
        wallet: Callable[[str], Wallet],
        encoders: OwnEncoders,
    ) -> None:
        self._store = store
        self._thread = thread
        self._signer = signer
        self._wallet = wallet
        self._encoders = encoders

    def answerers(self) -> Mapping[str, Answerer]:
        """By the operation's name."""
        return {
            control.ACT.name: self._act,
            control.POOL.name: self._pool,
            control.VALIDATORS.name: self._validators,
            control.JOIN_COMMITTEE.name: self._join,
            control.JOIN_ENCODERS.name: self._register,
            control.RENEW_WEIGHTS.name: self._bring_out,
            control.PLANT_CANARY.name: self._plant,
            control.RENEW_KEYS.name: self._renew,
            control.AUDITS.name: self._audits,
            control.OPERATORS.name: self._operators,
        }

    async def _act(self, request: standing.Act, _payload: bytes) -> Replied:
        handler = chain.ACTIONS.get(request.kind)
        if handler is None:
            raise UsageError(f"{request.kind:.32}: no action of the chain", "upgrade the older of program and node")
        return await self._send(request.role, request.kind, structure(handler.record, request.action))

    async def _join(self, request: standing.JoinCommittee, _payload: bytes) -> Replied:
        keys = await self._keys()
        action = chain.RegisterValidator(
            name=request.name,
            key=keys.key,
            node=keys.node,
            possession=keys.possession,
            node_possession=keys.node_possession,
            anchor=keys.anchor,
            stake=request.stake,
            commission=request.commission,
        )
        return await self._send(ACCOUNT, "register_validator", action)

    async def _register(self, request: standing.JoinEncoders, _payload: bytes) -> Replied:
        action = await trio.to_thread.run_sync(self._encoders.registration, request.plugin, request.name, request.stake)
        return await self._seal_and_register(request.plugin, action)

    async def _seal_and_register(self, role: str, action: chain.RegisterEncoder) -> Replied:
        """Register under a seal, where there are weights that somebody could be before with (rule L25)."""
        if action.weights:
            action = evolve(action, salt=secrets.token_bytes(32))
            owner = self._wallet(role).address
            held = action.salt, action.weights, action.frame, action.position, action.best
            done = await self._wallet(role).send(
                "seal_registration", chain.SealRegistration(chain.weights_seal(owner, *held))
            )
            if done.code:
                return await self._send(role, "register_encoder", evolve(action, salt=b""))
        return await self._send(role, "register_encoder", action)

    async def _bring_out(self, request: standing.RenewWeights, _payload: bytes) -> Replied:
        fee = await self._thread.run(self._store.read, chain.least_fee)
        return _replied(await self._encoders.renew(request.plugin, request.weights), fee)

    async def _plant(self, request: standing.PlantCanary, _payload: bytes) -> Replied:
        fee = await self._thread.run(self._store.read, chain.least_fee)
        return _replied(await self._encoders.plant(request.plugin), fee)

    async def _renew(self, _request: control.Empty, _payload: bytes) -> Replied:
        return await self._send(ACCOUNT, "update_validator", await self._keys())

    async def _keys(self) -> chain.UpdateValidator:
        """The node's two keys, with what proves them."""
        if "validator" not in self._signer.roles:
            raise RefusedError(
                "this node has no validator key", "make it with `soma keys new validator`, and start the node again"
            )
        return await present_keys(self._signer, self._store, self._wallet(ACCOUNT).address)

    async def _send(self, role: str, kind: str, action: object) -> Replied:
        fee = await self._thread.run(self._store.read, chain.least_fee)
        return _replied(await self._wallet(role).send(kind, action), fee)

    async def _pool(self, request: standing.AskPool, _payload: bytes) -> Replied:
        own = self._wallet(ACCOUNT).address
        owner = request.owner or own
        found = await self._thread.run(
            self._store.read, lambda state: views.pool_of(state, owner, request.staker or own)
        )
        if found is None:
            raise RefusedError(
                f"{owner.hex()[:12]}… has no pool of stake", "name an encoder's or a validator's account: `soma status`"
            )
        return Replied(found)

    async def _validators(self, _request: control.Empty, _payload: bytes) -> Replied:
        return Replied(await self._thread.run(self._store.read, views.validators))

    async def _audits(self, request: standing.AskAudits, _payload: bytes) -> Replied:
        own, bond = self._wallet(ACCOUNT).address, self._store.genesis.parameters.dispute_bond
        return Replied(
            await self._thread.run(self._store.read, lambda state: views.audits(state, own, bond, request.begins))
        )

    async def _operators(self, request: standing.AskOperators, _payload: bytes) -> Replied:
        account = request.address or self._wallet(ACCOUNT).address
        return Replied(await self._thread.run(self._store.read, lambda state: views.operators(state, account)))


def _replied(done: chain.TransactionDone, fee: int) -> Replied:
    return Replied(control.Done(transaction=done.id, code=done.code, text=done.text, fee=fee))
