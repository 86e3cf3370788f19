"""Options that commands share, so that they are called and explained the same everywhere."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from soma_core.config import Options

P = ParamSpec("P")
R = TypeVar("R")

_PATH = click.Path(path_type=Path)


def with_options(function: "Callable[Concatenate[Options, P], R]") -> Callable[..., R]:
    """Adds ``--plugin``, ``--config``, ``--set`` and ``--data-dir``; `function` gets them first, as `Options`."""

    @click.option("--plugin", multiple=True, metavar="NAME", help="Use this plugin; repeat for several. [SOMA_PLUGINS]")
    @click.option("--config", type=_PATH, metavar="FILE", help="Settings; else soma.toml. [SOMA_CONFIG]")
    @click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting: encoder.jax.threads=2."
    )
    @click.option("--data-dir", type=_PATH, metavar="DIR", help="Where this node keeps its data. [SOMA_DATA_DIR]")
    @wraps(function)  # first, so that options which stand under this decorator are kept
    def command(
        *args: Any,
        plugin: tuple[str, ...],
        config: Path | None,
        assignments: tuple[str, ...],
        data_dir: Path | None,
        **kwargs: Any,
    ) -> R:
        from soma_core.config import Options

        options = Options(plugin=plugin, config=config, assignments=assignments, data_dir=data_dir)
        return function(options, *args, **kwargs)

    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
"""``--json``, as the argument `as_json`. Data goes to stdout, talk to stderr, with and without it."""
