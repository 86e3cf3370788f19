"""What a worker prints: lines of the node's log under the plugin's name, bounded in length and in rate."""

import logging

from worker_world import encode_one, opened

from soma_core.node._child_log import LINE_MAX, LINES_MAX, Lines


async def test_prints_and_stray_bytes_go_to_the_log_under_the_plugins_name(fake, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    async with opened(fake, tmp_path) as worker:
        for item in (b"prints", b"logs", b"reads"):
            assert (await encode_one(worker, item)).tolist() == [item[0]] * 4
    said = [(r.name, r.getMessage()) for r in caplog.records]
    for text in ("printed at import", "a stray print", "\\x00\\x00\\x00\\x01 straight to one"):
        assert ("soma.encoder-fake", text) in said
    assert ("soma.encoder-fake", "WARNING a word from the encoder") in said


async def test_floods_are_bounded(fake, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    async with opened(fake, tmp_path) as worker:
        assert (await encode_one(worker, b"floods")).tolist() == [ord("f")] * 4
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4
    mine = [r.getMessage() for r in caplog.records if r.name == "soma.encoder-fake"]
    assert len(mine) <= LINES_MAX + 3
    assert max(map(len, mine)) <= LINE_MAX
    assert any("more lines were dropped" in line for line in mine)


def test_lines_survive_every_cut():
    stream = b"one\ntwo\r\n\n" + b"x" * 5000 + b"\nfour \x1b[31m\xff\tend"
    for size in (1, 3, 100, 4096, 10000):
        lines, found = Lines(0.0), []
        for start in range(0, len(stream), size):
            found += lines.feed(stream[start : start + size], 0.0)
        found += lines.end()
        assert found == ["one", "two", "", "x" * LINE_MAX, "four \\x1b[31m\\xff\tend"]


def test_lines_have_a_rate():
    lines = Lines(0.0)
    assert len(lines.feed(b"a\n" * 1000, 1.0)) == LINES_MAX
    assert lines.flooding
    assert lines.feed(b"b\n", 11.0) == ["… 800 more lines were dropped", "b"]
    assert not lines.flooding
    assert lines.end() == []
