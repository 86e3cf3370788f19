"""A folder that holds one index, and remembers which plugin made it: ``index.json``, and what the plugin keeps."""

import errno
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from soma_core.errors import CorruptionError, SomaError, StorageError, UnreachableError, UsageError

if TYPE_CHECKING:
    from soma_core.api import Index

FILE: Final = "index.json"
DEFAULT: Final = "index-exact"
_MOST: Final = 4096
"""Bytes of index.json, at most."""


@frozen
class Opened:
    """An open index, which plugin it is of and what that declares."""

    index: "Index"
    plugin: str
    features: frozenset[str]


def plugin_of(folder: Path) -> str | None:
    """The plugin that made the index in `folder`; None if there is none. Raises `CorruptionError`."""
    try:
        with (folder / FILE).open("rb") as file:
            told = json.loads(file.read(_MOST))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"{folder / FILE}: cannot be read: {error.strerror}", "check its permissions") from error
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("plugin"), str):
        raise CorruptionError(
            f"{folder / FILE}: does not say which plugin made the index", f'write {{"plugin": "{DEFAULT}"}} into it'
        )
    return str(told["plugin"])


@contextmanager
def opened(folder: Path, plugin: str | None, assignments: tuple[str, ...], *, new: bool = False) -> Iterator[Opened]:
    """The index in `folder`, under settings of the usual origins; made if there is none and it may be `new`.

    Closed on leaving. What it raises meanwhile becomes an error of one line.
    """
    made_by = plugin_of(folder)
    if made_by is not None and plugin not in (None, made_by):
        raise UsageError(f"{folder}: this index is one of {made_by}", "leave out --plugin, or name another folder")
    if made_by is None:
        _may_become_one(folder, new=new)
    with _clear_errors(folder):
        found = _open(folder, made_by or plugin or DEFAULT, assignments)
        try:
            if made_by is None:
                _remember(folder, found.plugin)
            yield found
        finally:
            found.index.close()


def _may_become_one(folder: Path, *, new: bool) -> None:
    if not new:
        raise UsageError(f"{folder}: there is no index", "name a folder that `soma index add` made")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: neither an index nor empty", "name a new folder")


def _open(folder: Path, name: str, assignments: tuple[str, ...]) -> Opened:
    from soma_core.api import Context
    from soma_core.config import Options, gather
    from soma_core.plugins import Plugins, open_failed

    plugins = Plugins()
    plugin = plugins.find(name)
    spec = plugins.spec("index", name)
    config = (
        gather(Options(assignments=assignments))
        .resolve({plugin.name: spec}, plugins.installed)
        .of(plugin.name, spec.config)
    )
    own = folder / plugin.name
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        index = spec.open(config, Context(plugin.name, own, logging.getLogger(f"soma.{plugin.name}")))
    except (SomaError, OSError, ValueError):
        raise
    except Exception as error:
        raise open_failed(plugin, error) from error
    return Opened(index, plugin.name, spec.features)


def _remember(folder: Path, plugin: str) -> None:
    new = folder / f"{FILE}.new"
    new.write_text(json.dumps({"plugin": plugin}) + "\n", "utf-8")
    new.replace(folder / FILE)


@contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except SomaError:
        raise
    except ValueError as error:
        raise UsageError(str(error), "`soma index info` says what the index holds") from error
    except OSError as error:
        what = f"{error.filename or folder}: {error.strerror or error}"
        if error.errno in (errno.ECONNREFUSED, errno.ETIMEDOUT):
            raise UnreachableError(what, "what was kept before is there") from error
        raise StorageError(what, "what was kept before is there") from error


def size_of(folder: Path) -> int:
    """Bytes of all files in `folder`."""
    return sum(os.lstat(Path(root) / name).st_size for root, _, names in os.walk(folder) for name in names)
