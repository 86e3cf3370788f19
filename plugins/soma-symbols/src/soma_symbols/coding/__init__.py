"""``coder-soma``: lossless compression by methods of our own. Chapter ``specs/82-compression.md``."""

from typing import Literal

from attrs import frozen

from soma_core.api import Coder, CoderSpec, hookimpl, option

__all__ = ["CoderConfig", "open_coder", "soma_coder"]


@frozen
class CoderConfig:
    """Settings of ``[coder.soma]``: how to pack. What was packed by any of them unpacks under all."""

    method: Literal["adaptive", "rle", "pattern", "frequency"] = option("adaptive", "how blocks are packed")


@hookimpl
def soma_coder() -> CoderSpec[CoderConfig]:
    """``coder-soma``: context mixing, or one of the older methods over tokens."""
    return CoderSpec(api=1, config=CoderConfig, open=open_coder)


def open_coder(config: CoderConfig) -> Coder:
    """The coder. Raises `ValueError` for a stream that there is not."""
    from ._methods import coder

    return coder(config.method)
