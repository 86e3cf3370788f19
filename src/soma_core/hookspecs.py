"""The whole plugin surface. ``encoder-hash = "my_module"`` in the group ``soma.plugins`` means that ``my_module``
implements ``soma_encoder``. A hook is called once, at start; nothing here is on a hot path."""

from collections.abc import Iterable
from typing import Any

import pluggy

from .api import (
    CoderSpec,
    CommandSpec,
    ConsensusSpec,
    EncoderSpec,
    Finding,
    IndexSpec,
    LedgerSpec,
    ScoringSpec,
    TokenizerSpec,
    TransportSpec,
)

hookspec = pluggy.HookspecMarker("soma")


@hookspec
def soma_consensus() -> ConsensusSpec[Any, Any]:
    """Order bytes: a pure ``step(event, now) -> actions``. One a node."""


@hookspec
def soma_transport() -> TransportSpec[Any]:
    """Carry messages between authenticated peers. One a node."""


@hookspec
def soma_ledger() -> LedgerSpec[Any]:
    """Keep ordered keys and values durably. One a node."""


@hookspec
def soma_encoder() -> EncoderSpec[Any]:
    """Turn bytes into vectors. Any number; each in a process of its own."""


@hookspec
def soma_scoring() -> ScoringSpec[Any]:
    """Draw, judge and pay: a pure integer rule, chosen by genesis."""


@hookspec
def soma_tokenizer() -> TokenizerSpec[Any]:
    """Cut bytes into tokens: a pure partition. Any number."""


@hookspec
def soma_coder() -> CoderSpec[Any]:
    """Make bytes shorter without loss. Any number."""


@hookspec
def soma_index() -> IndexSpec[Any]:
    """Find the nearest vectors. At most one a node, in a thread of its own."""


@hookspec
def soma_command() -> CommandSpec:
    """A command: ``command-export`` answers ``soma export``."""


@hookspec
def soma_doctor(name: str, config: object) -> Iterable[Finding]:
    """Optional, beside any other: what ``soma doctor`` says of the component `name` under its settings."""
