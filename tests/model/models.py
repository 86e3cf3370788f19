"""Tensors by the rule of ``specs/vectors/model.json``, and the model again in plain Python, from the spec alone."""

import math
from zlib import crc32

import numpy as np

from soma_core.model import ModelConfig


def ruled_tensors(config: ModelConfig) -> dict[str, np.ndarray]:
    out = {}
    for name, shape in config.shapes().items():
        size, seed = math.prod(shape), crc32(name.encode())
        values = [(((k * 2654435761 + seed) % 2**32 >> 16) - 32768) / 65536 for k in range(1, size + 1)]
        if name.endswith("gamma"):
            values = [1 + v / 4 for v in values]
        out[name] = np.array(values, np.float32).reshape(shape)
    return out


def random_tensors(config: ModelConfig, seed: int) -> dict[str, np.ndarray]:
    """Random tensors of the sizes that training starts from, so that every layer does something."""
    random = np.random.default_rng(seed)
    out = {}
    for name, size in config.shapes().items():
        drawn = random.standard_normal(size, np.float32)
        if name.endswith("gamma"):
            drawn = 1 + drawn / 10
        elif len(size) == 1:
            drawn /= 50
        elif not name.startswith("embedding"):
            drawn /= np.sqrt(size[0], dtype=np.float32)
        out[name] = drawn
    return out


class PlainTransformer:
    """Lists and ``math`` only; one number at a time."""

    def __init__(self, config: ModelConfig, tensors: dict[str, np.ndarray]) -> None:
        self.c, self.t = config, {name: tensor.tolist() for name, tensor in tensors.items()}

    def read(self, data: bytes) -> tuple[float, list[float]]:
        seq, bits, total = self.c.seq, 0.0, [0.0] * self.c.dim
        for start in range(0, len(data), seq):
            piece = data[start : start + seq]
            reps = self._reps(piece)
            bits += 8
            for rep, byte in zip(reps, piece[1:], strict=False):
                logits = self._linear("predictor", rep)
                bits += (math.log(math.fsum(map(math.exp, logits))) - logits[byte]) / math.log(2)
            total = [t + math.fsum(rep[i] for rep in reps) for i, t in enumerate(total)]
        return bits / len(data), [t / len(data) for t in total]

    def _linear(self, name, x):
        weight, bias = self.t[f"{name}.weight"], self.t[f"{name}.bias"]
        return [math.fsum(x[i] * weight[i][o] for i in range(len(x))) + b for o, b in enumerate(bias)]

    def _norm(self, name, x):
        mean = math.fsum(x) / len(x)
        deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in x) / len(x) + 1e-5)
        gamma, beta = self.t[f"{name}.gamma"], self.t[f"{name}.beta"]
        return [(v - mean) / deviation * g + b for v, g, b in zip(x, gamma, beta, strict=True)]

    def _turn(self, x, position):
        half, out = len(x) // 2, [0.0] * len(x)
        for i in range(half):
            angle = position / self.c.rope_base ** (2 * i / len(x)) / self.c.rope_scale
            cos, sin = math.cos(angle), math.sin(angle)
            out[i] = x[i] * cos - x[i + half] * sin
            out[i + half] = x[i + half] * cos + x[i] * sin
        return out

    def _reps(self, piece):
        stream = [list(self.t["embedding.weight"][byte]) for byte in piece]
        d = self.c.dim // self.c.heads
        for number in range(self.c.layers):
            layer = f"encoder.layers.{number}"
            normed = [self._norm(f"{layer}.norm_1", x) for x in stream]
            q, k, v = ([self._linear(f"{layer}.attention.{p}", x) for x in normed] for p in ("query", "key", "value"))
            for place in range(len(stream)):
                mixed = []
                for head in range(self.c.heads):
                    part = slice(head * d, head * d + d)
                    asked = self._turn(q[place][part], place)
                    scores = [
                        math.fsum(a * b for a, b in zip(asked, self._turn(k[j][part], j), strict=True)) / math.sqrt(d)
                        for j in range(place + 1)
                    ]
                    weights = [math.exp(s - max(scores)) for s in scores]
                    whole = math.fsum(weights)
                    mixed += [math.fsum(w * v[j][part][i] for j, w in enumerate(weights)) / whole for i in range(d)]
                added = self._linear(f"{layer}.attention.output", mixed)
                stream[place] = [a + b for a, b in zip(stream[place], added, strict=True)]
            for place, x in enumerate(stream):
                inner = self._linear(f"{layer}.pwff.linear_inner", self._norm(f"{layer}.norm_2", x))
                inner = [h * (1 + math.erf(h / math.sqrt(2))) / 2 for h in inner]
                added = self._linear(f"{layer}.pwff.linear_outer", inner)
                stream[place] = [a + b for a, b in zip(x, added, strict=True)]
        return [self._norm("final_norm", x) for x in stream]
