"""From options to settings to instances."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, final

import attrs
from attrs import frozen

from soma_core.api.spec import AnySpec
from soma_core.errors import ConfigError
from soma_core.plugins import KINDS, REFERENCE, Plugin, Plugins, Selection

from ._fields import Given, Row, structure
from ._node import NodeConfig
from ._sources import (
    FILE_NAME,
    Options,
    Setting,
    assignment_settings,
    default_data_dir,
    environment_settings,
    file_settings,
    find,
    label_of,
    named,
    section_names,
)

T = TypeVar("T")
NODE = "node"


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
    found = find(options)
    given, problems = file_settings(found.tables, found.label)
    assigned, more = assignment_settings(options.assignments)
    names, source, wrong = named(options, found)
    data_dir = Given(*found.data_dir) if found.data_dir else None
    problems = [*wrong, *problems, *more]
    return Settings(
        found.file, names, source, tuple(given), options.environ, tuple(assigned), data_dir, tuple(problems)
    )


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
