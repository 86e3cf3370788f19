"""Packs: many small items in one strict file, each with kind, name and digest. Rule F10 of ``specs/21-frame.md``."""

from collections.abc import Iterable
from typing import Any, Final, NoReturn

from attrs import frozen

from soma_core import codec
from soma_core.crypto import digest
from soma_core.errors import DecodeError

MAX_PACK: Final = 1 << 28
"""Bytes of a pack."""


@frozen
class Item:
    """One item. `kind`: what a specialist is named after. `name`: where it comes from."""

    kind: str
    name: str
    data: bytes

    def digest(self) -> bytes:
        """The digest by which a genesis names this item."""
        return digest("soma/anchor", self.data)


def write_pack(items: Iterable[Item]) -> bytes:
    """The pack of `items`: length of the header (4 bytes, big endian), header, then the items' bytes in order."""
    items = tuple(items)
    header = codec.encode([[item.kind, item.name, len(item.data), item.digest()] for item in items])
    return len(header).to_bytes(4, "big") + header + b"".join(item.data for item in items)


def read_pack(data: bytes) -> tuple[Item, ...]:
    """The items of a pack. Raises `DecodeError` for other bytes, an item that is empty, or a digest that differs."""
    if not 4 <= len(data) <= MAX_PACK:
        _refuse(f"{len(data)} bytes; 4 to {MAX_PACK} are allowed")
    place = 4 + int.from_bytes(data[:4], "big")
    if place > len(data):
        _refuse("it ends within its header")
    entries: Any = codec.decode(data[4:place])
    if not isinstance(entries, list):
        _refuse("the header is not an array")
    items = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, list) or [type(part) for part in entry] != [str, str, int, bytes]:
            _refuse(f"entry {number} is not kind, name, size and digest")
        kind, name, size, wanted = entry
        if not 1 <= size <= len(data) - place:
            _refuse(f"item {number} has {size} bytes, {len(data) - place} are left")
        item = Item(kind, name, data[place : place + size])
        if item.digest() != wanted:
            _refuse(f"item {number}, {name!r:.80}, is not what its digest says")
        items.append(item)
        place += size
    if place != len(data):
        _refuse(f"{len(data) - place} bytes behind the last item")
    return tuple(items)


def _refuse(what: str) -> NoReturn:
    raise DecodeError(f"pack: {what}", "see rule F10 in specs/21-frame.md")
