"""What share of a GPU's roofline ``encoder-torch`` reaches in bf16, where one is at hand; no row where none is.

The roofline is what the same GPU gives for one product of two matrices of 8192 × 8192 in bf16, measured in turns with
passes over 256 items of 512 bytes by a model of 4 layers of 1024. Counted is what the answer needs: of attention, the
half that is visible. So far this has never been run on a GPU: its figures wait for one.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from benchmarks.harness import Row, spread
from benchmarks.readers import HERE, python, written
from model.models import random_tensors

from soma_core.model import VOCABULARY, ModelConfig, ReferenceTransformer

SHAPE: Final = ModelConfig(dim=1024, ffn=4096, layers=4, heads=16, seq=512, rope_base=10_000, rope_scale=1)
ITEMS: Final = 256
REPEATS: Final = 9
TOKENS: Final = 1 << 16


def rows(seed: int) -> list[Row]:
    asked = subprocess.run(
        [python(), "-c", "import torch; print(int(torch.cuda.is_available()))"], capture_output=True, check=True
    )
    if not int(asked.stdout):
        return []
    random, tensors = np.random.default_rng(seed), random_tensors(SHAPE, seed)
    items = [random.bytes(SHAPE.seq) for _ in range(ITEMS)]
    with tempfile.TemporaryDirectory() as directory:
        file, data = written(SHAPE, tensors, Path(directory)), Path(directory, "items.json")
        data.write_text(json.dumps([item.hex() for item in items]), "utf-8")
        command = [python(), str(HERE / "gpu_reader.py"), str(file), str(data), str(TOKENS), str(REPEATS)]
        told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    truth, found = ReferenceTransformer(SHAPE, tensors, np.float64).read(items[0]).vector, np.array(told["vector"])
    cosine = truth @ found / np.linalg.norm(truth) / np.linalg.norm(found)
    needed = ITEMS * operations(SHAPE)
    shares = [needed / passed / peak for passed, peak in zip(told["seconds"], told["peaks"], strict=True)]
    share, low, high = spread(shares)
    reached, peak = needed / np.median(told["seconds"]), np.median(told["peaks"])
    return [
        Row(
            what=f"encoder-torch bf16, {told['device']}: share of the roofline",
            measured=f"{reached / 1e12:,.1f} TFLOP/s, {ITEMS * SHAPE.seq / np.median(told['seconds']):,.0f} bytes/s, "
            f"cosine {cosine:.5f}",
            against=f"a product of matrices, {peak / 1e12:,.1f} TFLOP/s",
            ratio=share,
            low=low,
            high=high,
            repeats=REPEATS,
        )
    ]


def operations(shape: ModelConfig) -> int:
    """Multiplications and additions that a full row needs."""
    linear = shape.layers * (4 * shape.dim**2 + 2 * shape.dim * shape.ffn) + shape.dim * VOCABULARY
    visible = shape.seq * (shape.seq + 1) // 2
    return 2 * (shape.seq * linear + shape.layers * 2 * visible * shape.dim)
