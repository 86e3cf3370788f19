"""Makes the bundled vocabulary from the library of the running Python and its documentation.

    python vocabulary.py DOCS      # the unpacked Debian package python3.11-doc

Needs ``soma-symbols[train]``. What was read is in the file's neighbour ``python.json``: digests, counts, versions.
"""

import hashlib
import json
import os
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Final

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # sums of floats in one order

from soma_symbols.tokens.learning import learn_vocabulary, write_vocabulary

DATA: Final = Path(__file__).resolve().parents[1] / "src" / "soma_symbols" / "tokens" / "data"
LEFT_OUT: Final = {"site-packages", "test", "tests", "idlelib", "lib2to3", "ensurepip", "pydoc_data", "encodings"}
"""Folders and modules that are no prose of code, or not of the library."""


def gather(docs: Path) -> dict[str, bytes]:
    """Path → content of every file that is read, in order."""
    library = Path(sysconfig.get_path("stdlib"))
    found = {
        f"library/{path.relative_to(library)}": path.read_bytes()
        for path in sorted(library.rglob("*.py"))
        if not LEFT_OUT & set(path.relative_to(library).with_suffix("").parts)
    }
    found |= {f"docs/{path.relative_to(docs)}": path.read_bytes() for path in sorted(docs.rglob("*.rst.txt"))}
    return found


def main(docs: Path) -> None:
    """Learn, and write the vocabulary and what it was learned from."""
    found = gather(docs)
    learned = learn_vocabulary(list(found.values()))
    write_vocabulary(DATA / "python.npz", learned)
    digest = hashlib.blake2b(digest_size=32)
    for name, content in found.items():
        digest.update(name.encode() + b"\0" + hashlib.blake2b(content).digest())
    said = {
        "files": len(found),
        "bytes": sum(map(len, found.values())),
        "digest": digest.hexdigest(),
        "python": sys.version.split()[0],
        "tokenizers": version("tokenizers"),
        "merges": len(learned.merges),
        "pieces": len(learned.pieces),
        "file": hashlib.blake2b((DATA / "python.npz").read_bytes(), digest_size=32).hexdigest(),
    }
    (DATA / "python.json").write_text(json.dumps(said, indent=2) + "\n", "utf-8")
    print(said, (DATA / "python.npz").stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
