"""The other side of ``encoder.py``: `soma-models` on Torch, eager, in a process that needs nothing of Soma.

Arguments: weights, items, layers, heads, dim, length of an item, threads. First it prints what it computed,
then, for each line it is given, the seconds of one pass.
"""

import json
import sys
import time
from pathlib import Path


def main(weights: str, items: str, layers: int, heads: int, dim: int, length: int, threads: int) -> None:
    import torch
    from torch.nn import functional

    from soma_models.v1.torch import Model, ModelConfig

    torch.set_num_threads(threads)
    shape = ModelConfig(
        dropout_rate=0.0, embedding_dim=dim, pwff_hidden_dim=4 * dim, num_layers=layers, num_heads=heads
    )
    model = Model.load(weights, shape).eval()
    ids = torch.tensor(list(Path(items).read_bytes())).view(-1, length)
    targets = torch.cat([ids[:, 1:], torch.full((len(ids), 1), 256)], dim=1)
    positions = torch.arange(length).unsqueeze(0).expand(len(ids), -1)

    def read() -> tuple[list[list[float]], list[float]]:
        with torch.inference_mode():
            reps = model.encode(ids, positions)
            logits = model.predict(reps)
            charged = functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=256, reduction="none"
            )
            return reps.mean(1).tolist(), charged.view(len(ids), length).sum(1, dtype=torch.float64).tolist()

    print(json.dumps(read()), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        read()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
