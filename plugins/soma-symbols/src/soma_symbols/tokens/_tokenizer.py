"""The tokenizer: a profile's streams, and identities for them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from soma_core.api import Document, Records, Tokens

from ._blocks import Cutter, cut
from ._compat import compat_cutters
from ._identities import (
    CompatIdentifier,
    Identifier,
    StrictIdentifier,
    compat_byte_contents,
    compat_contents,
    records,
    strict_contents,
)
from ._strict import strict_cutters
from ._vocabulary import read_vocabulary

SEED_SIZE: Final = 8
"""Bytes of a session in profile ``compat``: the seed, little-endian."""


class SomaTokenizer:
    """Implements `soma_core.api.HasRecords`. Threads may share it."""

    def __init__(self, profile: str, vocabulary: str) -> None:
        self._compat = profile == "compat"
        self._cutters: Mapping[str, Cutter] = (
            compat_cutters() if self._compat else strict_cutters(read_vocabulary(vocabulary))
        )
        self.streams: Mapping[str, tuple[str, ...]] = {name: one.names for name, one in self._cutters.items()}
        self._contents = compat_contents() if self._compat else strict_contents()
        self._bytes = compat_byte_contents() if self._compat else self._contents

    def tokenize(self, stream: str, pieces: Iterable[bytes], /) -> Iterator[Tokens]:
        """As `soma_core.api.Tokenizer.tokenize`."""
        cuts = cut(self._cutter(stream), pieces)
        return (Tokens(one.bounds + one.begun, one.kinds) for one in cuts)

    def records(self, stream: str, pieces: Iterable[bytes], document: Document, /) -> Iterator[Records]:
        """As `soma_core.api.HasRecords.records`. A session of profile ``compat`` is a seed: 8 bytes, little-endian."""
        cutter = self._cutter(stream)
        identifier: Identifier
        contents = self._bytes if stream == "byte" else self._contents
        if self._compat:
            if len(document.session) != SEED_SIZE:
                raise ValueError(
                    f"a session of profile compat is a seed of {SEED_SIZE} bytes, not {len(document.session)}"
                )
            identifier = CompatIdentifier(contents, stream, int.from_bytes(document.session, "little"))
        else:
            identifier = StrictIdentifier(contents, stream, document)
        return records(identifier, cut(cutter, pieces))

    def _cutter(self, stream: str) -> Cutter:
        if stream not in self._cutters:
            raise ValueError(f"there is no stream {stream!r}; there are {', '.join(self._cutters)}")
        return self._cutters[stream]
