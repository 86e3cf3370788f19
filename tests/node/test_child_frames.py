"""Frames between the node and its children: every cut, bounds, garbage; and the numbers of their chapter."""

import re

import pytest
from constants import SPECS, constants
from hypothesis import given
from hypothesis import strategies as st

from soma_core import keystore
from soma_core.errors import DecodeError
from soma_core.node import _answers, _child_log, _confinement, _frames, encoding, signing, worker
from soma_core.node import signer as child
from soma_core.node._frames import Splitter, frame


def test_frames_survive_every_cut():
    values = [[1, b"x" * 300], {"a": None}, "text", 0]
    stream = b"".join(frame(value) for value in values)
    for size in (1, 2, 3, 5, 7, 64, len(stream)):
        splitter, found = Splitter(), []
        for start in range(0, len(stream), size):
            found += splitter.feed(stream[start : start + size])
        assert found == values


def test_frames_have_a_bound():
    with pytest.raises(DecodeError, match="a frame of 70005 bytes, not 1 to 65536"):
        frame(bytes(70000))


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_no_bytes_break_the_splitter(pieces):
    splitter = Splitter()
    for piece in pieces:
        try:
            splitter.feed(piece)
        except DecodeError:
            break
    assert len(splitter._rest) <= sum(map(len, pieces))


def test_an_unfinished_frame_is_all_that_is_kept():
    splitter = Splitter()
    whole = frame(bytes(60_000))
    for _ in range(20):
        assert splitter.feed(whole + whole[:-1]) == [bytes(60_000)]
        assert len(splitter._rest) == len(whole) - 1
        assert splitter.feed(whole[-1:]) == [bytes(60_000)]
        assert len(splitter._rest) == 0


def test_the_chapters_numbers_are_the_programs():
    modules = (keystore, _frames, child, signing, worker, _answers, encoding, _confinement, _child_log)
    for name, value in constants("05-keys-and-processes.md").items():
        assert {getattr(module, name) for module in modules if hasattr(module, name)} == {value}, name
    said = (SPECS / "05-keys-and-processes.md").read_text("utf-8")
    rows = re.findall(r"^\| (.*) \| (`soma/.*)\|$", said, re.MULTILINE)
    domains = {role: re.findall(r"`(soma/\w+)`", row) for role, row in rows}
    everyone = set(domains.pop("every role"))
    assert {re.findall(r"\w+", role)[0]: {*found} | everyone for role, found in domains.items()} == child.DOMAINS_OF
