"""``encoder-torch`` in bf16 on the first GPU, and one product of matrices beside it, in turns: see ``roofline.py``.

Arguments: weights, a file of items, positions at once, repeats. Prints the device's name, the seconds of every pass,
the operations per second of every product, and the first item's vector.
"""

import json
import logging
import sys
import time
from pathlib import Path

SIDE = 8192
"""Of the matrices."""


def main(weights: str, file: str, tokens: int, repeats: int) -> None:
    import torch

    from soma_core.api import EncoderContext
    from soma_torch import Config, open_encoder

    items = [bytes.fromhex(item) for item in json.loads(Path(file).read_text("utf-8"))]
    config = Config(weights=weights, dtype="bf16", device="cuda", tokens=tokens)
    encoder = open_encoder(config, EncoderContext("encoder-torch", Path(file).parent, logging.getLogger("soma.bench")))
    matrix = torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
    seconds, peaks = [], []
    for turn in range(repeats + 1):
        start = time.perf_counter()
        vectors = encoder.encode(items)
        passed = time.perf_counter() - start
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            matrix @ matrix
        torch.cuda.synchronize()
        if turn:  # the first one warms up
            seconds.append(passed)
            peaks.append(10 * 2 * SIDE**3 / (time.perf_counter() - start))
    told = {"device": torch.cuda.get_device_name(), "seconds": seconds, "peaks": peaks, "vector": vectors[0].tolist()}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
