"""``soma tokenize``: what it prints is the file again, in the form that was promised, whatever the file holds."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import vectors

from soma_core.cli import main

STREAMS = [
    *("space", "word", "char", "grammar", "subword", "subword_bpe", "subword_syllable", "subword_frequency", "byte")
]
ODD = "Hello, wörld! 你好\r\n👩‍🚀 naïve".encode() + b"\xff\xe2\x82 end \xed\xa0\x80" + bytes(range(256))


def soma(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["tokenize", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def bytes_of(rows: list[dict[str, Any]], stream: str) -> bytes:
    if stream == "byte":
        return bytes(int(row["text"]) for row in rows)
    return b"".join(row["text"].encode("utf-8", "surrogateescape") for row in rows)


@pytest.mark.parametrize("profile", ["strict", "compat"])
def test_all_streams_are_the_file_again(profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "odd"
    file.write_bytes(ODD * 30)
    told = soma(capsys, "--profile", profile, str(file))
    assert list(told) == ["streams"]
    assert list(told["streams"]) == STREAMS
    text = (ODD * 30).decode("utf-8", "surrogateescape")
    for stream, rows in told["streams"].items():
        assert bytes_of(rows, stream) == ODD * 30
        assert all(list(row) == ["text", "index"] for row in rows)
        if stream in {"space", "word", "char", "grammar", "subword", "subword_syllable"}:
            assert all(text.startswith(row["text"], row["index"]) for row in rows)
    places = [place for place, letter in enumerate(text) for _ in letter.encode("utf-8", "surrogateescape")]
    assert [row["index"] for row in told["streams"]["byte"]] == places


def test_compat_prints_what_the_older_system_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = vectors.load("tokens.json")
    for case in known["streams"]:
        (tmp_path / "text").write_text(case["text"], "utf-8")
        told = soma(capsys, "--profile", "compat", str(tmp_path / "text"))
        for stream, expected in case["streams"].items():
            assert [row["text"] for row in told["streams"][stream]] == expected
    for case in known["records"]:
        (tmp_path / "text").write_text(case["text"], "utf-8")
        seed = ("--records", "--seed", str(case["seed"]))
        told = soma(capsys, "--profile", "compat", "--stream", case["stream"], *seed, str(tmp_path / "text"))
        assert list(told) == ["streams", "records"]
        for row, expected in zip(told["records"][case["stream"]], case["rows"], strict=True):
            assert list(row) == ["text", "uid", "content_id", "global_id"]
            assert {key: str(expected[key]) for key in row if key in expected}.items() <= row.items()


def test_records_of_one_session_over_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"same words {name}")
    files = (str(tmp_path / "one"), str(tmp_path / "two"))
    told = soma(capsys, "--records", "--seed", "7", "--stream", "word", *files)
    assert [document["file"] for document in told["documents"]] == list(files)
    one, two = (list(document["records"]["word"]) for document in told["documents"])
    assert [row["content_id"] for row in one[:4]] == [row["content_id"] for row in two[:4]]
    for name in ("uid", "global_id"):
        assert not {row[name] for row in one} & {row[name] for row in two}
    (tmp_path / "three").write_text("same words one")
    again = soma(capsys, "--records", "--seed", "7", "--stream", "word", str(tmp_path / "three"))
    assert again["records"]["word"] == one, "the name of a file is no part of its identity"
    other = soma(capsys, "--records", "--seed", "8", "--stream", "word", str(tmp_path / "three"))
    assert not {row["uid"] for row in other["records"]["word"]} & {row["uid"] for row in one}


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a b")))
    told = soma(capsys, "--stream", "word", "-")
    assert told == {"streams": {"word": [{"text": t, "index": i} for i, t in enumerate("a b")]}}


def test_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").touch()
    told = soma(capsys, "--records", str(tmp_path / "empty"))
    assert told == {part: {stream: [] for stream in STREAMS} for part in ("streams", "records")}
    assert main(["tokenize", str(tmp_path / "empty")]) == 0


def test_a_pipe_is_read_once_and_given_nine_times(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream:
        stream.write(b"one two")
    code = "import sys; from soma_core.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "tokenize", "--json", f"/dev/fd/{reading}"],
        pass_fds=(reading,),
        capture_output=True,
        check=True,
        timeout=60,
    )
    os.close(reading)
    assert len(json.loads(done.stdout)["streams"]) == 9
    assert done.stderr == b""


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("Hello, wörld 2x")
    assert main(["tokenize", "--records", str(tmp_path / "text")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:11]] == STREAMS
    assert '"Hello" "," " "' in lines[3]
    assert "word 3, space 2, other 1" in lines[3]
    assert any(line.split()[:2] == ["word", '"Hello"'] for line in lines[12:])


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("nowhere",), 2, "nowhere: cannot be read"),
        (("--stream", "lines", __file__), 2, "has no stream 'lines'; there are space, word"),
        (("--profile", "loose", __file__), 4, "profile"),
        (("-", "-"), 2, "standard input is named twice"),
        (("--plugin", "encoder-numpy", __file__), 2, "encoder-numpy is no tokenizer"),
        (("--seed", "-1", __file__), 2, "-1"),
        (("--set", "tokenizer.soma.vocabulary=nowhere", __file__), 4, "vocabulary 'nowhere' cannot be read"),
    ],
)
def test_what_cannot_be(arguments: tuple[str, ...], status: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenize", *arguments]) == status
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""
