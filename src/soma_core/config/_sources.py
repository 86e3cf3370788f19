"""Where settings come from, lowest first: ``soma.toml``, the environment, ``--set``. Held against no class yet."""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from attrs import Factory, frozen

from soma_core.errors import ConfigError
from soma_core.plugins import KINDS

FILE_NAME: Final = "soma.toml"
MAX_FILE: Final = 1 << 16
"""Bytes of a settings file. A longer one is not a settings file."""
MAX_DOTS: Final = 128
"""Dots in one line of TOML. A key's parts cost the standard library time by their square."""
MAX_NESTED: Final = 16
"""Tables and arrays that a value of TOML may stand inside."""

_PREFIX: Final = "SOMA_"


class Setting(NamedTuple):
    """A value somebody gave. `section` is ``node`` or ``encoder.jax``; `origin` is where, as messages show it."""

    section: str
    key: str
    value: Any
    origin: str


@frozen(kw_only=True)
class Options:
    """What every command takes: ``--plugin``, ``--config``, ``--set``, ``--data-dir``, and the surroundings."""

    plugin: tuple[str, ...] = ()
    config: Path | None = None
    assignments: tuple[str, ...] = ()
    data_dir: Path | None = None
    environ: Mapping[str, str] = Factory(lambda: dict(os.environ))
    directory: Path = Factory(Path.cwd)


class Found(NamedTuple):
    """The settings file, if there is one, and its tables; the data directory and who named it, if somebody did."""

    file: Path | None
    tables: Mapping[str, Any]
    data_dir: tuple[str, str] | None

    @property
    def label(self) -> str:
        """How messages call the settings file, also where there is none yet."""
        return label_of(self.file) if self.file is not None else FILE_NAME


def default_data_dir() -> Path:
    """Where a node keeps its data if nobody says: the place for data of applications on this system."""
    from platformdirs import user_data_path  # 20 ms, only where the default is wanted

    return user_data_path("soma")


def find(options: Options) -> Found:
    """The settings file: that of ``--config``, of ``SOMA_CONFIG``, in the data directory, in the current directory.

    Raises `ConfigError` for a file that cannot be read or is not TOML.
    """
    data_dir = None
    if options.data_dir is not None:
        data_dir = (str(options.data_dir), "--data-dir")
    elif options.environ.get("SOMA_DATA_DIR"):
        data_dir = (options.environ["SOMA_DATA_DIR"], "SOMA_DATA_DIR")
    file = options.config
    if file is None and options.environ.get("SOMA_CONFIG"):
        file = Path(options.environ["SOMA_CONFIG"]).expanduser()
    if file is None:
        home = Path(data_dir[0]).expanduser() if data_dir else default_data_dir()
        file = next((path for base in (home, options.directory) if (path := base / FILE_NAME).is_file()), None)
    return Found(file, read_file(file) if file is not None else {}, data_dir)


def named(options: Options, found: Found) -> tuple[tuple[str, ...], str, list[str]]:
    """The names of plugins from the highest source that names any, that source, and problems."""
    if options.plugin:
        return options.plugin, "--plugin", []
    if names := tuple(name for part in options.environ.get("SOMA_PLUGINS", "").split(",") if (name := part.strip())):
        return names, "SOMA_PLUGINS", []
    table, origin = found.tables.get("plugins"), found.label
    if table is None:
        return (), "", []
    if not isinstance(table, list) or not all(isinstance(name, str) for name in table):
        return (), "", [f'{origin}: plugins: {table!r:.60} is not an array of names; write plugins = ["encoder-jax"]']
    return tuple(table), origin if table else "", []


