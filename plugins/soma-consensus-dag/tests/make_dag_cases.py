"""Writes ``specs/vectors/dag_cases.json``: ``python plugins/soma-consensus-dag/tests/make_dag_cases.py``.

What the slow reference finds must be what `dag_drawings` says by hand; the rest of an expectation (anchors by place,
variants, most sub-DAGs) is what it finds.
"""

import json
from pathlib import Path
from typing import Any, Final

import slow_committer as slow
from dag_drawings import CASES, Drawn

from soma_core.testing.dag import parse

FILE: Final = Path(__file__).resolve().parents[3] / "specs" / "vectors" / "dag_cases.json"


def decisions_of(case: Drawn, expect: dict[str, Any]) -> str:
    """The decisions of a slow expectation as `Drawn.slots` has them."""

    def name(slot: list[int]) -> str:
        return f"{chr(65 + slot[1])}{slot[0]}"

    words = []
    for one in expect["decisions"]:
        sign = {"commit": "", "skip": "-", "undecided": "?"}[one["status"]]
        words.append(sign + (one["block"] or name(one["slot"])) + (f"@{name(one['anchor'])}" if one["anchor"] else ""))
    return " ".join(words)


def broken(stakes: tuple[int, ...], block: dict[str, Any]) -> str:
    """What rule of references a block breaks; empty if none."""
    found = slow.validity(stakes, 0, {**block, "epoch": 0, "ancestors": block["parents"]}, {})
    return "" if found == "ok" or not block["round"] else found


def to_case(drawn: Drawn) -> dict[str, Any]:
    """A case as the file has it. Raises ValueError where the reference finds something else than is said by hand."""
    dag = parse(drawn.drawing)
    size, limits = len(dag.stakes), slow.thresholds(sum(dag.stakes))
    blocks = [
        {"id": one.id, "author": one.author, "round": one.round, "parents": list(one.parents)} for one in dag.blocks
    ]
    if isinstance(drawn.leaders, int):
        leaders_per_round, schedule = drawn.leaders, {"kind": "round_robin", "leader": "(round + offset) mod size"}
    else:
        highest = dag.blocks[-1].round
        slots = {str(round_): [ord(a) - 65 for a in drawn.leaders.get(round_, "")] for round_ in range(1, highest + 1)}
        leaders_per_round, schedule = max(map(len, slots.values())), {"kind": "explicit", "slots": slots}
    case: dict[str, Any] = {
        "id": drawn.id,
        "description": drawn.shows,
        "source": "drawn for soma",
        "tags": list(drawn.tags),
        "committee": {
            "size": size,
            "stakes": list(dag.stakes),
            "total": sum(dag.stakes),
            "fault": limits["fault"],
            "quorum": limits["quorum"],
        },
        "rule": {
            "wave_length": drawn.wave,
            "pipelined": drawn.pipelined,
            "leaders_per_round": leaders_per_round,
            "leader_schedule": schedule,
            "blame": "block",
            "gc_depth": drawn.gc_depth,
        },
        "last_decided": list(slow.reference(drawn.last_decided)) if drawn.last_decided else None,
        "blocks": blocks,
        "blocks_pass_validity": True,
        "validity_violations": None,
    }
    case["expect"] = expect = slow.expectation(case)
    variants = {blame: slow.expectation(case, blame)["decisions"] for blame in ("slot", "author")}
    case["variant_decisions"] = variants if any(one != expect["decisions"] for one in variants.values()) else None
    sub_dags = tuple(" ".join(one) for one in expect["sub_dags"])
    if (found := decisions_of(drawn, expect)) != drawn.slots:
        raise ValueError(f"{drawn.id}: said {drawn.slots}, found {found}")
    if drawn.sub_dags and drawn.sub_dags != sub_dags:
        raise ValueError(f"{drawn.id}: said {drawn.sub_dags}, found {sub_dags}")
    if ("variant" in drawn.tags) > bool(case["variant_decisions"]):
        raise ValueError(f"{drawn.id}: blame counted otherwise decides the same")
    if any(bad := {block["id"]: broken(dag.stakes, block) for block in blocks}.values()):
        raise ValueError(f"{drawn.id}: {bad}")
    return case


def total(stake: int) -> dict[str, Any]:
    return {"total": stake, **slow.thresholds(stake), "source": "formula"}


def two_round(stake: int, malicious: int, crash: int) -> dict[str, Any]:
    expect = slow.two_round_thresholds(stake, malicious, crash)
    return {"total": stake, "malicious": malicious, "crash": crash, "expect": expect}


