"""Addresses as people write them."""

from soma_core.errors import UsageError


def parse_address(text: str) -> bytes:
    """The 32 bytes of an address in hex. Raises `UsageError`."""
    try:
        address = bytes.fromhex(text)
    except ValueError:
        address = b""
    if len(address) != 32:
        raise UsageError(f"{text!r} is not an address", "an address is 64 hex digits; `soma keys` shows yours")
    return address
