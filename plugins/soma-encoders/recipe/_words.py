"""Text and code for the recipe: where it comes from, how it is cleaned, which file belongs to which part."""

import gzip
import hashlib
import html
import re
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

Source = tuple[str, bytes]
"""A name that decides the part an item belongs to, and its bytes."""

HELD_OUT_DOCS = ("howto", "faq")

_ROLE = re.compile(r":[a-zA-Z:+-]+:`([^`]*)`")
_TAG = re.compile(r"<(script|style)[^>]*>.*?</\1>|<[^>]+>", re.DOTALL)


def part_of(name: str) -> str:
    """``train`` for nineteen names of twenty; ``anchors`` and ``heldout`` share the rest, decided by a digest."""
    place = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") % 40
    return {0: "heldout", 1: "anchors"}.get(place, "train")


def prose(packages: Path) -> Iterator[tuple[str, str, bytes]]:
    """(part, name, bytes) of English prose out of unpacked Debian packages under `packages`."""
    for path in sorted((packages / "python3.11-doc").rglob("*.rst.txt")):
        text = _paragraphs(path.read_text("utf-8"))
        name = "/".join(path.parts[-2:])
        part = "heldout" if path.parent.name in HELD_OUT_DOCS else part_of(name)
        if len(text) > 1500:
            yield part, f"pydoc-{path.stem.removesuffix('.rst')}", text.encode()
    jargon = gzip.decompress(next((packages / "jargon-text").rglob("jargon.txt.gz")).read_bytes()).decode("latin-1")
    cut = len(jargon) // 20
    for i in range(20):
        part = {7: "heldout", 13: "anchors"}.get(i, "train")
        yield part, f"jargon-{i:02}", jargon[i * cut : (i + 1) * cut].encode()
    for path in sorted((packages / "anarchism").rglob("*.html")):
        yield "train", f"essay-{path.stem}", _plain(path.read_text("utf-8", "replace")).encode()
    for package in ("debian-policy", "developers-reference"):
        for path in sorted((packages / package).rglob("*.txt.gz")):
            yield "train", f"{package}-{path.stem}", gzip.decompress(path.read_bytes())


def source_code(extra: Sequence[Path]) -> Iterator[tuple[str, str, bytes]]:
    """(part, name, bytes): the running interpreter's library and headers; packages in `extra` serve training only."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        relative = path.relative_to(library).as_posix()
        skipped = ("test/", "site-packages/", "lib2to3/tests", "idlelib/idle_test", "pydoc_data/", "encodings/cp")
        if not any(s in relative for s in skipped) and 1500 <= path.stat().st_size <= 300_000:
            yield part_of(relative), f"py-{relative}", path.read_bytes()
    for path in sorted(Path(sysconfig.get_path("include")).rglob("*.h")):
        if path.stat().st_size >= 1500:
            yield part_of(path.name), f"c-{path.name}", path.read_bytes()
    for folder in extra:
        for path in sorted(folder.rglob("*.py")):
            if 2000 <= path.stat().st_size <= 60_000:
                yield "train", f"site-{path.relative_to(folder).as_posix()}", path.read_bytes()


def _paragraphs(text: str) -> str:
    """The running prose of reStructuredText: unindented paragraphs, roles and literals reduced to their words."""
    kept = []
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        if len(block) > 90 and not any(line.startswith((" ", ".", "=", "*", "-", "+", "|", "#")) for line in lines):
            kept.append(_ROLE.sub(r"\1", block).replace("``", "").replace("::", ":"))
    return "\n\n".join(kept) + "\n"


def _plain(page: str) -> str:
    """An HTML page without tags; runs of blank lines become one."""
    return re.sub(r"\n\s*\n+", "\n\n", html.unescape(_TAG.sub("", page))).strip() + "\n"
