"""What ``soma search`` refuses before it asks a node, and how it shows what was found."""

import io
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from soma_core.api.searching import ONE, PREVIEW, Found, IndexStatus, Near
from soma_core.cli import _finding, main, search
from soma_core.cli._embedding import name_of
from soma_core.cli.status import index_in_words

JOB = bytes.fromhex("0123456789ab") + bytes(26)


def near(**changes: object) -> Near:
    known = {
        "job": JOB,
        "similarity": ONE // 2,
        "blob": b"\xb1" * 32,
        "size": 1234,
        "time": 0,
        "epoch": 7,
        "winner": "text",
        "final": False,
        "held": True,
        "preview": b"Two cats\nsat.",
    }
    return Near(**{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to look for"),
        (["a", "--text", "b"], "FILE and --text to look for"),
        (["--job", "12"], "names no job"),
        (["--job", "zz" * 8], "names no job"),
        (["--job", "00" * 33], "names no job"),
        (["--job", "00" * 8, "--dry-run"], "costs nothing"),
        (["a", "--where", "size"], "is not NAME=VALUE"),
        (["a", "--where", "name=x"], "is no label"),
        (["a", "--where", "size=x"], "no whole number"),
        (["a", "-k", "0"], "not in the range"),
        (["a", "-k", "1001"], "not in the range"),
        (["--text", ""], "is empty"),
        (["--vector", "/nowhere.npy"], "No such file"),
        (["--vector", __file__], "no .npy file"),
    ],
)
def test_bad_questions_are_refused_before_any_node_is_asked(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *arguments, "--data-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert ";" in error
    assert error.count("\n") == 1


def test_without_a_node_it_is_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--text", "cats", "--data-dir", str(tmp_path)]) == 5
    assert "no node runs in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_standard_input_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "INPUT_MOST", 10)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(bytes(11))))
    assert main(["search", "-", "--data-dir", str(tmp_path)]) == 2
    assert "standard input: more than 10 bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "array",
    [np.zeros((100, 100)), np.array(["a"]), np.array([1j]), np.array([None]), np.zeros(0)],
    ids=["too many", "text", "complex", "objects", "nothing"],
)
def test_what_is_no_vector_is_refused(
    tmp_path: Path, array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "v.npy", array)
    assert main(["search", "--vector", str(tmp_path / "v.npy"), "--data-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "is no vector" in error or "no .npy file" in error
    assert error.count("\n") == 1


def test_a_header_that_promises_more_than_there_is_takes_no_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    path = tmp_path / "v.npy"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(64))
    assert main(["search", "--vector", str(path), "--data-dir", str(tmp_path)]) == 2
    assert "no .npy file" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int16])
def test_a_vector_is_sent_as_floats(tmp_path: Path, kind: type) -> None:
    np.save(tmp_path / "v.npy", np.array([[1, -2, 3]], kind))
    assert search._vector(tmp_path / "v.npy") == np.array([1, -2, 3], "<f4").tobytes()


# What was found. ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"Two cats\nsat.", "Two cats"),
        (b"\n\n  \nafter blank lines", "after blank lines"),
        (b"\x1b[31mred\x07", "?[31mred?"),
        (("x" * 94 + "é").encode()[:PREVIEW], "x" * _finding.SHOWN),
        (("y" * 95 + "é").encode()[:PREVIEW], "y" * _finding.SHOWN),
        (("y" * 50 + "\n" + "z" * 44 + "é").encode()[:PREVIEW], "y" * 50),
        (b"\xff\xd8\xff\xe0 JFIF", "ff d8 ff e0 20 4a 46 49 46"),
        ("\u202ereversed".encode(), "?reversed"),
        (b"", ""),
        (b"\n", ""),
    ],
)
def test_the_beginning_of_data_is_one_line_that_a_terminal_only_shows(data: bytes, shown: str) -> None:
    assert _finding.beginning(near(preview=data)) == shown


def test_a_table_names_what_this_client_embedded_and_shows_the_rest(tmp_path: Path) -> None:
    (tmp_path / "0123456789ab.name").write_bytes(b"/data/b\x1bd.txt")
    other = near(job=b"\7" * 32, similarity=-ONE // 4)
    third = near(job=b"\x08" * 32, similarity=0, held=False, preview=b"", winner="")
    found = Found(job=b"", found=(near(), other, third), among=3, behind=0)
    head, *rows = _finding.lines(found, tmp_path)
    assert head.split() == ["cosine", "job", "bytes", "winner", "UTC", "what"]
    assert [row.split() for row in rows] == [
        ["0.500", "0123456789ab", "1,234", "text", "1970-01-01", "00:00:00", "/data/b?d.txt"],
        ["-0.250", "07" * 6, "1,234", "text", "1970-01-01", "00:00:00", "Two", "cats"],
        ["0.000", "08" * 6, "1,234", "1970-01-01", "00:00:00", "blob", "b1" * 6],
    ]
    first, second, _ = _finding.as_json(found, tmp_path)["found"]
    assert (first["name"], first["similarity"], first["receipt"]) == ("/data/b?d.txt", 0.5, None)
    assert (second["name"], second["preview"]) == (None, "Two cats")
    assert _finding.lines(Found(job=b"", found=(), among=0, behind=0), tmp_path) == []
    assert name_of(tmp_path, b"\7" * 32) == ""


def test_the_index_in_words() -> None:
    assert index_in_words(SimpleNamespace(vectors=None)).startswith("none: ")  # type: ignore[arg-type]
    ready = IndexStatus(plugin="index-exact", state="ready", vectors=1234, behind=0)
    assert index_in_words(SimpleNamespace(vectors=ready)) == "index-exact · 1,234 vectors · ready"  # type: ignore[arg-type]
    late = IndexStatus(plugin="index-exact", state="catching up", vectors=5, behind=77)
    assert index_in_words(SimpleNamespace(vectors=late)).endswith("catching up · 77 commits behind")  # type: ignore[arg-type]
