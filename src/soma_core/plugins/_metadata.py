"""What is installed, read from metadata alone: nothing of a plugin is imported here, and nothing heavy of ours."""

import re
from collections.abc import Iterable
from importlib import metadata
from typing import Final, NamedTuple

GROUP: Final = "soma.plugins"
KINDS: Final = ("consensus", "transport", "ledger", "encoder", "scoring", "tokenizer", "coder", "index", "command")
"""The first part of a plugin's name. The same as the keys of `soma_core.api.spec.SPECS`, without importing them."""

_NAME: Final = re.compile(rf"({'|'.join(KINDS)})-([a-z0-9]+(?:-[a-z0-9]+)*)")
_MODULE: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_REQUIREMENT: Final = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


class Plugin(NamedTuple):
    """One entry point of the group ``soma.plugins``. `requires`: what its distribution says of soma-core, or empty."""

    name: str
    module: str
    distribution: str
    version: str
    requires: str

    @property
    def kind(self) -> str:
        """``encoder`` of ``encoder-jax``; empty if the name is not a plugin's name."""
        match = _NAME.fullmatch(self.name)
        return match[1] if match else ""

    @property
    def short(self) -> str:
        """``jax`` of ``encoder-jax``; empty if the name is not a plugin's name."""
        match = _NAME.fullmatch(self.name)
        return match[2] if match else ""

    @property
    def title(self) -> str:
        """How every message names it: ``encoder-jax (soma-jax 0.1.0)``."""
        return f"{self.name} ({self.distribution} {self.version})"

    @property
    def qualified(self) -> str:
        """The name that chooses it, and no other of the same name: ``soma-jax:encoder-jax``."""
        return f"{self.distribution}:{self.name}"

    @property
    def names_a_module(self) -> bool:
        """Whether the entry point names a module, and not an object in one."""
        return _MODULE.fullmatch(self.module) is not None


def scan() -> tuple[Plugin, ...]:
    """Every plugin entry point on the path, by name, then distribution. One distribution found twice counts once."""
    return tuple(sorted({_plugin(entry) for entry in _entries() if entry.dist is not None}))


def _entries() -> Iterable[metadata.EntryPoint]:
    try:
        return metadata.entry_points(group=GROUP)
    except Exception:  # noqa: BLE001  # one distribution whose file is no list of entry points hides those of all others
        return [entry for distribution in metadata.distributions() for entry in _readable(distribution)]


def _readable(distribution: metadata.Distribution) -> Iterable[metadata.EntryPoint]:
    try:
        return [entry for entry in distribution.entry_points if entry.group == GROUP]
    except Exception:  # noqa: BLE001  # as above
        return []


def _plugin(entry: metadata.EntryPoint) -> Plugin:
    assert entry.dist is not None
    try:
        about, requires = entry.dist.metadata, entry.dist.requires or ()
        name, version = about["Name"] or "unknown", about["Version"] or "0"
    except Exception:  # noqa: BLE001  # metadata that cannot be read says nothing, and is found out when it is chosen
        name, version, requires = "unknown", "0", ()
    return Plugin(entry.name, entry.value, name, version, _core_requirement(name, requires))


def normalised(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _core_requirement(distribution: str, requirements: Iterable[str]) -> str:
    if normalised(distribution) == "soma-core":
        return "soma-core"
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        text, _, marker = requirement.partition(";")
        if match and normalised(match[1]) == "soma-core" and "extra" not in marker:
            return text.strip()
    return ""
