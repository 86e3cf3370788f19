"""Random shards, honest and not, as vector files hold them and as the rule takes them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from soma_core.api import Answer
from soma_core.api.fixed import quantise

SOMA = 10**9
LOSS_BITS = 65536
KINDS = ("near", "near", "near", "near", "clone", "far", "random", "silent", "short", "wrong", "opposite", "wide")


def vector_of(kind: str, rng: np.random.Generator, centre: np.ndarray, earlier: list[list[int]]) -> list[int] | None:
    """A vector of `kind` around `centre`, float [D]."""
    dim = len(centre)
    noise = rng.normal(size=dim)
    if kind == "silent":
        return None
    if kind == "short":
        return [1] + [0] * (dim - 1)
    if kind == "wide":
        return [int(n) for n in rng.integers(-(2**40), 2**40, dim)]
    if kind == "wrong":
        return quantise(rng.normal(size=dim + int(rng.choice([-1, 1])))).tolist()
    if kind == "clone" and earlier:
        return quantise(np.array(earlier[int(rng.integers(len(earlier)))]) + 300 * noise).tolist()
    away = {"near": centre + rng.uniform(0.2, 0.8) * noise, "far": noise - centre, "opposite": -centre}
    return quantise(away.get(kind, noise)).tolist()


@st.composite
def jobs(draw: st.DrawFn, *, dims: tuple[int, ...] = (8, 8, 128)) -> dict[str, Any]:
    """A job: `dim`, `pot`, `members`, `settled`."""
    dim = draw(st.sampled_from(dims))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 9]))
    kinds = [draw(st.sampled_from(KINDS)) for _ in range(size)]
    honest, framed = draw(st.booleans()), draw(st.booleans())
    centre = rng.normal(size=dim)
    earlier: list[list[int]] = []
    members = []
    for kind in kinds:
        z = vector_of("near" if honest and kind not in ("clone", "far") else kind, rng, centre, earlier)
        if z is not None and len(z) == dim and max(map(abs, z)) <= 32767:
            earlier.append(z)
        members.append(
            {
                "z": z,
                "l": draw(st.sampled_from([0, 1311, 6554, 13107, 17 * LOSS_BITS, -1]) | st.integers(0, 6 * LOSS_BITS)),
                "reg": draw(st.integers(0, 6)),
                "G": draw(st.sampled_from([0, 65535, 65536, 131072, -70000])),
                "opaque": draw(st.integers(0, 5)) == 0,
                "own": draw(st.booleans()),
                "stake": draw(st.sampled_from([0, 999, 50 * SOMA, 1000 * SOMA])),
                "verdict": draw(st.sampled_from([None, None, None, None, None, "honest", "false"])),
            }
        )
    if framed:  # far from the others, of the lowest loss, and proven honest
        z = vector_of("random", rng, centre, earlier)
        members[-1] |= {"z": z, "l": 0, "opaque": False, "verdict": "honest"}
    settled = [quantise(rng.normal(size=dim)).tolist() for _ in range(draw(st.sampled_from([7, 7, 7, 1, 2])))]
    return {"dim": dim, "pot": draw(st.integers(0, 10**12)), "members": members, "settled": settled}


def answers_of(members: list[dict[str, Any]]) -> list[Answer]:
    return [
        Answer(
            encoder=place.to_bytes(32, "big"),
            stake=member["stake"],
            registered=member["reg"],
            opaque=member["opaque"],
            own=member["own"],
            gate=member["G"],
            loss=member["l"],
            vector=None if member["z"] is None else np.array(member["z"], np.int64),
            verdict=member["verdict"] or "none",
        )
        for place, member in enumerate(members)
    ]


def settled_of(rows: list[list[int]]) -> list[np.ndarray]:
    return [np.array(row, np.int16) for row in rows]


def shard_of_outlier() -> tuple[list[Answer], list[np.ndarray], int]:
    """Seven answers of which one lies far from the others, settled vectors, and its place."""
    rng = np.random.default_rng(4)
    centre = rng.normal(size=32)
    member = {"reg": 0, "G": 131072, "opaque": False, "own": False, "stake": 50 * SOMA + 7, "verdict": None}
    members = [
        {**member, "l": LOSS_BITS + place, "z": quantise(centre * (-1 if place == 3 else 1) + 0.5 * noise).tolist()}
        for place, noise in enumerate(rng.normal(size=(7, 32)))
    ]
    return answers_of(members), [quantise(row) for row in rng.normal(size=(7, 32))], 3
