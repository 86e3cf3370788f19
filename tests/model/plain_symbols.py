"""The symbol encoder again in plain Python, from ``specs/81-symbol-encoder.md`` alone: one symbol at a time."""

import math
from collections import Counter
from itertools import pairwise

PHI = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
SPACES = {9, 10, 13, 32}


def mix(x: int) -> int:
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & MASK
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & MASK
    return x ^ x >> 33


def polynomial(run: list[int]) -> int:
    total = 0
    for number in run:
        total = (total * PHI + number + 1) & MASK
    return total


def content(run: list[int], family: int) -> int:
    return mix(polynomial(run) ^ mix(family))


def lowered(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


def is_letter(byte: int) -> bool:
    return chr(byte).isalnum() if byte < 128 and byte != 95 else True


def kind(byte: int) -> str:
    if 65 <= byte <= 90:
        return "upper"
    return "under" if byte == 95 else "lower" if is_letter(byte) else "none"


def words(data: bytes) -> list[tuple[int, int]]:
    out, place = [], 0
    while place < len(data):
        stop = place + 1
        while is_letter(data[place]) and stop < len(data) and is_letter(data[stop]):
            stop += 1
        out.append((place, stop))
        place = stop
    return out


def parts(data: bytes, start: int, stop: int) -> list[tuple[int, int]]:
    out, begun = [], None
    for place in range(start, stop):
        here = kind(data[place])
        if here == "under":
            if begun is not None:
                out.append((begun, place))
            begun = None
            continue
        before = kind(data[place - 1]) if place > start else "under"
        after = kind(data[place + 1]) if place + 1 < len(data) else "none"
        if begun is not None and here == "upper" and (before == "lower" or (before == "upper" and after == "lower")):
            out.append((begun, place))
            begun = place
        if begun is None:
            begun = place
    if begun is not None:
        out.append((begun, stop))
    return out


def symbols(chunk: bytes) -> tuple[list[int], list[list[int]]]:
    """Content ids of tokens, and the grams of each."""
    tokens, grams = [], []
    for start, stop in words(chunk):
        within = parts(chunk, start, stop)
        for number, (first, last) in enumerate(within):
            run = [lowered(byte) for byte in chunk[first:last]]
            tokens.append(content(run, 0x546F6B656E))
            grams.append([])
            if is_letter(chunk[first]):
                edged = [32, *run, 32]
                for n in (3, 4, 5):
                    grams[-1] += [content(edged[i : i + n], 0x4772616D + n) for i in range(len(edged) - n + 1)]
            if number == 0 and len(within) > 1:
                tokens.append(content([lowered(byte) for byte in chunk[start:stop]], 0x546F6B656E))
                grams.append([])
        if not within:
            tokens.append(content([lowered(byte) for byte in chunk[start:stop]], 0x546F6B656E))
            grams.append([])
    return tokens, grams


def hashed(chunk: bytes) -> list[int]:
    found = [content(list(chunk[i : i + n]), 0x486173686564 + n) for n in (2, 3, 4) for i in range(len(chunk) - n + 1)]
    return found or [content(list(chunk), 0x486173686564)]


def byte_class(byte: int) -> int:
    if byte >= 128:
        return 7
    if byte in SPACES:
        return 4
    if byte < 32 or byte == 127:
        return 6
    if chr(byte).isalnum():
        return 2 if chr(byte).isdigit() else 1 if chr(byte).isupper() else 0
    return 3 if byte == 95 else 5


def features(chunk: bytes) -> Counter:
    out = Counter(chunk)
    for one, other in pairwise(chunk):
        out[256 + 8 * byte_class(one) + byte_class(other)] += 1
    for start, stop in words(chunk):
        if is_letter(chunk[start]):
            out[320 + min(stop - start, 64) - 1] += 1
    return out


class PlainSymbols:
    def __init__(self, config, tensors) -> None:
        self.c, self.t = config, {name: tensor.tolist() for name, tensor in tensors.items()}

    def read(self, data: bytes) -> tuple[float, list[float]]:
        pieces = [data[i : i + self.c.seq] for i in range(0, len(data), self.c.seq)]
        bits = sum(sum(self.costs(piece)) for piece in pieces) / 65536
        ways = {
            "semantic": lambda: self.semantic(pieces),
            "hash": lambda: self.projected(Counter(x for piece in pieces for x in hashed(piece))),
            "feature": lambda: self.projected(sum((features(piece) for piece in pieces), Counter())),
        }
        if self.c.strategy == "hybrid":
            vector = [a + b for a, b in zip(unit(ways["semantic"]()), unit(ways["hash"]()), strict=True)]
        else:
            vector = ways[self.c.strategy]()
        return bits / len(data), unit(vector)

    def semantic(self, pieces: list[bytes]) -> list[int]:
        counts: Counter = Counter()
        for piece in pieces:
            for token, grams in zip(*symbols(piece), strict=True):
                row = self.row(token)
                if row is None:
                    counts.update(("grams", gram % self.c.grams) for gram in grams)
                else:
                    counts["tokens", row] += 1
        total = [0] * self.c.dim
        for (table, row), count in counts.items():
            factor = math.isqrt(256 * count) * self.t[f"{table}.weights"][row]
            for place, byte in enumerate(self.t[f"{table}.vectors"][row]):
                total[2 * place] += factor * (byte % 16 - 8)
                total[2 * place + 1] += factor * (byte // 16 - 8)
        return total

    def row(self, token: int) -> int | None:
        own = max(1, token >> 48)
        groups = self.c.tokens // 4
        for group in (token % groups, (token >> 22) % groups):
            for row in range(4 * group, 4 * group + 4):
                if self.t["tokens.prints"][row] == own:
                    return row
        return None

    def projected(self, counts: Counter) -> list[int]:
        total = [0] * self.c.dim
        for number, count in counts.items():
            factor = math.isqrt(256 * count)
            for place in range(self.c.dim):
                word = mix((number + (place // 64 + 1) * PHI) & MASK)
                total[place] += factor if word >> place % 64 & 1 else -factor
        return total

    def costs(self, chunk: bytes) -> list[int]:
        out, shift = [8 * 65536], 64 - (self.c.slots.bit_length() - 1)
        for place in range(1, len(chunk)):
            contexts = []
            for order in range(7):
                before = sum(chunk[place - 1 - i] << 8 * i for i in range(min(order, place)))
                contexts.append(mix((before * 8 + order) & MASK))
            start = place
            while start > 0 and is_letter(chunk[start - 1]):
                start -= 1
            run = [lowered(byte) for byte in chunk[start:place]]
            contexts.append(mix((polynomial(run) if run else 0) ^ 0x576F7264))
            cost, node = 0, 1
            for bit in range(7, -1, -1):
                value = chunk[place] >> bit & 1
                total = 0
                for context in contexts:
                    spread = (context ^ node * PHI & MASK) * 0xD6E8FEB86659FD93 & MASK
                    total += self.t["bytes.entries"][spread >> shift]
                total = max(-191, min(191, total))
                one = max(1, min(65535, round(65536 / (1 + math.exp(-total / 16)))))
                cost += round(-math.log2((one if value else 65536 - one) / 65536) * 65536)
                node = 2 * node + value
            out.append(cost)
        return out


def unit(x: list[float]) -> list[float]:
    x = x if any(x) else [1] * len(x)
    length = math.sqrt(math.fsum(float(number) * float(number) for number in x))
    return [number / length for number in x]
