"""``tokenizer-soma``: bytes cut into tokens, nine ways, each with an identity."""

from typing import Literal

from attrs import frozen

from soma_core.api import HasRecords, TokenizerSpec, hookimpl, option


@frozen
class Config:
    """The operator's settings."""

    profile: Literal["strict", "compat"] = option(
        "strict", "strict: Unicode's rules and learned parts; compat: as an older system does, bit for bit"
    )
    vocabulary: str = option("python", "the bundled vocabulary, or the path of a learned one; for strict")


def from_text(text: str) -> bytes:
    """`text` as a document: U+DC80 to U+DCFF are bytes, as the error handler ``surrogateescape`` has them.

    Raises `ValueError` for another lone surrogate, which is no text and has no UTF-8.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        point = ord(text[error.start])
        raise ValueError(f"the text has a lone surrogate, U+{point:04X}, at position {error.start}") from error


@hookimpl
def soma_tokenizer() -> TokenizerSpec[Config]:
    """Nine streams: spaces, words, characters, grammar, parts of words four ways, bytes."""
    return TokenizerSpec(api=1, config=Config, open=open_tokenizer, features=frozenset({"records"}))


def open_tokenizer(config: Config) -> HasRecords:
    """Read the tables. Raises `ValueError` for a vocabulary that is not there or is damaged."""
    from ._tokenizer import SomaTokenizer

    return SomaTokenizer(config.profile, config.vocabulary)
