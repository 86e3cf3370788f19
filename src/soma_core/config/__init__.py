"""Settings: class default < ``soma.toml`` < environment < ``--set``; strictly typed, each value with its origin.

`gather` finds and parses; nothing of a plugin is imported for it. `Settings.resolve` then holds what was given against
the classes of the chosen plugins and reports every problem at once. `prepare` does the whole way for a node.
"""

from ._fields import DEFAULT, HIDDEN, Given, Row, plain, secrets_of, structure
from ._node import FILE_NAME, NodeConfig, default_data_dir
from ._resolve import Options, Prepared, Resolved, Settings, gather, instance, prepare

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
    "gather",
    "instance",
    "plain",
    "prepare",
    "secrets_of",
    "structure",
]
