"""``soma index``: a folder of vectors, from the command line."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soma_core.cli import main
from soma_core.cli._vectors_in import id_of, text_of


class Folder:
    """A folder in which commands run, and what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def run(self, *words: str, stdin: bytes = b"", status: int = 0) -> str:
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        ended = main(["index", *words])
        told = self._capsys.readouterr()
        self.talk = told.err
        assert ended == status, told.err
        return told.out if status == 0 else told.err

    def json(self, *words: str, stdin: bytes = b"") -> Any:
        return json.loads(self.run(*words, "--json", stdin=stdin))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOMA_DATA_DIR", str(tmp_path / "data"))
    return Folder(capsys, monkeypatch)


def saved(name: str, rows: Any) -> str:
    np.save(name, np.asarray(rows))
    return name


def test_array_is_added_found_and_removed(folder: Folder) -> None:
    vectors = np.random.default_rng(1).standard_normal((5000, 8))
    saved("v.npy", vectors)
    assert folder.json("add", "--dir", "a", "v.npy") == {
        "folder": "a",
        "plugin": "index-exact",
        "added": 5000,
        "vectors": 5000,
    }
    assert folder.talk.splitlines() == ["4,096 of 5,000 vectors added", "5,000 of 5,000 vectors added"]
    saved("q.npy", vectors[[4711, 3]].astype(np.float32))
    answers = folder.json("search", "--dir", "a", "q.npy", "-k", "2")["answers"]
    assert [hits[0]["id"] for hits in answers] == ["4711", "3"]
    assert [len(hits) for hits in answers] == [2, 2]
    assert folder.json("remove", "--dir", "a", "4711", "nobody")["removed"] == 1
    assert folder.json("search", "--dir", "a", "q.npy", "-k", "1")["answers"][0][0]["id"] != "4711"
    told = folder.json("info", "--dir", "a")
    assert (told["count"], told["dim"], told["recall"], told["features"]) == (4999, 8, 1.0, ["durable"])
    assert told["bytes"] > 4 * 8 * 5000


def test_ids_and_labels_come_from_files(folder: Folder) -> None:
    saved("v.npy", np.eye(3))
    Path("ids").write_bytes(b"first\nhex:00ff\n\xc3\xa9\r\n")
    Path("labels").write_text('{"kind": "a", "n": 1}\n\n{"kind": "7", "n": 2}\n')
    folder.run("add", "--dir", "a", "v.npy", "--ids", "ids", "--labels", "labels")
    line = b"[1, 0.5, 0.2]"
    assert folder.run("search", "--dir", "a", stdin=line).splitlines() == [
        "+0.8805   first      kind=a  n=1",
        "+0.4402   hex:00ff",
        "+0.1761   é          kind=7  n=2",
    ]
    for where, found in (("kind=a", ["first"]), ('kind="7"', ["é"]), ("kind=7", []), ("n=2", ["é"]), ("n=x", [])):
        hits = folder.json("search", "--dir", "a", "--where", where, stdin=line)["answers"][0]
        assert [hit["id"] for hit in hits] == found, where
    Path("gone").write_text("hex:00ff\né\n")
    assert folder.json("remove", "--dir", "a", "--ids", "gone")["vectors"] == 1


def test_lines_of_json_go_in_and_queries_too(folder: Folder) -> None:
    lines = b'{"id": "x", "vector": [1, 0], "labels": {"n": 1}}\n\n{"id": "y", "vector": [0, 2.5]}\n'
    assert folder.json("add", "--dir", "a", stdin=lines)["vectors"] == 2
    assert folder.json("add", "--dir", "a", "-", stdin=b'{"id": "x", "vector": [1, 1]}')["vectors"] == 2
    asked = b'{"vector": [0, 1]}\n[1, 0]\n'
    assert folder.run("search", "--dir", "a", "-k", "1", stdin=asked).splitlines() == [
        "query 0",
        "+1.0000   y",
        "query 1",
        "+0.7071   x",
    ]
    assert folder.run("search", "--dir", "a", "--where", "n=1", stdin=b"[1, 0]") == "nothing\n"
    assert folder.run("search", "--dir", "a") == ""


