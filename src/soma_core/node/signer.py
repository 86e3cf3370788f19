"""The signer: a child process that alone holds the node's secret keys. ``python -P -m soma_core.node.signer``.

It is started before any plugin is imported, imports none itself, and ends with its pipe. It hashes domain, chain and
epoch itself, signs with a role's key only under that role's domains, and in slotted domains one body a slot, ever,
recorded on disk before the signature leaves. Rules K8 to K19 of ``specs/05-keys-and-processes.md``.
"""

import os
import queue
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen, validators

from soma_core.beacon import ROUNDS_MAX, Chain
from soma_core.codec import Value
from soma_core.crypto import SecretKey, signing_digest
from soma_core.errors import DecodeError, KeyStoreError
from soma_core.keystore import KeyStore, keys_directory
from soma_core.records import UINT_MAX, octets, structure, text, uint

from ._confinement import forbid_core_files, hide_memory, leave_ending_to_the_node, take_pipes
from ._frames import Splitter, frame, write_all
from ._slots import SignedSlot, SignedSlots

DOMAINS_OF: Final[Mapping[str, frozenset[str]]] = {
    "account": frozenset({"soma/tx", "soma/possession"}),
    "validator": frozenset({"soma/block", "soma/checkpoint", "soma/possession"}),
    "node": frozenset({"soma/hello", "soma/possession"}),
    "encoder": frozenset({"soma/tx", "soma/webhook", "soma/possession"}),
}
"""The domains each role's key signs under; every key may prove that it is possessed."""
SLOTTED: Final = frozenset({"soma/block", "soma/checkpoint"})
"""Domains in which a slot signs one body, ever."""
BODY_MAX: Final = 60_000
"""Bytes that are signed at once; larger things are signed through a header that holds their digest."""
CHAINS_MAX: Final = 4
"""Beacon chains kept: of the highest epochs asked for. Of the current epoch and the next, one each is needed."""
BUILDING_MAX: Final = 8
"""Beacon chains that may wait to be built; one more is refused."""

_READ: Final = 1 << 18


@frozen
class Open:
    """The first request, with id 0: open the keys of `roles` in a data directory, for one chain."""

    directory: str = text(most=4096)
    chain: bytes = octets(32)
    roles: tuple[str, ...] = ()


@frozen
class Sign:
    """The signature by the key of `role` over domain, epoch and `body`; `slot` exactly where the domain is slotted."""

    role: str = text(most=64)
    domain: str = text(most=16)
    epoch: int = uint()
    body: bytes = octets(most=BODY_MAX)
    slot: int | None = field(default=None, validator=validators.optional([validators.ge(0), validators.le(UINT_MAX)]))


@frozen
class Anchor:
    """Build the validator's beacon chain of an epoch; the answer is its anchor."""

    epoch: int = uint()
    rounds: int = uint(least=1, most=ROUNDS_MAX)


@frozen
class Link:
    """One link of a beacon chain whose anchor was asked for before."""

    epoch: int = uint()
    round: int = uint(least=1, most=ROUNDS_MAX)


REQUESTS: Final[Mapping[str, type[Any]]] = {"open": Open, "sign": Sign, "anchor": Anchor, "link": Link}
"""A request is the array [id, name, fields]; an answer [id, true, value] or [id, false, what, remedy]."""


class Beacons:
    """A validator's beacon chains.

    They are built one after the other in a thread of their own: up to seconds each, in which signing goes on.
    """

    def __init__(self, secret: SecretKey, chain: bytes) -> None:
        self._secret, self._chain = secret, chain
        self._chains: dict[int, Chain] = {}
        self._orders: queue.Queue[tuple[int, Anchor]] = queue.Queue(BUILDING_MAX)

    def start(self, sink: "Sink") -> None:
        """Begin to build what is ordered, answering into `sink`."""
        threading.Thread(target=self._work, args=(sink,), name="beacons", daemon=True).start()

    def order(self, number: int, anchor: Anchor) -> None:
        """Answer request `number` with an anchor, later. Raises `KeyStoreError`."""
        try:
            self._orders.put_nowait((number, anchor))
        except queue.Full:
            raise KeyStoreError(f"{BUILDING_MAX} beacon chains are being built already", "ask again later") from None

    def link(self, link: Link) -> bytes:
        """A link of a chain that was built. Raises `KeyStoreError`."""
        chain = self._chains.get(link.epoch)
        if chain is None:
            raise KeyStoreError(f"no beacon chain of epoch {link.epoch} is built", "ask for its anchor first")
        if link.round > chain.rounds:
            raise KeyStoreError(
                f"epoch {link.epoch} has {chain.rounds} rounds, not {link.round}", "ask for one of them"
            )
        return chain.link(link.round)

    def _work(self, sink: "Sink") -> None:
        while True:
            number, anchor = self._orders.get()
            try:
                answer = [number, True, self._anchor(anchor)]
            except KeyStoreError as error:
                answer = [number, False, error.what, error.remedy]
            sink.send([answer])

    def _anchor(self, anchor: Anchor) -> bytes:
        chain = self._chains.get(anchor.epoch)
        if chain is None:
            seed = self._secret.derive("soma/beaconseed", self._chain, anchor.epoch.to_bytes(8, "big"))
            chain = Chain(seed, anchor.rounds)
            newest = sorted([*self._chains, anchor.epoch])[-CHAINS_MAX:]
            kept = {**self._chains, anchor.epoch: chain}
            self._chains = {epoch: kept[epoch] for epoch in newest}
        if chain.rounds != anchor.rounds:
            raise KeyStoreError(
                f"the beacon chain of epoch {anchor.epoch} has {chain.rounds} rounds, not {anchor.rounds}",
                "an epoch has one chain; restart with the right genesis",
            )
        return chain.anchor


