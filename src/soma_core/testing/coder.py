"""What every coder must do. Inherit `CoderSuite` and name the plugin."""

import os
import subprocess
import sys
import tracemalloc
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_core.api import LONGER, MAX_BLOCK, Coder

from .component import Component, component
from .suite import Suite

ONE_LINE: Final = r"\A[^\n]{1,300}\Z"

_FEW: Final = settings(max_examples=40, deadline=None, database=None)
_PACKED: Final = """
import ast, sys
from soma_core.testing.component import component

name, config, block = ast.literal_eval(sys.argv[1])
made = component(name, config)
sys.stdout.write(made.spec.open(made.config).compress(block).hex())
"""


def _blocks() -> st.SearchStrategy[bytes]:
    """Bytes of all kinds: random, of few values, repeated, of text."""
    few = st.lists(st.sampled_from(list(b"ab \n")), max_size=300).map(bytes)
    words = st.lists(st.sampled_from(["def ", "return", "x", " = ", "é", "你好", "\n    ", "1.5", "\x00"]), max_size=60)
    return st.one_of(
        st.binary(max_size=200),
        few,
        words.map(lambda parts: "".join(parts).encode()),
        st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 300)).map(lambda pair: pair[0] * pair[1]),
    )


class CoderSuite(Suite):
    """Inherit, and set `plugin` to the component's name and `config` to its settings."""

    @pytest.fixture
    def chosen(self) -> Component:
        """The component under test."""
        return component(self.plugin, self.config)

    @pytest.fixture
    def coder(self, chosen: Component) -> Coder:
        """An open coder."""
        opened: Coder = chosen.spec.open(chosen.config)
        return opened

    def test_gives_every_block_back(self, coder: Coder) -> None:
        @_FEW
        @given(block=_blocks())
        def check(block: bytes) -> None:
            packed = coder.compress(block)
            assert type(packed) is bytes
            assert len(packed) <= len(block) + LONGER
            again = coder.decompress(packed)
            assert type(again) is bytes
            assert again == block

        check()

    @pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 4095, 9001])
    def test_gives_back_every_length(self, coder: Coder, size: int) -> None:
        for block in (bytes(size), bytes(range(256)) * (size // 256) + bytes(size % 256), Random(size).randbytes(size)):
            packed = coder.compress(block)
            assert len(packed) <= size + LONGER
            assert coder.decompress(packed) == block

    def test_makes_what_repeats_shorter(self, coder: Coder) -> None:
        block = b"\n" * 5000
        assert len(coder.compress(block)) < len(block) // 2

    def test_refuses_a_block_that_is_too_large(self, coder: Coder) -> None:
        with pytest.raises(ValueError, match=ONE_LINE):
            coder.compress(bytes(MAX_BLOCK + 1))

    def test_keeps_nothing_between_calls(self, chosen: Component, coder: Coder) -> None:
        first, second = b"one block of words, and of words\n" * 20, bytes(range(256)) * 3
        packed = coder.compress(first)
        coder.compress(second)
        coder.decompress(coder.compress(second))
        assert coder.compress(first) == packed
        assert chosen.spec.open(chosen.config).compress(first) == packed
        assert chosen.spec.open(chosen.config).decompress(packed) == first

    def test_packs_alike_in_every_process(self, coder: Coder) -> None:
        block = b"def packed(block: bytes) -> bytes:\n    return block\n" * 12 + bytes(range(256))
        argument = repr((self.plugin, dict(self.config), block))
        for seed in ("0", "1"):
            made = subprocess.run(
                [sys.executable, "-c", _PACKED, argument],
                env={**os.environ, "PYTHONHASHSEED": seed},
                check=True,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert bytes.fromhex(made.stdout) == coder.compress(block)

    def test_refuses_what_it_did_not_make(self, coder: Coder) -> None:
        @_FEW
        @given(data=st.binary(max_size=300))
        def check(data: bytes) -> None:
            with pytest.raises(ValueError, match=ONE_LINE):
                coder.decompress(data)

        check()

    def test_refuses_what_is_cut_short_or_changed(self, coder: Coder) -> None:
        @_FEW
        @given(block=_blocks(), where=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)))
        def check(block: bytes, where: tuple[float, float]) -> None:
            packed = coder.compress(block)
            cut, bit = int(where[0] * len(packed)), int(where[1] * 8 * len(packed))
            changed = bytearray(packed)
            changed[bit // 8] ^= 1 << bit % 8
            for broken in (packed[:cut], bytes(changed), packed + b"\0", packed + packed, packed[1:]):
                with pytest.raises(ValueError, match=ONE_LINE):
                    coder.decompress(broken)

        check()

    def test_refuses_before_it_makes_room(self, coder: Coder) -> None:
        """Beginnings of packed blocks with other bytes behind: nothing makes room for what they claim."""
        packed = coder.compress(b"many words, and many more words\n" * 40)
        random = Random(7)
        tracemalloc.start()
        try:
            for keep in range(min(40, len(packed))):
                with pytest.raises(ValueError, match=ONE_LINE):
                    coder.decompress(packed[:keep] + b"\xff" * 12 + random.randbytes(40))
            assert tracemalloc.get_traced_memory()[1] < 1 << 24
        finally:
            tracemalloc.stop()
