"""Fuzz every decoder, guided by which lines of it run: ``coverage_guided.py [SECONDS] [NAME…]``, seconds a decoder.

Each runs in a process of its own with a limit on its memory and on the time of one input, from its seeds and its part
of ``corpus/``. What reaches lines that nothing else reached goes back there; a fault goes there as ``crash-…``, so that
the tests try it for ever. A run of all decoders writes ``specs/results/fuzz.json``. Wants atheris.
"""

import hashlib
import itertools
import json
import logging
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
CORPUS: Final = HERE / "corpus"
RESULTS: Final = HERE.parents[1] / "specs" / "results" / "fuzz.json"
SECONDS: Final = 20
SEED: Final = 2026
MEMORY: Final = 1024
"""MiB a process may hold."""
UNIT_SECONDS: Final = 10
"""Seconds one input may take."""
FILES_MOST: Final = 64
BYTES_MOST: Final = 100_000
"""What is kept of one decoder's corpus, beside crashes."""
REDUCE_SECONDS: Final = 60
OURS: Final = ("soma_core", "soma_libp2p", "soma_consensus_solo", "soma_webhook", "strict_reader", "tomllib", "json")
"""What guides the fuzzer."""

sys.path[:0] = [str(HERE.parent), str(HERE)]


def main(arguments: Sequence[str]) -> int:
    """Fuzz, reduce, report. 1 if anything was found."""
    match arguments:
        case ["--fuzz", name, fresh, *flags]:
            return _fuzz(name, Path(fresh), flags)
        case ["--reduce", name, fresh]:
            return _reduce(name, Path(fresh))
        case ["--names"]:
            from decoders import DECODERS

            _say(" ".join(DECODERS))
            return 0
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True).strip()
    seconds = int(arguments[0]) if arguments and arguments[0].isdecimal() else SECONDS
    named = [argument for argument in arguments if not argument.isdecimal()]
    names = named or subprocess.check_output([sys.executable, __file__, "--names"], text=True).split()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(names, pool.map(_campaign, names, itertools.repeat(seconds)), strict=True))
    if not named:
        RESULTS.write_text(json.dumps(_report(found, seconds, commit), indent=2) + "\n", "utf-8")
    return int(any(result["crashes"] or result["non_canonical_accepted"] for result in found.values()))


# One decoder, from outside --------------------------------------------------------------------------------------------