class Sink:
    """Where answers go, from two threads. Ends the process when nobody reads them any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, answers: list[list[object]]) -> None:
        """Send whole answers, in one write if the pipe takes it."""
        data = b"".join(frame(answer) for answer in answers)
        with self._lock:
            try:
                write_all(self._descriptor, data)
            except OSError:
                os._exit(0)


class Keys:
    """The open keys, and the rules of what each signs."""

    def __init__(self, request: Open) -> None:
        store = KeyStore(Path(request.directory))
        self._chain = request.chain
        self._secrets = {role: store.open(role) for role in request.roles}
        self.public = {role: secret.public for role, secret in self._secrets.items()}
        validator = self._secrets.get("validator")
        self._slots: SignedSlots | None = None
        self.beacons: Beacons | None = None
        if validator is not None:
            self._slots = SignedSlots(keys_directory(store.data_dir) / "signed.sqlite")
            self.beacons = Beacons(validator, request.chain)

    def sign(self, request: Sign) -> tuple[bytes, bool]:
        """A signature, and whether it may leave only after `commit`. Raises `KeyStoreError`."""
        secret = self._secret(request.role)
        allowed = DOMAINS_OF[request.role.partition("-")[0]]
        if request.domain not in allowed:
            raise KeyStoreError(
                f"the key for {request.role} does not sign under {request.domain}",
                f"it signs under {', '.join(sorted(allowed))}",
            )
        if (request.slot is not None) != (request.domain in SLOTTED):
            wanted = "needs a slot" if request.slot is None else "has no slots"
            raise KeyStoreError(f"{request.domain} {wanted}", f"slotted are {', '.join(sorted(SLOTTED))}")
        digest = signing_digest(request.domain, self._chain, request.epoch, request.body)
        if request.slot is None or self._slots is None:
            return secret.sign(digest), False
        place = (request.epoch, request.slot)
        known = self._slots.signature(secret.public, request.domain, self._chain, place, digest)
        if known is None:
            known = secret.sign(digest)
            self._slots.promise(
                SignedSlot(
                    key=secret.public,
                    domain=request.domain,
                    chain=self._chain,
                    epoch=request.epoch,
                    slot=request.slot,
                    digest=digest,
                    signature=known,
                )
            )
        return known, True  # given again, it may have been promised a moment ago in the same batch

    def commit(self) -> None:
        """Put every promise on disk. Raises `KeyStoreError`."""
        if self._slots is not None:
            self._slots.commit()

    def need_beacons(self) -> Beacons:
        """The validator's beacon chains. Raises `KeyStoreError` if its key is not open."""
        self._secret("validator")
        assert self.beacons is not None
        return self.beacons

    def _secret(self, role: str) -> SecretKey:
        if role not in self._secrets:
            raise KeyStoreError(f"the key for {role!r} is not open", f"open are {', '.join(self._secrets) or 'none'}")
        return self._secrets[role]


def answer_all(keys: Keys, requests: list[Value]) -> list[list[object]]:
    """The answers to what was read at once, with one wait for the disk for all of it.

    Raises `DecodeError` for what is no request: whoever wrote it is not our node.
    """
    answers: list[list[object]] = []
    promised: list[int] = []
    for value in requests:
        number, request = _request(value)
        try:
            match request:
                case Sign():
                    signature, durable = keys.sign(request)
                    promised += [len(answers)] if durable else []
                    answers.append([number, True, signature])
                case Anchor():
                    keys.need_beacons().order(number, request)
                case Link():
                    answers.append([number, True, keys.need_beacons().link(request)])
                case _:
                    answers.append([number, False, "the keys are open already", "start another signer"])
        except KeyStoreError as error:
            answers.append([number, False, error.what, error.remedy])
    try:
        keys.commit()
    except KeyStoreError as error:
        for place in promised:
            answers[place] = [answers[place][0], False, error.what, error.remedy]
    return answers


def main() -> int:
    """Serve the pipe this process was started with until it ends. The exit status: 0, or 1 after an error."""
    leave_ending_to_the_node()
    hardening = (*forbid_core_files(), *hide_memory())
    source, descriptor = take_pipes()
    sink, splitter = Sink(descriptor), Splitter()
    keys: Keys | None = None
    try:
        while data := os.read(source, _READ):
            values = splitter.feed(data)
            if keys is None and values:
                keys = _open(values.pop(0), sink, hardening)
                if keys is None:
                    return 1
            if keys is not None and values:
                sink.send(answer_all(keys, values))
    except DecodeError as error:
        sys.stderr.write(f"what came in was no request: {error}\n")
        return 1
    return 0


def _open(value: Value, sink: Sink, hardening: tuple[str, ...]) -> Keys | None:
    number, request = _request(value)
    if not isinstance(request, Open):
        raise DecodeError("the first request does not open the keys", "open them")
    try:
        keys = Keys(request)
    except KeyStoreError as error:
        sink.send([[number, False, error.what, error.remedy]])
        return None
    if keys.beacons is not None:
        keys.beacons.start(sink)
    sink.send([[number, True, {"keys": keys.public, "hardening": list(hardening)}]])
    return keys


def _request(value: Value) -> tuple[int, object]:
    match value:
        case [int(number), str(name), dict(fields)] if type(number) is int and number >= 0 and name in REQUESTS:
            return number, structure(REQUESTS[name], fields)
    raise DecodeError(f"{value!r:.80} is no request", f"requests are {', '.join(REQUESTS)}")


if __name__ == "__main__":
    sys.exit(main())
