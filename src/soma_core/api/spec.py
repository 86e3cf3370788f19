"""What a plugin's hook returns: one frozen spec a kind, and the context its `open` is given.

`open` is a plain function; heavy imports stand inside it. `config` is the operator's and may differ between nodes;
`params` (consensus, scoring) are integers read from genesis and hashed into the protocol digest.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

import attrs
from attrs import frozen

from soma_core.budget import Budget
from soma_core.errors import UnwantedError

if TYPE_CHECKING:
    import click

    from .coder import Coder
    from .consensus import Engine, Setup
    from .encoder import Encoder
    from .index import Index
    from .ledger import Ledger
    from .scoring import ScoringRule
    from .tokenizer import Tokenizer
    from .transport import Identity, Transport

API_FLOOR: Final = 1
API_CURRENT: Final = 1
"""Plugin API versions this core speaks: the current one and the one before."""

C = TypeVar("C")
P = TypeVar("P")
T = TypeVar("T")

Need = Literal["network", "gpu", "identity"]
Database = Literal["chain", "consensus"]
Level = Literal["ok", "warn", "fail"]
_NEEDS: Final = frozenset({"network", "gpu", "identity"})


@frozen
class Bounds:
    """What `option` says of a setting: its help text, its bounds, and whether it is shown."""

    help: str
    min: int | float | None
    max: int | float | None
    secret: bool


def option(
    default: T,
    help: str,  # noqa: A002  # the word an author expects
    *,
    min: float | None = None,  # noqa: A002
    max: float | None = None,  # noqa: A002
    secret: bool = False,
) -> T:
    """A setting with a default, a line of help and inclusive bounds. mypy reads it as the default."""
    return attrs.field(default=default, metadata={"soma": Bounds(help, min, max, secret)})


def required(type_: type[T], help: str, *, secret: bool = False) -> T:  # noqa: A002
    """A setting without a default: the operator must give it."""
    del type_
    setting: T = attrs.field(metadata={"soma": Bounds(help, None, None, secret)})
    return setting


@frozen
class NoConfig:
    """A component without settings."""


@frozen
class NoParams:
    """A rule without parameters."""


@frozen
class Context:
    """What every component is given: its name, a directory of its own (mode 0700, kept) and a logger."""

    name: str
    directory: Path
    log: logging.Logger


@frozen
class LedgerContext(Context):
    """`database`: a ledger plugin is opened once for each, sharing nothing."""

    database: Database


@frozen
class TransportContext(Context):
    """`identity` proves who this node is; given only where the spec's `needs` has ``identity``.

    `budget`: what a transport holds for peers it counts there, under the peer's key as owner once that is proved.
    """

    identity: "Identity"
    budget: Budget = attrs.field(factory=Budget)


@frozen
class EncoderContext(Context):
    """As whom an encoder calls others; given only where the spec's `needs` has ``identity``.

    `sign` signs a request under the domain ``soma/webhook`` with the encoder's own key, whose public half is `key` (32
    bytes), for the network `chain` (its id, 32 bytes). Both are empty while an encoder is opened only to see what it
    is; nothing is signed then. `job` says for which job the batch under way is: 32 bytes, or empty for none.
    `cancelled` says whether nobody waits for it any more.
    """

    sign: Callable[[bytes], bytes] | None = None
    key: bytes = b""
    chain: bytes = b""
    job: Callable[[], bytes] = bytes
    cancelled: Callable[[], bool] = bool

    def go_on(self) -> None:
        """Called by an encoder between two parts of a batch. Raises `UnwantedError`, to be let through, to end it."""
        if self.cancelled():
            raise UnwantedError("nobody waits for this batch any more", "compute the next one")


def _known(kind: str, allowed: frozenset[str]) -> Callable[[Any], frozenset[Any]]:
    def convert(values: Iterable[str]) -> frozenset[str]:
        chosen = frozenset(values)
        for value in sorted(chosen - allowed):
            from difflib import get_close_matches  # only a mistake pays for it

            close = get_close_matches(value, allowed, 1)
            hint = f", did you mean {close[0]!r}?" if close else f", known are {', '.join(sorted(allowed)) or 'none'}"
            raise ValueError(f"unknown {kind} {value!r}{hint}")
        return chosen

    return convert


def _to_needs(values: Iterable[Need]) -> frozenset[Need]:
    return _known("need", _NEEDS)(values)


def _features(*names: str) -> Any:
    return attrs.field(default=frozenset(), converter=_known("feature", frozenset(names)))


@frozen(kw_only=True)
class Spec(Generic[C]):
    """Common to every kind. `api` is a literal: the API the plugin was written against, never `API_CURRENT`."""

    api: int
    config: type[C]
    needs: frozenset[Need] = attrs.field(default=frozenset(), converter=_to_needs)


@frozen(kw_only=True)
class ConsensusSpec(Spec[C], Generic[C, P]):
    """``open(config, params, setup)`` gives a pure engine; `rule_id` and `rule_version` go into the protocol digest."""

    rule_id: str
    rule_version: int
    params: type[P]
    open: Callable[[C, P, "Setup"], "Engine"]
    features: frozenset[Literal["catch-up", "byzantine"]] = _features("catch-up", "byzantine")


@frozen(kw_only=True)
class ScoringSpec(Spec[NoConfig], Generic[P]):
    """``open(params)`` gives a pure integer rule that draws, judges and pays; genesis chooses it."""

    config: type[NoConfig] = NoConfig
    rule_id: str
    rule_version: int
    params: type[P]
    open: Callable[[P], "ScoringRule"]
    features: frozenset[Literal["targets"]] = _features("targets")


@frozen(kw_only=True)
class LedgerSpec(Spec[C]):
    """``open(config, context)`` gives a blocking store; the core opens, uses and closes it in one thread."""

    open: Callable[[C, LedgerContext], "Ledger"]
    features: frozenset[Literal["durable", "snapshot"]] = _features("durable", "snapshot")


@frozen(kw_only=True)
class EncoderSpec(Spec[C]):
    """``open(config, context)`` gives a blocking encoder; the core runs it in a process of its own."""

    open: Callable[[C, EncoderContext], "Encoder"]
    features: frozenset[Literal["loss", "gradient", "export", "forward"]] = _features(
        "loss", "gradient", "export", "forward"
    )


@frozen(kw_only=True)
class TransportSpec(Spec[C]):
    """``open(config, context)`` gives an async context manager on trio."""

    open: Callable[[C, TransportContext], AbstractAsyncContextManager["Transport"]]
    features: frozenset[Literal["gossip"]] = _features("gossip")


@frozen(kw_only=True)
class TokenizerSpec(Spec[C]):
    """``open(config)`` gives a pure tokenizer; called inline."""

    open: Callable[[C], "Tokenizer"]
    features: frozenset[Literal["records"]] = _features("records")


@frozen(kw_only=True)
class CoderSpec(Spec[C]):
    """``open(config)`` gives a pure coder; called inline."""

    open: Callable[[C], "Coder"]
    features: frozenset[str] = _features()


@frozen(kw_only=True)
class IndexSpec(Spec[C]):
    """``open(config, context)`` gives a blocking index; the core opens, uses and closes it in one thread."""

    open: Callable[[C, Context], "Index"]
    features: frozenset[Literal["durable", "approximate"]] = _features("durable", "approximate")


@frozen(kw_only=True)
class CommandSpec(Spec[NoConfig]):
    """``command-export`` answers ``soma export``; `open` gives the click command."""

    config: type[NoConfig] = NoConfig
    open: Callable[[], "click.Command"]
    features: frozenset[str] = _features()


AnySpec = (
    ConsensusSpec[Any, Any]
    | TransportSpec[Any]
    | LedgerSpec[Any]
    | EncoderSpec[Any]
    | ScoringSpec[Any]
    | TokenizerSpec[Any]
    | CoderSpec[Any]
    | IndexSpec[Any]
    | CommandSpec
)

SPECS: Final[Mapping[str, type[Any]]] = {
    "consensus": ConsensusSpec,
    "transport": TransportSpec,
    "ledger": LedgerSpec,
    "encoder": EncoderSpec,
    "scoring": ScoringSpec,
    "tokenizer": TokenizerSpec,
    "coder": CoderSpec,
    "index": IndexSpec,
    "command": CommandSpec,
}
"""Kind of plugin → the spec its hook returns. A new kind is a line here, a hook, and a Protocol."""


@frozen
class Finding:
    """One line of ``soma doctor``."""

    level: Level
    what: str
    detail: str
    fix: str = ""
