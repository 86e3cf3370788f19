"""Files that people name on the command line."""

from pathlib import Path

from soma_core.errors import UsageError


def read_file(file: Path, most: int) -> bytes:
    """What is in `file`: 1 to `most` bytes. Raises `UsageError`."""
    try:
        if file.stat().st_size > most:
            raise UsageError(f"{file}: more than {most} bytes", "give a smaller file")
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}", "give the path of a readable file") from error
    if not data:
        raise UsageError(f"{file}: empty", "give a file with at least one byte")
    return data
