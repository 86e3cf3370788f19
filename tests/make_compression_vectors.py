"""Adds cases to ``specs/vectors/compression.json``. A packed block that stands there stays: it must unpack for ever."""

import json
from typing import Any, Final

from vectors import DIRECTORY

import soma_encoders
from soma_symbols.coding import CoderConfig, open_coder
from soma_symbols.coding.records import Source, pack_records

SOURCE: Final = soma_encoders.samples()[1].read_bytes()[:700]
TEXT: Final = soma_encoders.samples()[0].read_bytes()[:400]

BLOCKS: Final[dict[str, tuple[dict[str, Any], bytes]]] = {
    "stored: nothing": ({}, b""),
    "stored: what does not get shorter": ({}, bytes(range(64))),
    "adaptive: one lane": ({}, TEXT[:60] + TEXT[:60]),
    "adaptive: four lanes of source": ({}, SOURCE + SOURCE[:400]),
    "adaptive: zeros": ({}, bytes(600)),
    "adaptive: all bytes, padded": ({}, bytes(range(256)) * 2 + b"\xff"),
    "code: one lane": ({"model": "code"}, SOURCE[:200]),
    "code: four lanes, over the end of a window": ({"model": "code"}, SOURCE),
    "text: two lanes": ({"model": "text"}, TEXT),
    "rle: words": ({"method": "rle"}, b"a a a\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nb" + b"\n" * 90),
    "rle: bytes": ({"method": "rle", "stream": "byte"}, b"\x00" * 200 + b"\x01" * 55),
    "pattern: words": ({"method": "pattern"}, SOURCE + SOURCE),
    "pattern: bytes": ({"method": "pattern", "stream": "byte"}, TEXT),
    "frequency: words": ({"method": "frequency"}, SOURCE + SOURCE),
}
"""Name → settings of ``coder-soma``, block."""


def main() -> None:
    path = DIRECTORY / "compression.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {"blocks": [], "records": []}
    known = {case["name"] for part in kept.values() for case in part}
    for name, (settings, block) in BLOCKS.items():
        if name not in known:
            packed = open_coder(CoderConfig(**settings)).compress(block)
            kept["blocks"].append({"name": name, "settings": settings, "block": block.hex(), "packed": packed.hex()})
    if "records: words" not in known:
        document, coder = b"Hello, world!  The singing-thing 2x", open_coder(CoderConfig())
        packed = pack_records(Source("word", "compat", session=(12345).to_bytes(8, "little")), document, coder)
        kept["records"].append({"name": "records: words", "document": document.hex(), "packed": packed.hex()})
    path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
