"""From options to settings to instances."""

import os
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, final

import attrs
from attrs import Factory, frozen

from soma_core.api.spec import AnySpec
from soma_core.errors import ConfigError
from soma_core.plugins import KINDS, REFERENCE, Plugin, Plugins, Selection

from ._fields import Given, Row, structure
from ._node import FILE_NAME, NodeConfig, default_data_dir
from ._sources import (
    Setting,
    assignment_settings,
    environment_settings,
    file_settings,
    find_file,
    label_of,
    read_file,
    section_names,
)

T = TypeVar("T")
NODE = "node"


@frozen(kw_only=True)
class Options:
    """What every command takes: ``--plugin``, ``--config``, ``--set``, ``--data-dir``, and the surroundings."""

    plugin: tuple[str, ...] = ()
    config: Path | None = None
    assignments: tuple[str, ...] = ()
    data_dir: Path | None = None
    environ: Mapping[str, str] = Factory(lambda: dict(os.environ))
    directory: Path = Factory(Path.cwd)


@final
@frozen
class Resolved:
    """The settings of chosen components, checked. `rows` are all of them, with origins."""

    instances: Mapping[str, Any]
    rows: tuple[Row, ...]

    @property
    def node(self) -> NodeConfig:
        """The section ``[node]``."""
        return self.of(NODE, NodeConfig)

    def of(self, name: str, cls: type[T]) -> T:
        """The settings of the component called `name`, which are a `cls`."""
        found = self.instances[name]
        assert isinstance(found, cls), name
        return found


@final
@frozen
class Settings:
    """What was given, by whom; not yet held against any class."""

    file: Path | None
    plugins: tuple[str, ...]
    plugins_origin: str
    given: tuple[Setting, ...]
    environ: Mapping[str, str] = attrs.field(repr=False)
    assigned: tuple[Setting, ...]
    data_dir: Given | None
    problems: tuple[str, ...]

    def resolve(
        self, specs: Mapping[str, AnySpec] | None = None, installed: Iterable[Plugin] | None = None
    ) -> Resolved:
        """``[node]`` and the settings of the components in `specs`, by name.

        `installed` lets sections of plugins that do not exist be told from those of plugins that were not chosen;
        without it they are not looked at. Raises `ConfigError` with every problem of every origin.
        """
        classes: dict[str, type[Any]] = {NODE: NodeConfig, **{n: s.config for n, s in (specs or {}).items()}}
        known = set(section_names([*classes, *(plugin.name for plugin in installed or ())]))
        layers = self._layers(known)
        problems = list(self.problems)
        if installed is not None:
            problems += _unknown_sections(layers, known)
        instances: dict[str, Any] = {}
        rows: list[Row] = []
        for name, section in zip(classes, section_names(classes), strict=True):
            own = {s.key: Given(s.value, s.origin) for s in layers if s.section == section and s.key}
            made = structure(
                classes[name], own, section, where=self.label, elsewhere=_rules_of((specs or {}).get(name))
            )
            instances[name] = made.instance
            problems += made.problems
            rows += made.rows
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))
        return Resolved(instances, tuple(rows))

    @property
    def label(self) -> str:
        """How messages call the settings file, also where there is none yet."""
        return label_of(self.file) if self.file is not None else FILE_NAME

    @property
    def home(self) -> Path:
        """The data directory as far as ``--data-dir`` and ``SOMA_DATA_DIR`` say: where soma.toml is looked for."""
        return Path(self.data_dir.value).expanduser() if self.data_dir else default_data_dir()

    def _layers(self, sections: Iterable[str]) -> list[Setting]:
        """Lowest first. ``SOMA_DATA_DIR`` counts as environment, ``--data-dir`` as ``--set``."""
        own = [Setting(NODE, "data_dir", *self.data_dir)] if self.data_dir else []
        first, last = ([], own) if self.data_dir and self.data_dir.origin == "--data-dir" else (own, [])
        return [*self.given, *first, *environment_settings(self.environ, sections), *self.assigned, *last]


