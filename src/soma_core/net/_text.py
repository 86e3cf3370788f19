"""What peers wrote, made fit to be shown: bounded, printable, one line."""

from soma_core.api import PeerId


def shown(text: str, most: int = 512) -> str:
    """`text` with everything a terminal could act on replaced, at most `most` characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:most])


def short(peer: PeerId) -> str:
    """The first 12 hex digits of a peer's key, as people name it."""
    return peer.hex()[:12]
