"""The lines that say which plugin failed, why, and what to do: ``NAME (DIST VERSION): CAUSE; REMEDY``."""

import sys
from pathlib import Path
from typing import Final

from soma_core import __version__
from soma_core.errors import PluginError

from ._metadata import Plugin

_MOST: Final = 300
"""Characters of a foreign exception's text that fit into a line."""


def fault(plugin: Plugin, cause: str, remedy: str) -> PluginError:
    return PluginError(f"{plugin.title}: {cause}", remedy)


def raised(plugin: Plugin, hook: str, error: BaseException) -> PluginError:
    return fault(plugin, f"{hook}() raised {describe(error)}", f"report it to the author of {plugin.distribution}")


def _traceback_at(plugin: Plugin) -> str:
    return f"`soma plugins check {plugin.name}` shows the traceback"


def import_failed(plugin: Plugin, error: BaseException) -> PluginError:
    cause = f"import of {plugin.module} failed: "
    missing = error.name or "" if isinstance(error, ImportError) else ""
    if isinstance(error, ImportError) and (missing == "soma_core" or missing.startswith("soma_core.")):
        said = f"{type(error).__name__}: {one_line(error)}".partition(" (/")[0]
        return fault(
            plugin,
            f"{cause}{said}, it requires {plugin.requires!r} and this is {__version__}",
            f"python3 -m pip install --upgrade soma-core {plugin.distribution}",
        )
    if isinstance(error, ModuleNotFoundError):
        remedy = f"reinstall {plugin.distribution} with its dependencies, or report it"
    else:
        remedy = _traceback_at(plugin)
    return fault(plugin, cause + describe(error), remedy)


def open_failed(plugin: Plugin, error: BaseException) -> PluginError:
    """The line for a component whose `open` raised `error`."""
    return fault(plugin, f"open raised {describe(error)}{_place(plugin, error)}", _traceback_at(plugin))


def open_hangs(plugin: Plugin, seconds: float) -> PluginError:
    """The line for a component that is not open after `seconds`."""
    return fault(
        plugin,
        f"not open after {seconds:g} s",
        f"raise [node] open_timeout, or run `soma plugins check {plugin.name}`",
    )


def worker_ended(plugin: Plugin, status: int) -> PluginError:
    """The line for a component whose worker process ended by itself with `status`."""
    return fault(plugin, f"the worker ended with status {status}", "see the log above")


def describe(error: BaseException) -> str:
    """``ValueError: what it says``, on one line, at most 300 characters of it."""
    text = one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def one_line(error: BaseException) -> str:
    """What an exception says, on one line, even if it cannot say it."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  # an exception whose own text raises is still only a name to us
        return ""
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def _place(plugin: Plugin, error: BaseException) -> str:
    """Where in the plugin's own files it happened, the innermost frame there: `` (_engine.py:31)``."""
    import traceback  # only a failure pays for it

    module = sys.modules.get(plugin.module)
    home = Path(getattr(module, "__file__", None) or ".").resolve()
    home = home.parent if home.name == "__init__.py" else home
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if path == home or home in path.parents:
            return f" ({path.name}:{frame.lineno})"
    return ""
