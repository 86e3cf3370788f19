"""Multiaddresses, the one form that is used here: a host, a TCP port, perhaps a libp2p peer id."""

import re
from typing import Final

from attrs import frozen

_FORM: Final = re.compile(
    r"/(ip4|ip6|dns|dns4|dns6)/([0-9A-Za-z.:_-]{1,253})/tcp/(0|[1-9][0-9]{0,4})(?:/p2p/([1-9A-Za-z]{1,128}))?"
)


@frozen
class Address:
    """`kind` of `host`, `host`, TCP `port`, and the libp2p peer id (base58) that listens there, if it is named."""

    kind: str
    host: str
    port: int
    p2p: str | None

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Raises `ValueError` for anything but ``/ip4|ip6|dns…/HOST/tcp/PORT[/p2p/ID]``."""
        match = _FORM.fullmatch(text)
        if match is None or int(match[3]) > 65_535:
            raise ValueError(f"{text!r:.200} is not an address like /ip4/127.0.0.1/tcp/4001/p2p/16Uiu2…")
        return cls(match[1], match[2], int(match[3]), match[4])

    @property
    def peer_id(self) -> str:
        """The libp2p peer id. Raises `ValueError` if none is named."""
        if self.p2p is None:
            raise ValueError(f"{self} names no peer id; add /p2p/ and the id that the peer announces")
        return self.p2p

    def __str__(self) -> str:
        end = f"/p2p/{self.p2p}" if self.p2p else ""
        return f"/{self.kind}/{self.host}/tcp/{self.port}{end}"
