"""Choosing plugins by name, and every check that needs only metadata, in the order of ``specs/60-plugins.md``."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

from soma_core.errors import PluginError

from ._metadata import KINDS, Plugin, normalised

DEFAULT_PROFILE: Final = ("consensus-dag", "encoder-jax", "transport-libp2p", "ledger-sqlite", "index-exact")
"""What runs when nothing is named: a development network of one."""
EXCLUSIVE: Final = ("consensus", "transport", "ledger", "index")
"""Kinds of which a node has one, or none. Genesis chooses the scoring rule; encoders and commands may be many."""
FILLED: Final = ("transport", "ledger")
"""Kinds that come from the default profile when others are named: no node is without them."""

REFERENCE: Final = {
    "consensus-solo": "soma-consensus-solo",
    "consensus-dag": "soma-consensus-dag",
    "transport-libp2p": "soma-libp2p",
    "transport-memory": "soma-memory",
    "ledger-memory": "soma-memory",
    "ledger-sqlite": "soma-sqlite",
    "encoder-numpy": "soma-numpy",
    "encoder-jax": "soma-jax",
    "encoder-torch": "soma-torch",
    "encoder-onnx": "soma-onnx",
    "encoder-webhook": "soma-webhook",
    "scoring-soma": "soma-scoring",
    "scoring-balanced": "soma-scoring",
    "tokenizer-soma": "soma-symbols",
    "coder-soma": "soma-symbols",
    "encoder-symbols": "soma-symbols",
    "index-exact": "soma-exact",
    "index-faiss": "soma-faiss",
    "index-chroma": "soma-chroma",
    "index-sqlite-vec": "soma-sqlite-vec",
    "index-weaviate": "soma-weaviate",
    "index-qdrant": "soma-qdrant",
}
"""Reference plugins and the distribution that has each, to answer a name that is not installed."""


class Selection(NamedTuple):
    """The plugins that were chosen, in the order they were named, and what named them (empty: the default profile)."""

    plugins: tuple[Plugin, ...]
    origin: str

    def of(self, kind: str) -> tuple[Plugin, ...]:
        """The chosen plugins of `kind`."""
        return tuple(plugin for plugin in self.plugins if plugin.kind == kind)

    def has(self, name: str) -> bool:
        """Whether the plugin called `name` was chosen."""
        return any(plugin.name == name for plugin in self.plugins)


def select(names: Sequence[str], installed: Sequence[Plugin], origin: str = "") -> Selection:
    """The plugins called `names`, with a transport and a ledger of the default profile where none is named.

    No `names` selects the default profile. Raises `PluginError` for the first fault that metadata shows.
    """
    return Selection(exclusive(pick(complete(names), installed)), origin if names else "")


def exclusive(chosen: tuple[Plugin, ...]) -> tuple[Plugin, ...]:
    """`chosen`, if it has at most one of each kind of which a node has one."""
    for kind in EXCLUSIVE:
        several = sorted(plugin.title for plugin in chosen if plugin.kind == kind)
        if len(several) > 1:
            raise PluginError(f"{_and(several)}: a node has one {kind}", "name one")
    return chosen


def complete(names: Sequence[str]) -> tuple[str, ...]:
    """`names` without repetition, with what the default profile adds to them."""
    if not names:
        return DEFAULT_PROFILE
    named = {name.rpartition(":")[2].partition("-")[0] for name in names}
    added = (name for name in DEFAULT_PROFILE if (kind := name.partition("-")[0]) in FILLED and kind not in named)
    return (*dict.fromkeys(names), *added)


def pick(names: Sequence[str], installed: Sequence[Plugin]) -> tuple[Plugin, ...]:
    """The plugins called `names` (``NAME`` or ``DISTRIBUTION:NAME``), checked one check after the other."""
    candidates = [(name, _candidates(name, installed)) for name in names]
    for name, found in candidates:
        if not found:
            raise _missing(name, installed)
    for name, found in candidates:
        if len(found) > 1:
            raise _duplicate(name, found)
    chosen = tuple(dict.fromkeys(found[0] for _name, found in candidates))
    for plugin in chosen:
        if not plugin.kind:
            raise PluginError(
                f"{plugin.title}: the name is not <kind>-<short>",
                f"kinds are {', '.join(KINDS)}",
            )
        if not plugin.names_a_module:
            raise PluginError(
                f"{plugin.title}: the entry point names {plugin.module!r}, which is not a module",
                "name the module alone, without an object",
            )
    for plugin in chosen:
        if not plugin.requires:
            raise PluginError(
                f"{plugin.title}: the distribution does not require soma-core",
                'add dependencies = ["soma-core"] to its pyproject.toml',
            )
    return chosen


def _candidates(name: str, installed: Iterable[Plugin]) -> list[Plugin]:
    distribution, _, bare = name.rpartition(":")
    return [
        plugin
        for plugin in installed
        if plugin.name == bare and (not distribution or normalised(plugin.distribution) == normalised(distribution))
    ]


def _missing(name: str, installed: Sequence[Plugin]) -> PluginError:
    distribution, _, bare = name.rpartition(":")
    providers = sorted({plugin.distribution for plugin in installed if plugin.name == bare})
    if distribution and providers:
        return PluginError(f"{name}: {distribution} provides no {bare}", f"name it {providers[0]}:{bare}")
    if bare in REFERENCE:
        return PluginError(f"{name}: not installed", f"python3 -m pip install {REFERENCE[bare]}")
    close = get_close_matches(bare, sorted({plugin.name for plugin in installed} | set(REFERENCE)), 1)
    remedy = f"did you mean {close[0]}?" if close else "`soma plugins` lists what is installed"
    return PluginError(f"{name}: no such plugin", remedy)


def _duplicate(name: str, found: Sequence[Plugin]) -> PluginError:
    providers = [f"{plugin.distribution} {plugin.version}" for plugin in found]
    if len({normalised(plugin.distribution) for plugin in found}) == 1:
        return PluginError(f"{name}: provided more than once by {providers[0]}", f"report it to the author of {name}")
    bare = name.rpartition(":")[2]
    return PluginError(
        f"{name}: provided by {_and(providers)}", f"uninstall one, or name it {found[0].distribution}:{bare}"
    )


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
