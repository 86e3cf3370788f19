"""Settings: class default < ``soma.toml`` < environment < ``--set``; strictly typed, each value with its origin.

`gather` finds and parses; nothing of a plugin is imported for it. `Settings.resolve` then holds what was given against
the classes of the chosen plugins and reports every problem at once. `prepare` does the whole way for a node.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ._fields import DEFAULT as DEFAULT
    from ._fields import HIDDEN as HIDDEN
    from ._fields import Given as Given
    from ._fields import Row as Row
    from ._fields import plain as plain
    from ._fields import secrets_of as secrets_of
    from ._fields import structure as structure
    from ._node import NodeConfig as NodeConfig
    from ._resolve import Prepared as Prepared
    from ._resolve import Resolved as Resolved
    from ._resolve import Settings as Settings
    from ._resolve import gather as gather
    from ._resolve import instance as instance
    from ._resolve import prepare as prepare
    from ._sources import FILE_NAME as FILE_NAME
    from ._sources import Options as Options
    from ._sources import default_data_dir as default_data_dir
    from ._sources import find as find
    from ._sources import named as named
    from ._sources import toml_or_text as toml_or_text

_HOMES: Final = {
    "_fields": ("DEFAULT", "HIDDEN", "Given", "Row", "plain", "secrets_of", "structure"),
    "_node": ("NodeConfig",),
    "_resolve": ("Prepared", "Resolved", "Settings", "gather", "instance", "prepare"),
    "_sources": ("FILE_NAME", "Options", "default_data_dir", "find", "named", "toml_or_text"),
}
"""Module → what it gives. Who only lists plugins asks for `find` and `named`, and pays for no plugin API."""

__all__ = [
    "DEFAULT",
    "FILE_NAME",
    "HIDDEN",
    "Given",
    "NodeConfig",
    "Options",
    "Prepared",
    "Resolved",
    "Row",
    "Settings",
    "default_data_dir",
    "find",
    "gather",
    "instance",
    "named",
    "plain",
    "prepare",
    "secrets_of",
    "structure",
    "toml_or_text",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
