"""One version of a model as files that say in their name which it is: what ``soma encoder export`` writes."""

from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from soma_core.errors import UsageError

NAMED: Final = 12
"""Digits of the digest that stand in a file's name."""


@frozen
class Exported:
    """`digest`: of the weights, 32 bytes. `files`: the model first, then what belongs beside it."""

    digest: bytes
    files: tuple[Path, ...]


def export(plugin: str, weights: str, form: Literal["safetensors", "onnx"], folder: Path) -> Exported:
    """Write the model of `weights`, as `plugin` exports it, into `folder`. What is there already is left as it is.

    The digest in the names binds weights and config. Raises `SomaError`, as for a folder that is not there.
    """
    import soma_core
    from soma_core.model import load_model, weights_digest

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", "make it, or name another with --out")
    given = load_model(weights)
    with soma_core.load(plugin, weights=weights) as loaded:
        model = loaded.export(form)
    name = weights_digest(given.config, model) if form == "safetensors" else given.digest
    stem = f"{given.name}-{name.hex()[:NAMED]}"
    parts = {f".{form}": model, ".json": given.config.to_json().encode()}
    if given.frame and name == given.digest:
        parts[".frame"] = given.frame
    files = {folder / f"{stem}{suffix}": data for suffix, data in parts.items()}
    for path, data in files.items():
        _write(path, data)
    return Exported(name, tuple(files))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all. Raises `UsageError` for a file of this name that is another."""
    if path.exists():
        if path.read_bytes() != data:
            raise UsageError(f"{path}: exists, and is another file", "choose another --out")
        return
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "choose another --out") from error
