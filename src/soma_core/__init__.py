"""Soma: a network that makes embeddings by competition, as a framework of plugins.

``soma_core.api`` is what plugin authors import; `load` runs one encoder in a notebook, without a node or keys.
"""

from typing import TYPE_CHECKING, Any, Final

__version__: Final = "0.1.0"

if TYPE_CHECKING:
    from .loading import load as load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":  # imported when asked for: `import soma_core` stays a few milliseconds
        from .loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
