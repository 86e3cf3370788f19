"""Questions and answers over one connection. Rules N14 to N20 of ``specs/50-network.md``.

A request is numbered; its answer carries the number on the same channel. A request that is given up is forgotten, and
its answer dropped when it comes. A handler answers with `Reply`, or says no by raising: the peer gets code, text and
remedy as a `Refusal`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, final

import attrs
import trio
from attrs import field, frozen

from soma_core import records
from soma_core.api import Channel, PeerGone, PeerId, Share
from soma_core.errors import CorruptionError, DecodeError, RefusedError, SomaError

from ._counters import Counters
from ._hello import Fault
from ._message import Message, encode_message
from ._queues import Outbox
from ._text import short, shown

ASKING: Final = 32
"""Requests to one peer that may wait for their answers; more wait to be sent."""
SERVING: Final = 32
"""Requests of one peer that are served at a time; more are answered `busy`."""
SERVE_LIMIT: Final = 30.0
"""Seconds a handler may take."""
FLOOD: Final = 256
"""Requests answered `busy` within one heartbeat after which the connection ends."""

_log = logging.getLogger("soma.net")


@frozen
class Reply:
    """An answer: facts in `body` (encodable, text keys), data in `payload` (at most `MAX_PAYLOAD` bytes)."""

    body: Mapping[str, Any] = field(factory=dict[str, Any], hash=False)
    payload: bytes = b""


@final
class Refusal(RefusedError):  # noqa: N818  # what a peer says, as `Reply` is; its parent has the suffix
    """A peer, or a handler for a peer, said no. `code` is at most 16 characters, for programs.

    Codes of the core: ``absent``, ``busy``, ``fault``, ``late``, ``malformed``, ``refused``, ``unknown``.
    """

    def __init__(self, code: str, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.code = code


Handler = Callable[[PeerId, Mapping[str, Any], bytes], Awaitable[Reply]]
"""``async handler(peer, body, payload) -> Reply``. `body` is a decoded map whose contents are the peer's: check them.

Raising `Refusal` or any other `SomaError` says no to the peer; `CorruptionError` stops the node.
"""


@frozen
class Service:
    """A handler, the channel its requests come on, and the payload a request may bring."""

    handler: Handler
    channel: Channel
    max_payload: int


@attrs.define(eq=False)
class _Waiting:
    channel: Channel
    done: trio.Event = field(factory=trio.Event)
    answer: Message | None = None
    size: int = 0


@final
class Desk:
    """Both sides of asking on one connection."""

    def __init__(
        self,
        peer: PeerId,
        services: Mapping[str, Service],
        outboxes: Mapping[Channel, Outbox],
        counters: Counters,
        share: Share,
    ) -> None:
        self._peer = peer
        self._services = services
        self._outboxes = outboxes
        self._counters = counters
        self._share = share
        self._slots = trio.Semaphore(ASKING)
        self._waiting: dict[int, _Waiting] = {}
        self._last = 0
        self._serving = 0
        self._turned_away = 0

    async def ask(self, channel: Channel, op: str, body: Mapping[str, Any], payload: bytes) -> Reply:
        """The peer's answer. Raises `Refusal` if it says no, `PeerGone` if the connection ends first."""
        async with self._slots:
            self._last += 1
            number = self._last
            waiting = self._waiting[number] = _Waiting(channel)
            try:
                await self._outboxes[channel].put(encode_message(Message("request", number, op, body, payload)))
                await waiting.done.wait()
            finally:
                del self._waiting[number]
                self._share.add(-waiting.size)
        answer = waiting.answer
        if answer is None:
            raise PeerGone
        if answer.kind == "error":
            fault = records.structure(Fault, answer.body)
            raise Refusal(
                shown(fault.code), f"peer {short(self._peer)} refused {op}: {shown(fault.text)}", shown(fault.remedy)
            )
        return Reply(answer.body, answer.payload)

    def settle(self, channel: Channel, answer: Message, size: int) -> None:
        """Hand an answer of `size` bytes to who waits for it. Raises `DecodeError` if nobody ever asked for it."""
        if answer.id > self._last:
            raise DecodeError(f"an answer to request {answer.id}, which was never sent")
        waiting = self._waiting.get(answer.id)
        if waiting is None or waiting.answer is not None:
            self._counters.late += 1
            return
        if waiting.channel != channel:
            raise DecodeError(f"an answer on channel {channel} to a request on {waiting.channel}")
        if answer.kind == "error":
            records.structure(Fault, answer.body)
        waiting.answer, waiting.size = answer, size
        self._share.add(size)
        waiting.done.set()

    def close(self) -> None:
        """The connection is over: nobody waits any more."""
        for waiting in self._waiting.values():
            waiting.done.set()

    def beat(self) -> None:
        """A heartbeat has passed: forgive what was turned away."""
        self._turned_away = 0

    def admit(self, channel: Channel, request: Message, size: int, nursery: trio.Nursery) -> None:
        """Serve a request of `size` bytes in `nursery`, or turn it away. Raises `DecodeError` if the peer floods us."""
        if self._serving < SERVING:
            self._serving += 1
            nursery.start_soon(self._serve, channel, request, size)
            return
        self._counters.busy += 1
        self._turned_away += 1
        busy = Fault("busy", f"{SERVING} of your requests are being served", "wait for answers before asking more")
        sent = self._outboxes[channel].offer(encode_message(Message("error", request.id, body=records.to_value(busy))))
        if not sent or self._turned_away > FLOOD:
            raise DecodeError(f"more than {SERVING} requests at a time, again and again")

    async def _serve(self, channel: Channel, request: Message, size: int) -> None:
        self._share.add(size)
        try:
            answer = await self._answer(channel, request)
            await self._outboxes[channel].put(answer)
        except PeerGone:
            pass  # nobody is left to be answered
        finally:
            self._serving -= 1
            self._share.add(-size)

    async def _answer(self, channel: Channel, request: Message) -> bytes:
        fault = Fault("late", f"{request.op} took longer than {SERVE_LIMIT:g} s", "ask again later")
        try:
            service = self._service(channel, request)
            with trio.move_on_after(SERVE_LIMIT):
                reply = await service.handler(self._peer, request.body, request.payload)
                return encode_message(Message("reply", request.id, "", reply.body, reply.payload))
        except CorruptionError:
            raise  # the node stops before it says anything built on it
        except Refusal as error:
            fault = Fault.of(error.code, error)
        except DecodeError as error:
            fault = Fault.of("malformed", error)
        except SomaError as error:
            fault = Fault.of("refused", error)
        except Exception:  # noqa: BLE001  # a fault of ours that a peer can trigger must not stop the node
            _log.exception("answering %s of peer %s failed", request.op, short(self._peer))
            fault = Fault("fault", f"{request.op} failed on this node", "its operator finds the cause in its log")
        return encode_message(Message("error", request.id, body=records.to_value(fault)))

    def _service(self, channel: Channel, request: Message) -> Service:
        service = self._services.get(request.op)
        if service is None or service.channel != channel:
            raise Refusal(
                "unknown", f"this node does not serve {request.op} on channel {channel}", "ask another peer, or upgrade"
            )
        if len(request.payload) > service.max_payload:
            raise Refusal(
                "malformed",
                f"{request.op} takes at most {service.max_payload} bytes, not {len(request.payload)}",
                "send less, or a blob",
            )
        return service
