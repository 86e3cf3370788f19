"""Which addresses may be called: public ones, and what the operator allows.

Rules WH3 to WH5 of ``specs/26-webhook.md``. A name is looked up once for an attempt, and what was looked at is what is
connected to: nobody can answer with a public address first and with another afterwards.
"""

import queue
import socket
import threading
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from soma_core.errors import EncoderError, SettingsError

from ._place import Place

Network = IPv4Network | IPv6Network
Candidate = tuple[socket.AddressFamily, tuple[str | int, ...]]
"""A family, and the address as `socket.connect` takes it."""

REFUSED: Final[tuple[Network, ...]] = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
        ),
    )
)
"""What is not public, or leads to an address inside another: of IPv4, and of `GLOBAL`."""

GLOBAL: Final = IPv6Network("2000::/3")
"""The only part of IPv6 that has public addresses."""

ADDRESSES_MAX: Final = 4
"""Addresses of one name that are tried."""


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """What an operator allows. Raises `SettingsError`."""
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise SettingsError(f"encoder.webhook.allow: {error}", 'write networks, such as ["10.1.0.0/16"]') from error


def permitted(address: str, allowed: Sequence[Network]) -> bool:
    """Whether `address`, IPv4 or IPv6 as text, may be called."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found in network for network in allowed):
        return True
    if isinstance(found, IPv6Address) and found not in GLOBAL:
        return False
    return not any(found in network for network in REFUSED)


def look_up(place: Place, allowed: Sequence[Network], seconds: float) -> list[Candidate]:
    """The addresses of a place that may be called, at most `ADDRESSES_MAX`.

    Raises `EncoderError` if there are only others, and `OSError` if the name is not found within `seconds`.
    """
    found = list(dict.fromkeys((family, address) for family, _, _, _, address in _resolve(place, seconds)))
    may = [candidate for candidate in found if permitted(str(candidate[1][0]), allowed)]
    if not may:
        named = ", ".join(str(address[0]) for _, address in found[:ADDRESSES_MAX])
        raise EncoderError(
            f"{place.url} is at {named}, which is not public", "name the network in encoder.webhook.allow, or move it"
        )
    return may[:ADDRESSES_MAX]


def _resolve(place: Place, seconds: float) -> list[tuple[socket.AddressFamily, int, int, str, tuple[str | int, ...]]]:
    """`socket.getaddrinfo`, which knows no limit of time, in a thread that may be left behind."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=max(seconds, 0))
    except queue.Empty:
        raise TimeoutError(f"{place.host} was not looked up in time") from None
    if isinstance(answer, UnicodeError):
        raise OSError(f"{place.host} is no name of a host")
    if isinstance(answer, OSError):
        raise answer
    return list(answer)
