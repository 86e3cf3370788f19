"""The node's own section, ``[node]``."""

from pathlib import Path
from typing import Final, Literal

from attrs import Factory, frozen

from soma_core.api import option

LogLevel = Literal["debug", "info", "warning", "error"]
FILE_NAME: Final = "soma.toml"


def default_data_dir() -> Path:
    """Where a node keeps its data if nobody says: the place for data of applications on this system."""
    from platformdirs import user_data_path  # 20 ms, only where the default is wanted

    return user_data_path("soma")


@frozen(kw_only=True)
class NodeConfig:
    """What concerns the node and no plugin. Paths are relative to the current directory."""

    data_dir: Path = option(Factory(default_data_dir), "where this node keeps its data")
    genesis: Path | None = option(None, "the network's genesis file; without one, a development network of one")
    peers: tuple[str, ...] = option((), "peers to dial first, each KEY@ADDRESS")
    open_timeout: int = option(30, "seconds a component may take to open", min=1, max=3600)
    log_level: LogLevel = option("info", "what is logged: debug, info, warning or error")
