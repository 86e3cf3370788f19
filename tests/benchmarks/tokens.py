"""``tokenizer-soma`` against the tokenizer of somaya 1.0.5, on the same texts of 90,000 characters of Python's library.

Theirs runs in the Python that SOMA_BENCH_ENGINES names. Each turn reads another text, as in use. "First document" is
that of a tokenizer which was just opened and has not seen a word: nothing of it is cached.
"""

import json
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.harness import Row, Taken, interleaved
from benchmarks.readers import HERE, python

from soma_core.api import Document, HasRecords
from soma_symbols.tokens import Config, open_tokenizer
from soma_symbols.tokens._identities import compat_chain
from soma_symbols.tokens._uids import StandardChain

CHARACTERS: Final = 90_000
REPEATS: Final = 7
UIDS: Final = 1_000_000
BUILDS: Final = 4
"""Texts timed together; theirs takes seconds for one."""
SESSION: Final = (12345).to_bytes(8, "little")

Older = Callable[[str, int], tuple[float, int]]


def texts(count: int) -> list[str]:
    """ASCII, so that a character is a byte on both sides; drawn from the library in the order of its files."""
    whole, found = "", []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        whole += path.read_text("utf-8").encode("ascii", "ignore").decode()
        while len(whole) >= CHARACTERS and len(found) < count:
            found.append(whole[:CHARACTERS])
            whole = whole[CHARACTERS:]
    return found


@contextmanager
def older(given: list[str]) -> Iterator[Older]:
    """Asks their process for a piece of work; answers with seconds and how many tokens or UIDs it made."""
    command = [python(), str(HERE / "older_tokens.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(given) + "\n")

        def ask(work: str, place: int) -> tuple[float, int]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([work, place]) + "\n")
            process.stdin.flush()
            seconds, count = json.loads(process.stdout.readline())
            return seconds, count

        try:
            yield ask
        finally:
            process.kill()


def build(tokenizer: HasRecords, document: bytes) -> int:
    """All streams with all identities; how many records."""
    identity = Document.of(SESSION, [document])
    return sum(
        len(found.tokens) for stream in tokenizer.streams for found in tokenizer.records(stream, [document], identity)
    )


def rows(seed: int) -> list[Row]:
    del seed  # nothing is drawn
    given = texts(BUILDS * (REPEATS + 2))
    documents = [text.encode() for text in given]
    steady = {profile: open_tokenizer(Config(profile=profile)) for profile in ("strict", "compat")}
    turns = dict.fromkeys(("theirs", "strict", "compat", "strict, first", "compat, first"), 0)

    def speed(name: str, work: Callable[[bytes], object], count: int = 1) -> float:
        """Characters a second, over `count` texts that come next."""
        seconds = 0.0
        for _ in range(count):
            document = documents[turns[name] % len(documents)]
            turns[name] += 1
            begun = time.perf_counter()
            work(document)
            seconds += time.perf_counter() - begun
        return CHARACTERS * count / seconds

    def first(profile: str) -> float:
        fresh = open_tokenizer(Config(profile=profile))  # type: ignore[arg-type]
        compat_chain.cache_clear()
        return speed(f"{profile}, first", lambda document: build(fresh, document))

    def words(document: bytes) -> None:
        for _ in steady["strict"].tokenize("word", [document]):
            pass

    with older(given) as ask:

        def theirs(work: str) -> float:
            turns["theirs"] += 1
            return CHARACTERS / ask(work, turns["theirs"])[0]

        built = interleaved(
            {
                "theirs": lambda: theirs("build"),
                "strict": lambda: speed("strict", lambda document: build(steady["strict"], document), BUILDS),
                "compat": lambda: speed("compat", lambda document: build(steady["compat"], document), BUILDS),
                "strict, first": lambda: first("strict"),
                "compat, first": lambda: first("compat"),
            },
            REPEATS,
        )
        cut = interleaved({"theirs": lambda: theirs("word"), "ours": lambda: speed("strict", words, BUILDS)}, REPEATS)
        drawn = interleaved(
            {"theirs": lambda: UIDS / ask("uid", UIDS)[0], "ours": _drawn, "compat": _chained},
            REPEATS,
        )

    def row(what: str, taken: Taken, ours: str, unit: str, least: float | None) -> Row:
        ratio, low, high = taken.ratio(ours, "theirs")
        mine, other = (taken.median(name) for name in (ours, "theirs"))
        return Row(
            what=what,
            measured=f"tokenizer-soma, {mine:,.0f} {unit}",
            against=f"somaya 1.0.5, {other:,.0f} {unit}",
            ratio=ratio,
            low=low,
            high=high,
            repeats=REPEATS,
            least=least,
        )

    return [
        row("tokens: nine streams with records, strict", built, "strict", "characters/s", 30),
        row("tokens: nine streams with records, compat", built, "compat", "characters/s", 40),
        row("tokens: nine streams with records, strict, first document", built, "strict, first", "characters/s", None),
        row("tokens: nine streams with records, compat, first document", built, "compat, first", "characters/s", None),
        row("tokens: the stream word", cut, "ours", "characters/s", 15),
        row("tokens: UIDs, standard", drawn, "ours", "UIDs/s", 5),
        row("tokens: UIDs, compat, from nothing", drawn, "compat", "UIDs/s", None),
    ]


def _drawn() -> float:
    chain = StandardChain(12345)
    begun = time.perf_counter()
    for _ in range(UIDS // 50_000):
        chain.draw(50_000)
    return UIDS / (time.perf_counter() - begun)


def _chained() -> float:
    compat_chain.cache_clear()
    begun = time.perf_counter()
    compat_chain(12345).draw(0, UIDS, None)
    return UIDS / (time.perf_counter() - begun)
