"""Our side of ``encoder.py``: an engine as a worker opens it, in a process of its own.

Arguments: the module of an encoder plugin, its settings as JSON, a file of items. First it prints what it computed,
then, for each line it is given, the seconds of one pass. Opening and compiling happen before the first line.
"""

import json
import logging
import sys
import time
from importlib import import_module
from pathlib import Path

from soma_core.api import EncoderContext


def main(module: str, settings: str, file: str) -> None:
    items = [bytes.fromhex(item) for item in json.loads(Path(file).read_text("utf-8"))]
    spec = import_module(module).soma_encoder()
    context = EncoderContext(module, Path(file).parent, logging.getLogger("soma.bench"))
    encoder = spec.open(spec.config(**json.loads(settings)), context)
    first = encoder.evaluate(items, b"")
    print(json.dumps((first.vectors.tolist(), first.bits_per_byte.tolist())), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        encoder.evaluate(items, b"")
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
