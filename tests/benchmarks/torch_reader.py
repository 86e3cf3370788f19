"""The other side of ``encoder.py``: `soma-models` on Torch, eager, in a process that needs nothing of Soma.

Arguments: weights, layers, heads, dim, length of a row, threads, a file of items, each no longer than a row. As in the
live network, an item is a row filled up with PAD, and rows are read in batches of so many. First it prints what it
computed, then, for each line it is given, the seconds of one pass.
"""

import json
import sys
import time
from pathlib import Path

BATCH = 4
FIRST_BYTE_NATS = 5.545177444479562
"""ln 256: nothing predicts the first byte."""


def main(weights: str, layers: int, heads: int, dim: int, length: int, threads: int, file: str) -> None:
    import torch
    from torch.nn import functional

    from soma_models.v1.tokenizer import tokenize
    from soma_models.v1.torch import Model, ModelConfig

    torch.set_num_threads(threads)
    shape = ModelConfig(
        dropout_rate=0.0, embedding_dim=dim, pwff_hidden_dim=4 * dim, num_layers=layers, num_heads=heads
    )
    model = Model.load(weights, shape).eval()
    items = [bytes.fromhex(item) for item in json.loads(Path(file).read_text("utf-8"))]
    sizes = torch.tensor([len(item) for item in items])
    ids = torch.tensor([tokenize(item, length)[0].token_ids for item in items])
    within = torch.arange(length) < sizes[:, None]
    # What is charged is what Soma charges: no EOS is a target. It costs as much.
    targets = torch.cat([ids[:, 1:].where(within[:, 1:], 256), torch.full((len(ids), 1), 256)], dim=1)
    positions = torch.arange(length).unsqueeze(0)

    def read() -> tuple[list[list[float]], list[float]]:
        vectors, bits = [], []
        with torch.inference_mode():
            for rows in torch.arange(len(ids)).split(BATCH):
                reps = model.encode(ids[rows], positions.expand(len(rows), -1))
                logits = model.predict(reps)
                charged = functional.cross_entropy(
                    logits.flatten(0, 1), targets[rows].flatten(), ignore_index=256, reduction="none"
                )
                nats = charged.view(len(rows), length).sum(1, dtype=torch.float64) + FIRST_BYTE_NATS
                summed = (reps * within[rows, :, None]).sum(1)
                vectors += (summed / sizes[rows, None]).tolist()
                bits += (nats / sizes[rows] / 0.6931471805599453).tolist()
        return vectors, bits

    print(json.dumps(read()), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        read()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:7]), sys.argv[7])