def read_file(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises `ConfigError`, for a mistake of syntax with line and column."""
    label = label_of(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError([f"{label}: cannot be read: {error.strerror}; name another with --config"]) from error
    if len(data) > MAX_FILE:
        raise ConfigError([f"{label}: longer than {MAX_FILE} bytes; name a settings file with --config"])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{label}: line {line}: not UTF-8; save the file as UTF-8"]) from error
    try:
        return _toml(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{label}: {_where(str(error), text)}; TOML is explained at https://toml.io"]) from error
    except ValueError as error:
        raise ConfigError([f"{label}: {error}; no setting needs it"]) from error


def label_of(path: Path) -> str:
    """How messages call the file: ``soma.toml``, or the path if it has another name."""
    return path.name if path.name == FILE_NAME else str(path)


def file_settings(tables: Mapping[str, Any], origin: str) -> tuple[list[Setting], list[str]]:
    """The settings of a parsed file, and the problems of its shape. ``plugins`` is not among them."""
    settings, problems = [], []
    for top, table in tables.items():
        if top == "plugins":
            continue
        if not isinstance(table, dict):
            problems.append(f"{origin}: {top}: no such setting; settings stand in [node] or in a plugin's section")
        elif top not in KINDS:
            settings += [Setting(top, key, value, origin) for key, value in table.items()] or [
                Setting(top, "", None, origin)
            ]
        else:
            for short, section in table.items():
                if isinstance(section, dict):
                    name = f"{top}.{short}"
                    settings += [Setting(name, key, value, origin) for key, value in section.items()] or [
                        Setting(name, "", None, origin)
                    ]
                else:
                    problems.append(f"{origin}: {top}.{short}: not in a plugin's section; write [{top}.NAME] above it")
    return settings, problems


def environment_settings(environ: Mapping[str, str], sections: Iterable[str]) -> list[Setting]:
    """``SOMA_ENCODER_HASH__DIM=64`` and its like, sorted by name. `sections` are those that exist."""
    known = {section.replace(".", "_").replace("-", "_").upper(): section for section in sections}
    return [
        Setting(known.get(head) or _guess(head), key.lower(), toml_or_text(environ[name]), name)
        for name in sorted(environ)
        if name.startswith(_PREFIX)
        for head, mark, key in [name.removeprefix(_PREFIX).partition("__")]
        if mark and head and key
    ]


def assignment_settings(assignments: Iterable[str]) -> tuple[list[Setting], list[str]]:
    """``--set encoder.hash.dim=64`` and its like, and the problems of their shape."""
    settings, problems = [], []
    for text in assignments:
        path, mark, value = text.partition("=")
        section, _, key = path.strip().rpartition(".")
        if not (mark and section and key):
            problems.append(
                f"--set: {text!r:.60}: not a setting; write SECTION.KEY=VALUE, such as node.open_timeout=60"
            )
        else:
            settings.append(Setting(section, key, toml_or_text(value.strip()), "--set"))
    return settings, problems


def toml_or_text(text: str) -> Any:
    """`text` as a TOML value, else as it is."""
    try:
        parsed = _toml(f"v = {text}")
    except ValueError:
        return text
    return parsed["v"] if parsed.keys() == {"v"} else text


def _toml(text: str) -> dict[str, Any]:
    """The tables of `text`, in bounded time, and fit to be shown. Raises `ValueError` for anything else."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MAX_DOTS:
            raise ValueError(f"line {number}: more than {MAX_DOTS} dots")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"a value stands in more than {MAX_NESTED} tables and arrays") from None
    _bound(tables, MAX_NESTED)
    return tables


def _bound(value: Any, levels: int) -> None:
    """Refuse what is nested deeper than `levels`, and integers beyond the 64 bits of TOML: of those printing fails."""
    if isinstance(value, (dict, list)):
        if levels == 0:
            raise ValueError(f"a value stands in more than {MAX_NESTED} tables and arrays")
        for item in value.values() if isinstance(value, dict) else value:
            _bound(item, levels - 1)
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError("an integer of more than 64 bits")


def _guess(head: str) -> str:
    first, _, rest = head.lower().partition("_")
    return f"{first}.{rest.replace('_', '-')}" if rest else first


def _where(message: str, text: str) -> str:
    """``Invalid value (at line 3, column 5)`` turned round; the end of the document has a line and a column too."""
    what, _, place = message.rpartition(" (at ")
    what, place = (what or message), place.rstrip(")")
    if not place.startswith("line"):
        lines = text.split("\n")
        place = f"line {len(lines)}, column {len(lines[-1]) + 1}"
    return f"{place}: {what[:1].lower()}{what[1:]}"


def section_names(names: Iterable[str]) -> Iterator[str]:
    """Component names as sections: ``encoder-jax`` is ``encoder.jax``, ``node`` is ``node``."""
    return (name.replace("-", ".", 1) for name in names)
