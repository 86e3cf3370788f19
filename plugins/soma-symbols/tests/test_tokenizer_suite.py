"""The suite of every tokenizer, for both profiles."""

from types import MappingProxyType

from soma_core.testing import TokenizerSuite


class TestStrict(TokenizerSuite):
    plugin = "tokenizer-soma"


class TestCompat(TokenizerSuite):
    plugin = "tokenizer-soma"
    config = MappingProxyType({"profile": "compat"})
