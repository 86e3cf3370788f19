"""``python tests/make_results.py``: writes ``specs/results/README.md`` from the files beside it."""

import json
from collections.abc import Iterator
from typing import Any, Final

from results import DIRECTORY

README: Final = DIRECTORY / "README.md"
_INTRODUCTION: Final = """# Results of long runs

Each file was written by a nox session, and says what was run, on which commit, with which seed, on which machine. This
page is made of them by `python tests/make_results.py`, and a test holds it to them.

| file | session | commit | date | what |
|---|---|---|---|---|
"""
_SESSIONS: Final = {
    "bench": "nox -s bench -- --write",
    "committee": "nox -s committee",
    "compression": "nox -s compression",
    "dag-differential": "nox -s dag",
    "dag-mutants": "nox -s dag",
    "collapse": "nox -s collapse -- 5",
    "economy": "nox -s economy -- 100000 120",
    "economy-cheats": "nox -s economy -- 100000 120",
    "encoders": "nox -s full",
    "fuzz": "nox -s fuzz -- 60",
    "indexes": "nox -s indexes",
    "kill": "nox -s kill",
    "latency": "nox -s latency -- --write",
    "power-loss": "nox -s power",
    "power-loss-node": "nox -s power",
    "report": "nox -s report",
    "simulate": "nox -s simulate -- 500 FIRST",
    "symbols": "nox -s symbols-quality",
    "tokens": "nox -s symbols -- 1000",
    "transport": "nox -s abuse",
    "turmoil": "nox -s turmoil",
}
_FAULTS: Final = """
## Faults

How often each was tried, and how often something acknowledged was lost, something was there twice or in part, or a
process ended with a traceback or could not be started again.

| fault | tried | lost | double | crash |
|---|---:|---:|---:|---:|
"""


def files() -> dict[str, dict[str, Any]]:
    """Every result by its name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(DIRECTORY.glob("*.json"))}


def faults(found: dict[str, dict[str, Any]]) -> Iterator[tuple[str, int, int, int, int]]:
    """(fault, tried, lost, double, crash) of every file that tells of any."""
    for name, result in found.items():
        for row in result.get("faults", ()):
            yield f"{name}: {row['fault']}", row["tried"], row["lost"], row["double"], row["crash"]
    for attack, row in found["transport"]["attacks"].items():
        lost = row["honest_sent"] - row["honest_answered"]  # an honest question that got no answer
        yield f"transport: {attack.replace('_', ' ')}", row["tried"], lost, row["wrongly_accepted"], row["crashes"]
    fuzz = found["fuzz"]
    yield (
        f"fuzz: inputs of {len(fuzz['decoders'])} decoders",
        fuzz["executions"],
        0,
        fuzz["non_canonical_accepted"],
        fuzz["crashes"],
    )


def page() -> str:
    """The whole page."""
    found = files()
    text = _INTRODUCTION
    for name, result in found.items():
        session = f"`{_SESSIONS[name]}`"
        text += (
            f"| `{name}.json` | {session} | {result['commit'][:12]} | {result.get('date', '')} | {result['what']} |\n"
        )
    text += _FAULTS
    for fault, *numbers in faults(found):
        text += f"| {fault} | {' | '.join(f'{number:,}' for number in numbers)} |\n"
    text += """
