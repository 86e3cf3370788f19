"""The node's own section, ``[node]``."""

from pathlib import Path
from typing import Literal

from attrs import Factory, frozen

from soma_core.api import option

from ._sources import default_data_dir

LogLevel = Literal["debug", "info", "warning", "error"]


@frozen(kw_only=True)
class NodeConfig:
    """What concerns the node and no plugin. Paths are relative to the current directory."""

    data_dir: Path = option(Factory(default_data_dir), "where this node keeps its data")
    genesis: Path | None = option(None, "the network's genesis file; without one, a development network of one")
    peers: tuple[str, ...] = option((), "peers to dial first, each KEY@ADDRESS")
    acts_for: tuple[str, ...] = option((), "accounts that this node's keys act for as operators, each ROLE=ADDRESS")
    open_timeout: int = option(30, "seconds a component may take to open", min=1, max=3600)
    encoder_memory: int = option(0, "MiB of memory an encoder may take; 0 is three quarters of the machine's", min=0)
    space_low: int = option(512, "MiB free on the disk below which no new work is taken; 0 is never", min=0)
    space_least: int = option(128, "MiB free on the disk below which the node ends; 0 is never", min=0)
    log_level: LogLevel = option("info", "what is logged: debug, info, warning or error")
