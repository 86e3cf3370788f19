"""Every error Soma raises on purpose.

    SomaError                     1   what happened, to what; what to do
    ├── UsageError                2   a command was asked for something it cannot do
    ├── PluginError               3   a plugin that was asked for cannot be used
    ├── SettingsError             4
    │   ├── ConfigError               settings that do not fit, all of them at once
    │   └── GenesisError              a genesis file that cannot start a network
    ├── UnreachableError          5   no node, or no peer, answers
    ├── FindingsError             6   doctor or conformance found something
    ├── DecodeError               1   bytes that are not what they should be; nothing was changed
    ├── KeyStoreError             1   a key cannot be read, opened or used for this
    ├── RefusedError              1   a node or the chain said no, and why
    ├── EncoderError              1   an encoder gave no usable answer
    ├── CorruptionError           1   a ledger or a blob is not what it was; the node stops before it writes
    ├── VerificationError         1   a receipt or a checkpoint does not prove what it says
    └── StorageError              1   the disk took or gave no more; the node ended before anything was half done

The number is the exit status of `soma` when the error reaches the command line (130 is Ctrl-C).
"""

from collections.abc import Sequence
from typing import ClassVar


class SomaError(Exception):
    """What happened to what, and the remedy. `str()` is one line: ``WHAT; REMEDY``."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


class UsageError(SomaError):
    """A command was asked for something it cannot do."""

    exit_code = 2


class PluginError(SomaError):
    """A plugin that was asked for cannot be used. The line names distribution, version, cause and remedy."""

    exit_code = 3


class SettingsError(SomaError):
    """What a person wrote for Soma to read does not fit."""

    exit_code = 4


class ConfigError(SettingsError):
    """Settings that do not fit. `problems` holds all of them, a line each; `str()` joins the lines."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class GenesisError(SettingsError):
    """A genesis file that cannot start or join a network."""


class UnreachableError(SomaError):
    """No node listens where one was expected, or none of the peers answers."""

    exit_code = 5


class FindingsError(SomaError):
    """A check ran to its end and found something."""

    exit_code = 6


class DecodeError(SomaError):
    """Bytes from outside are not in the one encoding that is accepted. Nothing was changed."""


class KeyStoreError(SomaError):
    """A key cannot be read, opened, or used for what was asked."""


class RefusedError(SomaError):
    """A node or the chain refused a request. Nothing changed but what the rules say."""


class EncoderError(SomaError):
    """An encoder gave no usable answer for an item."""


class UnwantedError(SomaError):
    """Nobody waits any more for what is being computed: it is given up between two of its parts."""


class CorruptionError(SomaError):
    """Stored data contradicts itself. The node stops before it writes."""


class UpgradeError(SomaError):
    """The network goes on with rules that this software does not know. The node stops before it applies them."""


class StorageError(SomaError):
    """The disk is full or failing. The node ends; what was acknowledged is there at the next start."""


class VerificationError(SomaError):
    """A receipt, a checkpoint or a blob does not prove what it claims."""
