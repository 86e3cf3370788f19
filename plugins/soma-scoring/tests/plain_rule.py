"""The shard rule a second time: from the prose of the spec alone, in plain Python integers, slow and in one piece.

It shares nothing with the plugin but the text it was written from. Members and results are those of the vector files.
"""

from functools import cache
from math import isqrt
from typing import Any

ONE = 65536


def half_even(n: int, d: int) -> int:
    floor = n // d
    twice = 2 * (n - floor * d)
    if twice == d:
        return floor if floor % 2 == 0 else floor + 1
    return floor + 1 if twice > d else floor


@cache
def entry(k: int) -> int:
    """⌊2^(32 - k/1024)⌋: the floor of a 1024th root is ten floors of square roots."""
    root = 1 << (32768 - k)
    for _ in range(10):
        root = isqrt(root)
    return root


def exp2neg(x: int) -> int:
    shift = x // 65536
    return 0 if shift > 32 else entry(x // 64 % 1024) // 2**shift


def log2q(y: int) -> int:
    n = y.bit_length() - 1
    v = y // 2 ** (n - 31) if n > 31 else y * 2 ** (31 - n)
    fraction = 0
    for _ in range(16):
        v = v * v // 2**31
        fraction *= 2
        if v >= 2**32:
            v //= 2
            fraction += 1
    return n * 65536 + fraction


def dot(a: list[int], b: list[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: list[int], b: list[int]) -> int:
    aa, bb, ab = dot(a, a), dot(b, b), dot(a, b)
    if aa == 0 or bb == 0:
        return 0
    size = min(half_even(abs(ab) * 65536, isqrt(aa * bb)), 65536)
    return size if ab >= 0 else -size


def median(values: list[int]) -> int:
    v = sorted(values)
    n = len(v)
    return v[n // 2] if n % 2 else (v[n // 2 - 1] + v[n // 2]) // 2


def quant(u: list[int]) -> list[int]:
    """The integer next to |u|·√D·2^12/√N, found by squaring what lies half way to the next one."""
    squared = dot(u, u)
    out = []
    for x in u:
        target = x * x * len(u) * 2**24
        n = isqrt(target // squared)
        middle = (2 * n + 1) ** 2 * squared
        if middle < 4 * target or (middle == 4 * target and n % 2):
            n += 1
        out.append(min(n, 32767) * (1 if x >= 0 else -1))
    return out


def geometric_median(z: list[list[int]]) -> list[int]:
    columns = list(zip(*z, strict=True))
    y = [median(list(column)) for column in columns]
    for _ in range(32):
        w = [2**32 // max(1024, isqrt(sum((a - b) ** 2 for a, b in zip(y, row, strict=True)))) for row in z]
        y = [half_even(sum(a * b for a, b in zip(w, column, strict=True)), sum(w)) for column in columns]
    return y


def share(e: list[int], total: int) -> list[int]:
    if sum(e) == 0:
        e = [1 for _ in e]
    p = [x * total // sum(e) for x in e]
    p[max(range(len(e)), key=lambda i: (e[i], -i))] += total - sum(p)
    return p


def settle(members: list[dict[str, Any]], settled: list[list[int]], pot: int, dim: int) -> dict[str, Any]:
    """What a vector file holds as `result`."""
    everybody = range(len(members))
    settled = [row for row in settled if len(row) == dim]

    def fine(i: int) -> int:
        return min(pot // 10, members[i]["stake"] // 1000)

    def valid(i: int) -> bool:
        z, loss = members[i]["z"], members[i]["l"]
        if z is None or len(z) != dim or any(abs(x) > 32767 for x in z):
            return False
        if not dim * 2**20 <= dot(z, z) <= dim * (2**24 + 4097):
            return False
        return members[i]["opaque"] or 0 <= loss <= 16 * ONE

    # 1. Valid.
    silent = [i for i in everybody if not valid(i)]
    false = [i for i in everybody if valid(i) and members[i]["verdict"] == "false"]
    left = [i for i in everybody if i not in silent and i not in false]
    fines = {i: fine(i) for i in silent}
    result: dict[str, Any] = {
        "valid": left,
        "silent": silent,
        "slash": false,
        "clone_of": {},
        "dist": {},
        "threshold": None,
        "flagged": [],
        "out": [],
        "A": {},
        "G": {},
        "d": {},
        "c": {},
        "p": {},
        "joined": None,
        "winner": None,
        "weakest": None,
        "fine": fines,
        "result": "refund",
    }
    m = len(left)
    if m == 0:
        return result
    z = {i: members[i]["z"] for i in left}
    reg = {i: members[i]["reg"] for i in left}
    loss = {i: members[i]["l"] for i in left}
    opaque = {i: members[i]["opaque"] for i in left}

    # 2. Clone groups.
    founders: list[int] = []
    for i in sorted(left, key=lambda i: (reg[i], i)):
        for j in founders:
            if ONE - cosine(z[i], z[j]) <= 1311:
                result["clone_of"][i] = j
                break
        else:
            founders.append(i)
            result["clone_of"][i] = i
    g = len(founders)

    # 3. Outliers.
    out: list[int] = []
    if g >= 5:
        y = geometric_median([z[i] for i in left if i in founders])
        dist = {i: ONE - cosine(z[i], y) for i in left}
        med = median([dist[i] for i in founders])
        mad = median([abs(dist[i] - med) for i in founders])
        threshold = med + 7 * max(mad * 97164 // 65536, 6554) // 2
        flagged = sorted((i for i in left if dist[i] > threshold), key=lambda i: (-dist[i], i))[: (g - 1) // 3]
        judged = [i for i in left if not opaque[i]]
        best = min(judged, key=lambda i: (loss[i], reg[i], i)) if judged else None
        out = [i for i in flagged if not (i == best and members[i]["verdict"] == "honest")]
        result.update(dist=dist, threshold=threshold, flagged=flagged, out=out)
    q = [i for i in left if i not in out]

    # 4. Gate score.
    if m >= 3:
        for i in left:
            own = sorted(cosine(z[i], z[j]) for j in left if j != i)[(m - 2) // 2]
            t = [c * 945485 // 65536 for c in [own, *(cosine(z[i], row) for row in settled)]]
            a = log2q(len(settled) + 1) - (max(t) - t[0] + log2q(sum(exp2neg(max(t) - x) for x in t)) - 32 * ONE)
            a = min(max(a, -ONE), 3 * ONE)
            result["A"][i] = a
            result["G"][i] = members[i]["G"] + (a - members[i]["G"]) // 32
    is_open = {i: m < 3 or members[i]["G"] >= ONE for i in left}

    # 5. Differential loss.
    judged = [i for i in q if not opaque[i]]
    d = {i: loss[i] - min(loss[j] for j in judged) for i in judged}
    middle = sorted(d.values())[len(d) // 2] if d else 0
    d = {i: d.get(i, middle) for i in q}

    # 6. Weights.
    c = {i: (1 if opaque[i] else 2) * (4 if is_open[i] else 1) for i in q}
    e = [c[i] * exp2neg(2 * d[i]) for i in q]
    p = dict(zip(q, share(e, ONE), strict=True))
    largest = max(q, key=lambda i: (p[i], -i))
    if len(q) >= 3 and p[largest] > ONE // 2:
        others = [i for i in q if i != largest]
        p = {largest: ONE // 2}
        p.update(zip(others, share([c[i] * exp2neg(2 * d[i]) for i in others], ONE // 2), strict=True))
    result.update(d=d, c=c, p={i: p[i] for i in q}, out=out)
    u = [sum(p[i] * z[i][k] for i in q) for k in range(dim)]
    if dot(u, u) < dim * 2**50:
        return result
    result["joined"] = quant(u)

    # 7. Winner.
    eligible = [i for i in judged if is_open[i]] or judged
    if eligible:
        lowest = min(loss[i] for i in eligible)
        result["winner"] = min((i for i in eligible if loss[i] <= lowest + 1311), key=lambda i: (reg[i], i))
    result["result"] = "settled" if eligible else "settled_without_winner"

    # 8. Weakest.
    ranked = sorted(judged, key=lambda i: (loss[i], reg[i], i))
    if len(ranked) >= 3:
        last = ranked[-1]
        if loss[last] - loss[ranked[-2]] > 6554 and members[last]["own"] and last != result["winner"]:
            result["weakest"] = last
            fines[last] = fine(last)
    return result