def test_folder_remembers_its_plugin_and_list_shows_it(folder: Folder) -> None:
    folder.run("add", "--dir", "some/a", stdin=b'{"id": "x", "vector": [1, 0]}')
    assert "one of index-exact" in folder.run("add", "--dir", "some/a", "--plugin", "index-x", status=2)
    Path("some/other").mkdir()
    (found,) = folder.json("list", "--dir", "some")
    assert (found["folder"], found["plugin"]) == ("some/a", "index-exact")
    assert "index-exact" in folder.run("list", "--dir", "some/a")
    assert folder.run("list", "--dir", "some/other") == ""
    Path("some/a/index.json").write_text('{"plugin": "index-nobodys"}')
    assert "no such plugin" in folder.run("info", "--dir", "some/a", status=3)
    Path("some/a/index.json").write_text("[")
    assert "does not say which plugin" in folder.run("info", "--dir", "some/a", status=1)


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (["search", "--dir", "none"], b"", "none: there is no index"),
        (["info", "--dir", "none"], b"", "none: there is no index"),
        (["remove", "--dir", "none", "x"], b"", "none: there is no index"),
        (["remove", "--dir", "a"], b"", "which ids"),
        (["remove", "--dir", "a", "hex:0"], b"", "no hexadecimal id"),
        (["list", "--dir", "none"], b"", "no folder"),
        (["add", "--dir", "full"], b"", "neither an index nor empty"),
        (["add", "--dir", "a", "none.npy"], b"", "none.npy: No such file"),
        (["add", "--dir", "a", "text.npy"], b"", "no .npy file"),
        (["add", "--dir", "a", "flat.npy"], b"", "float64 [3] are no vectors"),
        (["add", "--dir", "a", "words.npy"], b"", "are no vectors"),
        (["add", "--dir", "a", "wide.npy", "--ids", "one"], b"", "row 0 on: a vector has 4 components"),
        (["add", "--dir", "a", "eye.npy"], b"", "numbers of rows would replace"),
        (["add", "--dir", "b", "eye.npy", "--ids", "one"], b"", "fewer lines than eye.npy has vectors"),
        (["add", "--dir", "b", "eye.npy", "--labels", "text.npy"], b"", "is not JSON"),
        (["add", "--dir", "a", "--ids", "one"], b"", "go with an .npy file"),
        (["add", "--dir", "a"], b"{", "line 1 is not JSON"),
        (["add", "--dir", "a"], b'\n{"id": "q", "vector": [1, 2, 3]}\n[]', "line 3 is no JSON object"),
        (["add", "--dir", "a"], b'{"vector": [1, 2, 3]}', "line 1 has no id"),
        (["add", "--dir", "a"], b'{"id": "q"}', "line 1 on"),
        (["add", "--dir", "a"], b'{"id": "q", "vector": [1, "x", 3]}', "lists of equally many numbers"),
        (["add", "--dir", "a"], b'{"id": "q", "vector": [1, 2]}\n{"id": "r", "vector": [1]}', "equally many"),
        (["add", "--dir", "a"], b'{"id": "q", "vector": [1, 2]}', "has 2 components, and those of this index have 3"),
        (["add", "--dir", "a"], b'{"id": "q", "vector": [0, 0, 0]}', "vector 0 is zero"),
        (["add", "--dir", "a"], b'{"id": "q", "vector": [1e300, 0, 0]}', "vector 0 is not finite"),
        (["add", "--dir", "a"], b'{"id": "", "vector": [1, 0, 0]}', "is not 1 to 64 bytes"),
        (["add", "--dir", "a"], b'{"id": "q", "vector": [1, 0, 0], "labels": {"A": 1}}', "is no name"),
        (["add", "--dir", "a"], b'{"id": "q", "vector": [1, 0, 0], "labels": [1]}', "names with values"),
        (["add", "--dir", "a"], b'{"id": "q", "vector": ' + b"[" * 100_000, "is not JSON"),
        (["add", "--dir", "a"], b" " * (1 << 20) + b"{}", "a line of more than"),
        (["search", "--dir", "a"], b"[1, 2]", "a query has 2 components"),
        (["search", "--dir", "a"], b"[0, 0, 0]", "query 0 is zero"),
        (["search", "--dir", "a", "--where", "kind"], b"", "is not NAME=VALUE"),
        (["search", "--dir", "a", "--where", "Kind=1"], b"[1, 2, 3]", "is no name"),
        (["search", "--dir", "a", "flat.npy"], b"", "are no vectors"),
        (["info", "--dir", "a", "--set", "index.exact.speed=9"], b"", "no such setting"),
        (["add", "--dir", "c", "--plugin", "ledger-memory"], b"", "not a plugin of kind index"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    folder: Folder, words: list[str], stdin: bytes, said: str
) -> None:
    saved("eye.npy", np.eye(3))
    saved("flat.npy", np.ones(3))
    saved("wide.npy", np.ones((1, 4)))
    saved("words.npy", np.array([["a"]]))
    Path("text.npy").write_text("these are my holiday notes\n" * 3)
    Path("one").write_text("one\n")
    Path("full").mkdir()
    Path("full/notes").write_text("mine")
    folder.run("add", "--dir", "a", stdin=b'{"id": "x", "vector": [1, 0, 0]}')
    before = Path("a/index-exact/vectors.log").read_bytes()
    ended = {"no such setting": 4, "not a plugin of kind index": 3}.get(said, 2)
    told = folder.run(*words, stdin=stdin, status=ended)
    assert said in told
    assert told.count("\n") == 1
    assert Path("a/index-exact/vectors.log").read_bytes() == before


def test_damaged_index_is_refused_and_left_alone(folder: Folder) -> None:
    folder.run("add", "--dir", "a", stdin=b'{"id": "x", "vector": [1, 0]}')
    folder.run("add", "--dir", "a", stdin=b'{"id": "y", "vector": [1, 0]}')
    file = Path("a/index-exact/vectors.log")
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    told = folder.run("search", "--dir", "a", stdin=b"[1, 0]", status=1)
    assert "vectors.log: damaged at byte 16; restore a copy" in told
    assert file.read_bytes() == data


def test_index_that_is_open_elsewhere_is_named(folder: Folder) -> None:
    from soma_core.vectors import OneOpening

    folder.run("add", "--dir", "a", stdin=b'{"id": "x", "vector": [1, 0]}')
    held = OneOpening(Path("a/index-exact"))
    assert "already open" in folder.run("info", "--dir", "a", status=1)
    held.release()
    folder.run("info", "--dir", "a")


def test_what_was_before_a_bad_line_is_kept_and_said(folder: Folder) -> None:
    lines = b"".join(b'{"id": "%d", "vector": [1, %d]}\n' % (n, n) for n in range(4096))
    told = folder.run("add", "--dir", "a", stdin=lines + b'{"id": "q", "vector": [0, 0]}', status=2)
    assert "from line 4097 on: vector 0 is zero; the 4,096 before were added" in told
    assert folder.json("info", "--dir", "a")["count"] == 4096


@pytest.mark.parametrize("id_", [b"a", "é".encode(), b"\xff", b"a\nb", b"hex:", b"hex:41", b"\x00", b" "])
def test_every_id_has_a_text_of_its_own(id_: bytes) -> None:
    assert id_of(text_of(id_)) == id_
    assert text_of(id_).isprintable()