In the rows of `transport` *lost* counts questions of an honest peer that were not answered in time during the attack,
and *double* identities that were wrongly accepted. In that of `fuzz` *double* counts inputs accepted in two forms.
"""
    text += _consensus(found)
    if "economy-cheats" in found:
        text += _economy(found["economy-cheats"])
    if "latency" in found:
        text += _latency(found["latency"])
    if "report" in found:
        text += _encoders(found["report"])
    if "indexes" in found:
        text += _indexes(found["indexes"])
    if "bench" in found:
        text += _speed(found["bench"])
    return text


def _consensus(found: dict[str, dict[str, Any]]) -> str:
    text = "\n## consensus-dag\n\n| what | tried | of it |\n|---|---:|---|\n"
    if "dag-differential" in found:
        run = found["dag-differential"]
        text += f"| random DAGs against the slow reference | {run['compared']:,} | {run['differences']} differ |\n"
    if "dag-mutants" in found:
        run = found["dag-mutants"]
        text += f"| mutants against the plugin's own tests | {run['planted']} | {run['found']} found |\n"
    if "simulate" in found:
        run = found["simulate"]
        seeds = ", ".join(sorted(run["found"])) or "none"
        text += f"| simulated networks, of one seed each | {run['seeds']:,} | did not hold: {seeds} |\n"
    return text


def _economy(run: dict[str, Any]) -> str:
    """Each cheat against the defence that beats it, for each rule."""
    text = "\n## Cheats in a simulated economy\n\nSOMA an epoch, after the first fifth, and its standard error: of the"
    text += f" cheat, of honesty in its place, of the cheat where the defence is off. {run['epochs']} epochs each.\n"
    for rule, rows in run["cheats"].items():
        text += (
            f"\n### {rule}\n\n| cheat | defence | earns | honest | without it | holds |\n|---|---|---:|---:|---:|---|\n"
        )
        for row in rows:
            incomes = [row[name] for name in ("earns", "honest_in_its_place", "without_the_defence")]
            sums = " | ".join(
                "" if one is None else f"{one['soma_an_epoch']:.2f} ± {one['standard_error']:.2f}" for one in incomes
            )
            text += f"| {row['agent']} | {row['defence']} | {sums} | {'yes' if row['holds'] else 'no'} |\n"
    return text


def _latency(run: dict[str, Any]) -> str:
    text = f"\n## An embedding, as a user waits for it\n\nSeconds, of {run['jobs']} jobs one after the other.\n\n"
    text += "| stage | p50 | p95 | mean | what goes on |\n|---|---:|---:|---:|---|\n"
    for name, row in (("whole", run["whole"] | {"is": ""}), *run["stages"].items()):
        text += f"| {name} | {row['p50']:.2f} | {row['p95']:.2f} | {row['mean']:.2f} | {row['is']} |\n"
    return text


def _encoders(run: dict[str, Any]) -> str:
    """What `soma encoder report` says of the bundled ones, in short."""
    names = list(run["encoders"])
    text = "\n## The bundled encoders\n\nBits per byte, less is better; xz -9e of each item by itself, and of all.\n\n"
    text += f"| data | xz each | xz joined | {' | '.join(names)} |\n|---|---:|---:|{'---:|' * len(names)}\n"
    for row in run["bits_per_byte"]:
        bits = [row["xz"]["each"], row["xz"]["joined"], *(row["encoders"][name] for name in names)]
        text += f"| {row['kind']} | {' | '.join(f'{value:.2f}' for value in bits)} |\n"
    functions, digits, pairs = (run["counts"][part] for part in ("bodies", "digits", "ones"))
    text += f"\nDocstrings that find their code among {functions:,} functions of Python's library, on which `code`\n"
    text += f"and `generalist` were trained; labels of {digits:,} digits by five neighbours; {pairs} paraphrases\n"
    text += "(AUC). What each figure is: `specs/61-report.md`.\n\n"
    text += "| encoder | code R@1 | R@10 | MRR | digits | paraphrases |\n|---|---:|---:|---:|---:|---:|\n"
    for name, row in (*run["found"].items(), *run["beside"].items()):
        code = row["functions"] or {}
        figures = (*(code.get(each) for each in ("first", "ten", "reciprocal")), row["digits"], row["paraphrases"])
        text += f"| {name} | {' | '.join('' if value is None else f'{value:.3f}' for value in figures)} |\n"
    return text


def _indexes(run: dict[str, Any]) -> str:
    """Every index on the same vectors."""
    text = (
        f"\n## Indexes\n\n{run['count']:,} vectors of {run['dim']} components; queries that are not among them. Recall"
    )
    text += (
        " of the 10 nearest, as it is and as the\nindex states it; queries per second, one at a time and 64 at once,"
    )
    text += (
        f" measured in turns. {run['machine']}, threads: {run['threads']},\nload {run['load_before'][0]:.1f} before:"
    )
    text += " speeds are to be compared with each other only.\nWeaviate, and Qdrant's server, were not there.\n\n"
    text += "| vectors | index | recall | stated | queries/s | 64 at once | build, s |\n"
    text += "|---|---|---:|---:|---:|---:|---:|\n"
    for row in run["rows"]:
        recall = [f"{row[name]:.4f}" if name in row else "" for name in ("recall", "recall_stated")]
        speed = [f"{row[name]:,.0f}" for name in ("queries_per_second", "queries_per_second_64_at_once")]
        build = f"{row['build_seconds']:.1f}" if "build_seconds" in row else ""
        text += f"| {row['vectors']} | {row['index']} | {' | '.join([*recall, *speed, build])} |\n"
    return text


def _speed(bench: dict[str, Any]) -> str:
    text = "\n## Speed\n\nRatios measured in turns in one run: the median over pairs, and their quartiles.\n\n"
    text += "| what | ratio | low | high | measured | against |\n|---|---:|---:|---:|---|---|\n"
    for row in bench["rows"]:
        ratio, low, high = (f"{row[name]:.2f}" for name in ("ratio", "low", "high"))
        text += f"| {row['what']} | {ratio} | {low} | {high} | {row['measured']} | {row['against']} |\n"
    return text


if __name__ == "__main__":
    README.write_text(page(), "utf-8")
