"""Addresses as people write them."""

import re

from soma_core.errors import UsageError


def parse_address(text: str) -> bytes:
    """The 32 bytes of an address in hex. Raises `UsageError`."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UsageError(f"{text!r:.100} is not an address", "an address is 64 hex digits; `soma keys` shows yours")
    return bytes.fromhex(text)