AUXILIARY: Final[dict[str, Any]] = {
    "thresholds": [total(stake) for stake in (2, 4, 6, 8, 9, 10, 100, (1 << 62) - 1, 1 << 62)],
    "two_round_thresholds": [two_round(6, 1, 0), two_round(9, 1, 1), two_round(11, 2, 0), two_round(16, 1, 0)],
    "threshold_clock": [
        {
            "stakes": [7, 1, 1, 1],
            "start": 0,
            "blocks": [[5, 0], [5, 1], [9, 1], [9, 0]],
            "clock_after_each": [6, 6, 9, 10],
            "note": "one that holds a quorum alone: looked at after a jump too",
        },
        {
            "stakes": [4, 3, 2, 1],
            "start": 3,
            "blocks": [[3, 0], [2, 1], [3, 0], [3, 2], [3, 3], [4, 1], [3, 1], [4, 0]],
            "clock_after_each": [3, 3, 3, 3, 4, 4, 4, 5],
            "note": "stake of authors: no block twice, none of an older round",
        },
        {
            "stakes": [1, 1, 1, 1],
            "start": 1,
            "blocks": [[2, 0], [1, 1], [1, 2], [1, 3], [2, 1], [3, 1], [2, 2]],
            "clock_after_each": [2, 2, 2, 2, 2, 3, 3],
            "note": "what completes a round that was left does not count",
        },
        {
            "stakes": [1, 1, 1, 1],
            "start": 1,
            "blocks": [[1, 0], [1, 1], [2, 2], [2, 3], [2, 0]],
            "clock_after_each": [1, 1, 2, 2, 3],
            "note": "who was counted in a round that was left is not counted in the next",
        },
    ],
    "quorum_commit_index": [
        {"stakes": [1, 1, 1, 1], "highest_voted": [0, 0, 9, 9], "expect": 0},
        {"stakes": [1, 1, 1, 1], "highest_voted": [7, 7, 7, 0], "expect": 7},
        {"stakes": [7, 1, 1, 1], "highest_voted": [3, 9, 9, 9], "expect": 3},
        {"stakes": [1, 7, 1, 1], "highest_voted": [0, 5, 0, 0], "expect": 5},
        {"stakes": [1], "highest_voted": [4], "expect": 4},
        {"stakes": [1, 1, 1, 1, 1, 1], "highest_voted": [1, 2, 3, 4, 5, 6], "expect": 2},
    ],
    "commit_timestamp": [
        {"parents": [[4000, 1], [1000, 1], [3000, 1], [2000, 1]], "previous": 0, "expect": 3000, "note": "any order"},
        {"parents": [[1000, 1], [2000, 1], [3000, 1]], "previous": 0, "expect": 2000},
        {"parents": [[1000, 6], [9000, 4]], "previous": 0, "expect": 1000},
        {"parents": [[1000, 3], [9000, 4]], "previous": 0, "expect": 9000, "note": "4 of 7 is more than 3"},
        {"parents": [[5000, 1], [5000, 1], [1, 1]], "previous": 4999, "expect": 5000},
        {"parents": [[5000, 1]], "previous": 5001, "expect": 5001},
    ],
    "gc_round": [
        {"last_commit_leader_round": 61, "gc_depth": 60, "expect": 1},
        {"last_commit_leader_round": 5, "gc_depth": 3, "expect": 2},
        {"last_commit_leader_round": 3, "gc_depth": 3, "expect": 0},
    ],
    "block_validity": {
        "committee": {"size": 4, "stakes": [4, 3, 2, 1]},
        "block": {"epoch": 0, "round": 10, "author": 2},
        "source": "drawn for soma, quorum 7",
        "cases": [
            {"id": "ok-exact-quorum", "ancestors": ["C9", "A9", "D9"], "expect": "ok"},
            {"id": "ok-own-previous-old", "ancestors": ["C2", "A9", "B9"], "expect": "ok"},
            {"id": "ok-own-previous-genesis", "ancestors": ["C0", "A9", "B9"], "expect": "ok"},
            {"id": "three-authors-one-short", "ancestors": ["C9", "B9", "D9"], "expect": "no_parent_quorum"},
            {"id": "weak-links-do-not-count", "ancestors": ["C9", "A8", "B9", "D9"], "expect": "no_parent_quorum"},
            {"id": "old-own-does-not-count", "ancestors": ["C8", "A9", "D9"], "expect": "no_parent_quorum"},
            {
                "id": "author-just-too-high",
                "ancestors": ["C9", "A9"],
                "override": {"author": 4},
                "expect": "bad_author",
            },
            {"id": "ancestor-of-the-same-round", "ancestors": ["C9", "A10", "B9"], "expect": "bad_ancestor_round"},
            {"id": "own-second", "ancestors": ["A9", "C9", "B9"], "expect": "own_not_first"},
            {"id": "own-again-later", "ancestors": ["C9", "A9", "B9", "C8"], "expect": "own_not_first"},
            {"id": "phantom-first", "ancestors": [[9, 7], "A9", "B9"], "expect": "bad_author"},
        ],
    },
}


def content() -> str:
    """The file."""
    cases = json.loads((FILE.parent / "consensus_cases.json").read_text("utf-8"))
    whole = {
        "format": cases["format"],
        "how_to_read": cases["how_to_read"],
        "committer_cases": [to_case(drawn) for drawn in CASES],
        "two_round_cases": [],
        "auxiliary": AUXILIARY,
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    FILE.write_text(content(), "utf-8")
