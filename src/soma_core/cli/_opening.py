"""Opening one component by itself, in this process, so that what it raises can be seen."""

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

from soma_core.api import (
    CoderSpec,
    CommandSpec,
    ConsensusSpec,
    Context,
    EncoderSpec,
    IndexSpec,
    LedgerSpec,
    Member,
    ScoringSpec,
    Setup,
    TokenizerSpec,
    TransportSpec,
)
from soma_core.api.spec import AnySpec, EncoderContext, LedgerContext
from soma_core.plugins import Plugin, open_failed


def try_open(plugin: Plugin, spec: AnySpec, config: Any) -> str:
    """Open the component and close it again, in a directory that is thrown away. Says how that went.

    Raises `PluginError`, with what `open` raised as its cause. A transport is not opened: it would listen where a
    running node does.
    """
    if isinstance(spec, TransportSpec):
        return f"imports and answers (plugin API {spec.api}); not opened, because it would listen"
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soma-check-") as directory:
        try:
            component = _open(plugin, spec, config, Path(directory))
            close = getattr(component, "close", None)
            if isinstance(spec, (EncoderSpec, LedgerSpec, IndexSpec)) and close is not None:
                close()
        except (Exception, SystemExit) as error:
            raise open_failed(plugin, error) from error
    return f"works (plugin API {spec.api}); opened in {time.monotonic() - start:.2f} s"


def _open(plugin: Plugin, spec: AnySpec, config: Any, directory: Path) -> object:  # noqa: PLR0911  # one for each kind
    log = logging.getLogger(f"soma.{plugin.name}")
    match spec:
        case EncoderSpec():
            return spec.open(config, EncoderContext(plugin.name, directory, log))
        case LedgerSpec():
            return spec.open(config, LedgerContext(plugin.name, directory, log, "chain"))
        case IndexSpec():
            return spec.open(config, Context(plugin.name, directory, log))
        case ConsensusSpec():
            setup = Setup(bytes(32), 0, (Member(b"\x01" * 32, 1),), 0, 1)
            return spec.open(config, spec.params(), setup)
        case TokenizerSpec() | CoderSpec():
            return spec.open(config)
        case ScoringSpec():
            return spec.open(spec.params())
        case CommandSpec():
            return spec.open()
    raise AssertionError(spec)  # a transport was answered above
