"""What every tokenizer must do. Inherit `TokenizerSuite` and name the plugin."""

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soma_core.api import Document, Records, Tokenizer

from .component import Component, component
from .encoder import HEAVY
from .suite import Suite

SAMPLES: Final[Sequence[bytes]] = (
    b"Hello, world!  The singing-thing 2x\r\n",
    b"a",
    b"\x00",
    bytes(range(256)),
    "où est le café? naïve 你好 世界 カタカナ".encode(),
    "👩‍🚀🇫🇷🇩🇪 e\u0301\u0302 ក្រុម \u200d\u0600x".encode(),
    b"\xf0\x9f\x91 cut \xe2\x82 short \xed\xa0\x80",
    b"def f(x_1):\n\treturn x_1 ** 2.5 if x_1 else 'don\\'t'\n" * 60,
    b"x" * 30_000,
    b" " * 30_000,
    b"e" + "\u0301".encode() * 9_000,
)
"""Documents any tokenizer takes: text of several scripts, binary, cut code points, long runs."""

# Two components that inherit a test are two executors of it; each derives its examples anew.
_SOME = settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.differing_executors])
_PARTS: Final = st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass"))
_DOCUMENTS: Final = st.lists(_PARTS | st.sampled_from(SAMPLES[:7]), max_size=6)
_SHORT_ONE: Final = 300_000
_LONG_ONE: Final = 1_800_000
"""Bytes of two documents: cutting the long one holds hardly more than cutting the short one."""


