"""What implementations are held to: conformance suites, and what tests and simulations are made of.

A suite is a class to inherit; ``plugin`` names the component and ``config`` sets it up::

    from soma_core.testing import LedgerSuite

    class TestMine(LedgerSuite):
        plugin = "ledger-mine"
        known_failures = {"test_big_values_and_long_keys": "keys end at 255 bytes, issue 12"}  # until it is mended

Needs pytest, pytest-trio and hypothesis, which the core does not require. Imported when asked for.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .cases import Case as Case
    from .coder import CoderSuite as CoderSuite
    from .component import Component as Component
    from .consensus import ConsensusSuite as ConsensusSuite
    from .encoder import EncoderSuite as EncoderSuite
    from .identity import KeyIdentity as KeyIdentity
    from .index import IndexSuite as IndexSuite
    from .ledger import LedgerSuite as LedgerSuite
    from .outcome import Outcome as Outcome
    from .run import run_suite as run_suite
    from .scoring import ScoringSuite as ScoringSuite
    from .tokenizer import TokenizerSuite as TokenizerSuite
    from .transformer import TransformerSuite as TransformerSuite
    from .transport import TransportSuite as TransportSuite

_HOMES: Final = {
    "Case": "cases",
    "CoderSuite": "coder",
    "Component": "component",
    "ConsensusSuite": "consensus",
    "EncoderSuite": "encoder",
    "IndexSuite": "index",
    "KeyIdentity": "identity",
    "LedgerSuite": "ledger",
    "Outcome": "outcome",
    "run_suite": "run",
    "ScoringSuite": "scoring",
    "TokenizerSuite": "tokenizer",
    "TransformerSuite": "transformer",
    "TransportSuite": "transport",
}

__all__ = [
    "Case",
    "CoderSuite",
    "Component",
    "ConsensusSuite",
    "EncoderSuite",
    "IndexSuite",
    "KeyIdentity",
    "LedgerSuite",
    "Outcome",
    "ScoringSuite",
    "TokenizerSuite",
    "TransformerSuite",
    "TransportSuite",
    "run_suite",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = f"{__name__}.{_HOMES[name]}"
    if name.endswith("Suite") and home not in sys.modules:
        import pytest

        pytest.register_assert_rewrite(home)  # so that a failed check shows its values
    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return __all__