@final
@frozen
class Prepared:
    """All a node needs to be put together: chosen plugins, their specs and their settings, every check passed."""

    settings: Settings
    plugins: Plugins
    selection: Selection
    specs: Mapping[str, AnySpec]
    resolved: Resolved


def gather(options: Options) -> Settings:
    """Find and parse what was given. Raises `ConfigError` for a file that cannot be read or is not TOML."""
    environ = options.environ
    data_dir = None
    if options.data_dir is not None:
        data_dir = Given(str(options.data_dir), "--data-dir")
    elif environ.get("SOMA_DATA_DIR"):
        data_dir = Given(environ["SOMA_DATA_DIR"], "SOMA_DATA_DIR")
    home = Path(data_dir.value).expanduser() if data_dir else default_data_dir()
    file = find_file(options.config, home, environ, options.directory)
    tables = read_file(file) if file is not None else {}
    origin = label_of(file) if file is not None else FILE_NAME
    given, problems = file_settings(tables, origin)
    assigned, more = assignment_settings(options.assignments)
    named, source, wrong = _named(options.plugin, environ, tables.get("plugins"), origin)
    return Settings(file, named, source, tuple(given), environ, tuple(assigned), data_dir, (*wrong, *problems, *more))


def prepare(options: Options, plugins: Plugins | None = None) -> Prepared:
    """Gather, choose, import, check and resolve. Raises `PluginError` or `ConfigError`; nothing was opened."""
    settings = gather(options)
    if settings.problems and not settings.plugins:
        settings.resolve()  # raises: what should have named plugins is itself wrong
    plugins = plugins or Plugins()
    selection = plugins.select(settings.plugins, settings.plugins_origin)
    specs = {plugin.name: plugins.load(plugin) for plugin in selection.plugins}
    return Prepared(settings, plugins, selection, specs, settings.resolve(specs, plugins.installed))


def instance(cls: type[T], values: Mapping[str, Any], section: str, origin: str) -> T:
    """`values` as a `cls`, with the same checks, for whoever gives settings in code. Raises `ConfigError`."""
    made = structure(cls, {key: Given(value, origin) for key, value in values.items()}, section, where=origin)
    if made.problems:
        raise ConfigError(made.problems)
    assert isinstance(made.instance, cls)
    return made.instance


def _named(
    options: Sequence[str], environ: Mapping[str, str], table: object, origin: str
) -> tuple[tuple[str, ...], str, list[str]]:
    """The names of plugins from the highest source that names any, that source, and problems."""
    if options:
        return tuple(options), "--plugin", []
    if names := tuple(name for part in environ.get("SOMA_PLUGINS", "").split(",") if (name := part.strip())):
        return names, "SOMA_PLUGINS", []
    if table is None:
        return (), "", []
    if not isinstance(table, list) or not all(isinstance(name, str) for name in table):
        return (), "", [f'{origin}: plugins: {table!r:.60} is not an array of names; write plugins = ["encoder-jax"]']
    return tuple(table), origin if table else "", []


def _unknown_sections(layers: Iterable[Setting], known: Iterable[str]) -> list[str]:
    """A section nobody reads is a misspelling, except that of a reference plugin that is not installed here."""
    known = sorted(known)
    problems = []
    for setting in layers:
        section = setting.section
        if section in known or section.replace(".", "-", 1) in REFERENCE:
            continue
        what = "plugin" if section.partition(".")[0] in KINDS and "." in section else "section"
        close = get_close_matches(section, known, 1)
        remedy = f"did you mean {close[0]}?" if close else "`soma plugins` lists what is installed"
        problems.append(f"{setting.origin}: {section}: no such {what}; {remedy}")
    return problems


def _rules_of(spec: AnySpec | None) -> dict[str, str]:
    """Names of a rule's parameters: looked for among settings, they are the network's."""
    params = getattr(spec, "params", None)
    if params is None:
        return {}
    return {field.name: "it is a rule of the network, read from genesis" for field in attrs.fields(params)}