class TokenizerSuite(Suite):
    """Inherit, and set `plugin` to the component's name and `config` to its settings."""

    capabilities = frozenset({"records"})
    samples: ClassVar[Sequence[bytes]] = SAMPLES

    @pytest.fixture(scope="class")
    @classmethod
    def chosen(cls) -> Component:
        """The component under test."""
        return component(cls.plugin, cls.config)

    @pytest.fixture(scope="class")
    @classmethod
    def tokenizer(cls, chosen: Component) -> Any:
        """An open tokenizer."""
        return chosen.spec.open(chosen.config)

    @pytest.fixture(scope="class")
    @classmethod
    def identifying(cls, chosen: Component, tokenizer: Any) -> Any:
        """The tokenizer, if it declares feature ``records``."""
        if "records" not in chosen.spec.features:
            pytest.skip("gives no records")
        return tokenizer

    def test_module_imports_nothing_heavy(self, chosen: Component) -> None:
        found = f"sorted({set(HEAVY)!r} & (sys.modules.keys() - before))"
        code = (
            f"import json, sys; before = {{*sys.modules}}; import {chosen.module.__name__}; print(json.dumps({found}))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        heavy = json.loads(done.stdout)
        assert heavy == [], f"import {', '.join(heavy)} inside open"

    def test_streams_have_names_and_kinds(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.streams
        for stream, kinds in tokenizer.streams.items():
            assert stream
            assert stream.isidentifier(), "a stream's name is a key of objects and an argument of commands"
            assert 1 <= len(kinds) <= 256
            assert len(set(kinds)) == len(kinds)

    def test_a_stream_that_there_is_not(self, tokenizer: Tokenizer) -> None:
        with pytest.raises(ValueError, match="nowhere"):
            list(tokenizer.tokenize("nowhere", [b"x"]))

    def test_nothing_has_no_token(self, tokenizer: Tokenizer) -> None:
        for stream in tokenizer.streams:
            for pieces in ([], [b""], [b"", b""]):
                assert sum(map(len, tokenizer.tokenize(stream, pieces))) == 0

    def test_samples_are_cut_without_gap_or_rest(self, tokenizer: Tokenizer) -> None:
        for sample in self.samples:
            for stream in tokenizer.streams:
                _check(tokenizer, stream, [sample])

    @_SOME
    @given(pieces=_DOCUMENTS)
    def test_tokens_are_the_document_again(self, tokenizer: Tokenizer, pieces: list[bytes]) -> None:
        for stream in tokenizer.streams:
            _check(tokenizer, stream, pieces)

    @_SOME
    @given(pieces=_DOCUMENTS)
    def test_where_pieces_end_changes_nothing(self, tokenizer: Tokenizer, pieces: list[bytes]) -> None:
        whole = b"".join(pieces)
        for stream in tokenizer.streams:
            expected = _check(tokenizer, stream, [whole])
            assert _check(tokenizer, stream, pieces) == expected
            assert _check(tokenizer, stream, [whole[at : at + 1] for at in range(len(whole))]) == expected

    def test_where_pieces_of_long_documents_end_changes_nothing(self, tokenizer: Tokenizer) -> None:
        whole = b"".join(self.samples) * 3
        for stream in tokenizer.streams:
            expected = _check(tokenizer, stream, [whole])
            for size in (977, 65_536, 65_537):
                assert (
                    _check(tokenizer, stream, [whole[at : at + size] for at in range(0, len(whole), size)]) == expected
                )

    def test_calls_share_nothing(self, tokenizer: Tokenizer) -> None:
        for stream in tokenizer.streams:
            first = iter(tokenizer.tokenize(stream, [self.samples[0] * 5000]))
            next(first)
            assert _check(tokenizer, stream, [self.samples[4]]) == _check(tokenizer, stream, [self.samples[4]])
            assert sum(map(len, first)) >= 0

    def test_a_long_document_is_never_held_whole(self, tokenizer: Tokenizer) -> None:
        for stream in tokenizer.streams:
            _most_held(tokenizer, stream, _SHORT_ONE)  # what is read or kept once
            short, long = (_most_held(tokenizer, stream, size) for size in (_SHORT_ONE, _LONG_ONE))
            assert long - short < (_LONG_ONE - _SHORT_ONE) / 2

    def test_records_as_declared(self, chosen: Component, tokenizer: Any) -> None:
        declared = "records" in chosen.spec.features
        assert hasattr(tokenizer, "records") == declared, f"feature `records` declared: {declared}"

    @_SOME
    @given(pieces=_DOCUMENTS, session=st.binary(min_size=8, max_size=8))
    def test_records_are_beside_the_tokens(self, identifying: Any, pieces: list[bytes], session: bytes) -> None:
        import numpy as np

        document = Document.of(session, pieces)
        for stream in identifying.streams:
            tokens = list(identifying.tokenize(stream, pieces))
            found: list[Records] = list(identifying.records(stream, pieces, document))
            assert _columns([one.tokens for one in found]) == _columns(tokens)
            if not found:
                continue
            uids = np.concatenate([one.uids for one in found])
            assert uids.dtype == np.uint64
            assert len(np.unique(uids)) == len(uids)
            assert np.concatenate([one.previous for one in found]).tolist() == [0, *uids[:-1].tolist()]
            assert np.concatenate([one.following for one in found]).tolist() == [*uids[1:].tolist(), 0]
            for one in found:
                assert one.contents.shape == one.globals.shape == (len(one.tokens), 2)
                assert one.contents.dtype == one.globals.dtype == one.shorts.dtype == np.uint64
                assert one.shorts.shape == (len(one.tokens),)

    def test_equal_bytes_have_equal_contents_everywhere(self, identifying: Any) -> None:
        whole = b"".join(self.samples[:8])
        for stream in identifying.streams:
            known: dict[bytes, tuple[int, ...]] = {}
            for session in (bytes(8), b"12345678"):
                for one in identifying.records(stream, [whole], Document.of(session, [whole])):
                    bounds = one.tokens.bounds.tolist()
                    for place, content in enumerate(map(tuple, one.contents.tolist())):
                        token = whole[bounds[place] : bounds[place + 1]]
                        assert known.setdefault(token, content) == content

    def test_where_pieces_end_changes_no_record(self, identifying: Any) -> None:
        whole = self.samples[7] * 40 + self.samples[3] * 200
        document = Document.of(b"12345678", [whole])
        cut = [whole[at : at + 997] for at in range(0, len(whole), 997)]
        for stream in identifying.streams:
            one, other = (_identities(identifying.records(stream, given, document)) for given in ([whole], cut))
            assert one == other


def _check(tokenizer: Tokenizer, stream: str, pieces: Iterable[bytes]) -> tuple[bytes, bytes]:
    """Bounds and kinds of all tokens, as bytes, after everything is checked that holds for any document."""
    import numpy as np

    pieces = list(pieces)
    end, bounds, kinds = 0, [np.zeros(1, np.int64)], []
    for tokens in tokenizer.tokenize(stream, pieces):
        assert tokens.bounds.dtype == np.int64
        assert tokens.kinds.dtype == np.uint8
        assert tokens.bounds.shape == (len(tokens) + 1,)
        assert int(tokens.bounds[0]) == end, "each result begins where the one before ended"
        assert (np.diff(tokens.bounds) > 0).all(), "bounds ascend"
        assert (tokens.kinds < len(tokenizer.streams[stream])).all()
        end = int(tokens.bounds[-1])
        bounds.append(tokens.bounds[1:])
        kinds.append(tokens.kinds)
    assert end == sum(map(len, pieces)), "tokens end where the document does"
    return np.concatenate(bounds).tobytes(), b"".join(kind.tobytes() for kind in kinds)


def _most_held(tokenizer: Tokenizer, stream: str, size: int) -> int:
    """Bytes that are held at once, at most, while a document of `size` bytes is cut that nobody holds."""
    pieces = ((b"%d words of a long document, " % place * 400)[:10_000] for place in range(size // 10_000))
    tracemalloc.start()
    try:
        for _ in tokenizer.tokenize(stream, pieces):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _columns(tokens: Iterable[Any]) -> tuple[list[int], list[int]]:
    held = list(tokens)
    return [bound for one in held for bound in one.bounds[1:].tolist()], [k for one in held for k in one.kinds.tolist()]


def _identities(found: Iterable[Records]) -> list[bytes]:
    names = ("uids", "previous", "following", "contents", "shorts", "globals")
    held = list(found)
    return [b"".join(getattr(one, name).tobytes() for one in held) for name in names]
