"""One side of ``encoder.py``: ``encoder-jax`` as a worker opens it, in a process of its own.

Arguments: weights, items, their length, threads. First it prints what it computed, then, for each line it is given, the
seconds of one pass. Compiling happens before the first line.
"""

import json
import logging
import sys
import time
from pathlib import Path

from soma_core.api import EncoderContext
from soma_jax import Config, open_encoder


def main(weights: str, items: str, length: int, threads: int) -> None:
    context = EncoderContext("encoder-jax", Path(weights).parent, logging.getLogger("soma.bench"))
    encoder = open_encoder(Config(weights=weights, threads=threads), context)
    data = Path(items).read_bytes()
    batch = [data[i : i + length] for i in range(0, len(data), length)]
    first = encoder.evaluate(batch, b"")  # type: ignore[attr-defined]
    print(json.dumps((first.vectors.tolist(), first.bits_per_byte.tolist())), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        encoder.evaluate(batch, b"")  # type: ignore[attr-defined]
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
