"""What a server calls the vectors of one directory."""

import secrets
from pathlib import Path


def kept_name(directory: Path) -> str:
    """A name that no other directory has: letters and digits, the first a capital. Made once, kept in a file."""
    file = directory / "collection"
    if not file.exists():
        new = file.with_suffix(".new")
        new.write_text(f"Soma{secrets.token_hex(8)}\n", "ascii")
        new.replace(file)
    return file.read_text("ascii").strip()
