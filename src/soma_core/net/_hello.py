"""The first message each way: which network, which rules, who. Rules N9 to N13 of ``specs/50-network.md``.

Both sides see both hellos, so both know why a connection ends; only what one side alone knows (an allow-list, a full
table of peers) is said in a farewell.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn

import attrs
import trio
from attrs import frozen

from soma_core import records
from soma_core.api import Connection, PeerGone
from soma_core.errors import DecodeError, RefusedError, SomaError

from ._address import MAX_ADDRESS
from ._message import Message, decode_message, encode_message
from ._text import shown

NET_API: Final = 1
"""The version of what peers say to each other: of ``specs/50-network.md``."""
HELLO_LIMIT: Final = 5.0
"""Seconds from a proven key to a hello."""
FAREWELL_LIMIT: Final = 1.0
"""Seconds a refused peer is given to read why."""


def _texts(count: int, length: int) -> Any:
    def check(_self: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if (
            type(value) is not tuple
            or len(value) > count
            or not all(type(item) is str and len(item) <= length for item in value)
        ):
            raise ValueError(f"{attribute.name}: at most {count} texts of at most {length} characters")

    return attrs.field(validator=check, default=())


@frozen
class Hello:
    """Who speaks. `chain` and `protocol` are digests, `version` the software's, `roles` and `addresses` hints."""

    chain: bytes = records.octets(32)
    protocol: bytes = records.octets(32)
    version: str = records.text(most=64, default="")
    api: int = records.uint(most=1 << 16, default=NET_API)
    roles: tuple[str, ...] = _texts(8, 16)
    addresses: tuple[str, ...] = _texts(8, MAX_ADDRESS)


@frozen
class Fault:
    """The body of an error: a code for programs, a text and a remedy for people."""

    code: str = records.text(most=16)
    text: str = records.text(most=512)
    remedy: str = records.text(most=512)

    @classmethod
    def of(cls, code: str, error: SomaError) -> "Fault":
        """`error` as it travels, cut to length."""
        return cls(code, error.what[:512], error.remedy[:512])


def check_hello(ours: Hello, theirs: Hello) -> None:
    """Raise `RefusedError` if the two do not belong to one network, naming both sides' values and the remedy."""
    if theirs.api != ours.api:
        raise RefusedError(
            f"the peer (version {shown(theirs.version)}) speaks network API {theirs.api},"
            f" we (version {ours.version}) speak {ours.api}",
            "run the same release of soma-core on both",
        )
    if theirs.chain != ours.chain:
        raise RefusedError(
            f"the peer is on chain {theirs.chain.hex()}, we are on {ours.chain.hex()}",
            "give both nodes the same genesis file, or take the peer out of the address book",
        )
    if theirs.protocol != ours.protocol:
        raise RefusedError(
            f"the peer runs protocol {theirs.protocol.hex()}, we run {ours.protocol.hex()}",
            "compare `soma plugins` on both: rule ids, versions and parameters of consensus and scoring differ",
        )


async def greet(connection: Connection, ours: Hello) -> Hello:
    """Say hello and hear the peer's. Raises `RefusedError` (with what to tell people) or `PeerGone`.

    After an error the caller closes the connection.
    """
    with trio.move_on_after(HELLO_LIMIT):
        await connection.send("sync", [encode_message(Message("hello", body=records.to_value(ours)))])
        try:
            message = decode_message(await connection.receive("sync"))
            if message.kind == "error":
                _raise_farewell(message.body)
            if message.kind != "hello":
                raise DecodeError(f"the first message is a {message.kind}, not a hello")  # noqa: TRY301  # one handler
            theirs = records.structure(Hello, message.body)
        except DecodeError as error:
            what = f"no hello: {shown(error.what)}"
            raise RefusedError(what, "the peer does not speak Soma's network language") from error
        check_hello(ours, theirs)
        return theirs
    raise RefusedError(f"no hello within {HELLO_LIMIT:g} s", "the peer is overloaded or not a Soma node")


async def say_farewell(connection: Connection, fault: Fault) -> None:
    """Tell a peer why it is refused and wait, briefly, until it hangs up; then close the connection."""
    try:
        with trio.move_on_after(FAREWELL_LIMIT), suppress(PeerGone):
            await connection.send("sync", [encode_message(Message("error", body=records.to_value(fault)))])
            await linger(connection)
    finally:
        await close(connection)


async def linger(connection: Connection) -> None:
    """Wait, briefly, until the peer hangs up: what was said last is lost if the connection is closed too early."""
    with trio.move_on_after(FAREWELL_LIMIT), suppress(PeerGone):
        while True:
            await connection.receive("sync")


async def close(connection: Connection) -> None:
    """Close `connection` even while being cancelled; no transport is waited for longer than two seconds."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + 2.0):
        await connection.aclose()


def _raise_farewell(body: Mapping[str, Any]) -> NoReturn:
    fault = records.structure(Fault, body)
    raise RefusedError(f"the peer refused us: {shown(fault.text)}", shown(fault.remedy))
