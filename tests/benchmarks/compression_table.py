"""``nox -s compression``: every method on every sample beside ``xz -9e``; writes ``specs/results/compression.json``."""

import sys
from random import Random
from typing import Final

import results
from benchmarks.compression import METHODS, Taken, library, taken, unseen, xz

import soma_encoders

SEED: Final = 2026


def samples() -> dict[str, bytes]:
    """Name → bytes."""
    note, _, picture, _ = soma_encoders.samples()
    return {
        "1 MB of Python's library": library(),
        "1 MB of Hypothesis, which no model saw": unseen(),
        "a text": note.read_bytes(),
        "a picture, JPEG": picture.read_bytes(),
        "random bytes": Random(SEED).randbytes(100_000),
    }


def main() -> None:
    table = []
    for name, data in samples().items():
        theirs = xz(data)
        print(f"{name}: {len(data):,} bytes, xz -9e {theirs:,}", file=sys.stderr, flush=True)
        methods = {}
        for method in METHODS:
            found = taken(data, method)
            methods[method] = _told(found, theirs)
            print(f"  {method}: {methods[method]}", file=sys.stderr, flush=True)
        table.append({"sample": name, "bytes": len(data), "xz -9e": theirs, "methods": methods})
    results.write("compression", "bytes packed beside those of xz -9e, and seconds of one core", SEED, samples=table)


def _told(found: Taken, theirs: int) -> dict[str, float]:
    return {
        "packed": found.packed,
        "of xz": round(found.packed / theirs, 4),
        "seconds to pack": round(found.pack_seconds, 1),
        "seconds to unpack": round(found.unpack_seconds, 1),
        "bytes of the model": found.model,
    }


if __name__ == "__main__":
    main()
