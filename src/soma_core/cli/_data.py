"""Which data directory a command means."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def data_dir_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--data-dir`` for commands that only talk to a node: a `Path`, from ``SOMA_DATA_DIR`` or the default."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="SOMA_DATA_DIR",
        default=default_data_dir,
        metavar="DIR",
        help="The node's data directory. [SOMA_DATA_DIR]",
    )(function)


def default_data_dir() -> Path:
    """Where a node keeps its data if nobody says."""
    from soma_core.config import default_data_dir as default

    return default()