def _campaign(name: str, seconds: int) -> dict[str, Any]:
    """Fuzz one decoder for `seconds`, then take what is new into its corpus."""
    with tempfile.TemporaryDirectory(prefix="soma-fuzz-") as directory:
        fresh, faults = Path(directory, "fresh"), Path(directory, "faults")
        fresh.mkdir()
        faults.mkdir()
        flags = [f"-max_total_time={seconds}", f"-timeout={UNIT_SECONDS}", f"-rss_limit_mb={MEMORY}", f"-seed={SEED}"]
        flags += ["-print_final_stats=1", f"-artifact_prefix={faults}/"]
        log = Path(directory, "log")
        began = time.monotonic()
        with log.open("wb") as sink:
            subprocess.run(
                [sys.executable, __file__, "--fuzz", name, str(fresh), *flags],
                stdout=sink,
                stderr=sink,
                timeout=seconds + 120,
                check=False,
                env=_environment(directory),
            )
        took = time.monotonic() - began
        text = log.read_text("utf-8", "replace")
        kept = CORPUS / name
        kept.mkdir(parents=True, exist_ok=True)
        for fault in sorted(faults.iterdir()):
            data = fault.read_bytes()
            (kept / f"crash-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
        subprocess.run(
            [sys.executable, __file__, "--reduce", name, str(fresh)],
            timeout=REDUCE_SECONDS + 120,
            check=True,
            env=_environment(directory),
        )
        ended = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
        non_canonical = text.count("NotCanonicalError:")
        files = [path.stat().st_size for path in kept.iterdir()]
        result = {
            "executions": int(ended[1]) if ended else 0,
            "seconds": round(took, 1),
            "crashes": len(list(faults.iterdir())) - non_canonical + (not ended),
            "non_canonical_accepted": non_canonical,
            "slowest_input_s": _stat(text, "slowest_unit_time_sec"),
            "peak_memory_mib": _stat(text, "peak_rss_mb"),
            "corpus_files": len(files),
            "corpus_bytes": sum(files),
        }
        _say(f"{name} {json.dumps(result)}")
        if result["crashes"] or non_canonical:
            _say(text[-4000:])
        return result


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _stat(text: str, name: str) -> int | None:
    match = re.search(rf"stat::{name}:\s*(\d+)", text)
    return int(match[1]) if match else None


def _environment(directory: str) -> dict[str, str]:
    return {**os.environ, "TMPDIR": directory, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _report(found: dict[str, dict[str, Any]], seconds: int, commit: str) -> dict[str, Any]:
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text("utf-8"))
    return {
        "what": "coverage-guided fuzzing of every decoder: faults found, and inputs accepted that are not canonical",
        "how": f"nox -s fuzz -- {seconds}: atheris, {seconds} s a decoder, {MEMORY} MiB, {UNIT_SECONDS} s an input",
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "machine": f"{os.cpu_count()} cores, {model[1] if model else platform.processor()}, {platform.system()}",
        "python": platform.python_version(),
        "executions": sum(result["executions"] for result in found.values()),
        "crashes": sum(result["crashes"] for result in found.values()),
        "non_canonical_accepted": sum(result["non_canonical_accepted"] for result in found.values()),
        "decoders": found,
    }


# One decoder, from inside ---------------------------------------------------------------------------------------------


def _fuzz(name: str, fresh: Path, flags: Sequence[str]) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (4 * MEMORY << 20, 4 * MEMORY << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import atheris

    with atheris.instrument_imports(include=list(OURS)):
        from decoders import DECODERS
    from mutations import mutate

    decoder = DECODERS[name]
    seeds = decoder.seeds()

    def changed(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return mutate(data, random, seeds)[:most]

    def once(data: bytes) -> None:
        decoder(data)

    logging.disable()
    given = fresh.parent / "given"
    given.mkdir()
    for data in (*seeds, *(path.read_bytes() for path in _files(CORPUS / name))):
        (given / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    arguments = [sys.argv[0], str(fresh), str(given), *flags, f"-max_len={decoder.most}"]
    atheris.Setup(arguments, once, custom_mutator=changed)
    atheris.Fuzz()
    return 0


def _files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _reduce(name: str, fresh: Path) -> int:
    """Keep inputs that together run every line pair that any of them runs: those that were kept, then the smallest."""
    from decoders import DECODERS

    decoder = DECODERS[name]
    kept = CORPUS / name
    known = {path.read_bytes() for path in _files(kept) if not path.name.startswith("crash-")}
    candidates = known | {path.read_bytes() for path in _files(fresh)}
    seen: set[object] = set()
    for seed in decoder.seeds():
        seen |= _traced(decoder, seed)
    chosen: list[bytes] = []
    until, size = time.monotonic() + REDUCE_SECONDS, 0
    for data in sorted(candidates, key=lambda data: (data not in known, len(data), data)):
        if time.monotonic() > until or len(chosen) == FILES_MOST or size + len(data) > BYTES_MOST:
            break
        reached = _traced(decoder, data)
        if not reached <= seen:
            seen |= reached
            chosen.append(data)
            size += len(data)
    for path in _files(kept):
        if not path.name.startswith("crash-"):
            path.unlink()
    for data in chosen:
        (kept / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return 0


def _traced(decoder: Any, data: bytes) -> set[object]:
    """Pairs of lines that ran one after the other, in what is ours."""
    reached: set[object] = set()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        file = frame.f_code.co_filename
        if not any(f"/{name}" in file for name in OURS):
            return None
        last = [0]

        def local(inside: FrameType, event: str, _argument: object) -> Any:
            if event == "line":
                reached.add((file, last[0], inside.f_lineno))
                last[0] = inside.f_lineno
            return local

        return local

    sys.settrace(trace)
    try:
        reached.add(decoder(data))
    except BaseException as error:  # noqa: BLE001  # a fault: the tests will say it
        reached.add(type(error))
    finally:
        sys.settrace(None)
    return reached


def corpus_of(name: str) -> Iterator[tuple[str, bytes]]:
    """The kept inputs of a decoder, by file."""
    for path in _files(CORPUS / name):
        yield path.name, path.read_bytes()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
