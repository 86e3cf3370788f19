"""What encoders are tried on: that it is what it says, and the same every time."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from soma_core.errors import UsageError
from soma_core.quality import Sizes, auc, gather, ngrams, pair_cosines
from soma_core.quality.corpora import digits, documented, functions, held_out, own, pairs

SOURCE = b'''
class Shelf:
    def put(self, book, *, place=None):
        """Put a book where it belongs, or at a place.

        Says where it stands now.
        """
        # the comment stays
        where = place or self.place_of(book)
        self.books[where] = book
        return where

    def empty(self):
        """A docstring that is the whole function has no code."""

    def short(self):
        """Too short."""
        self.books.clear()
        self.places.clear()
        self.owner = None

    def beside(self): "it shares a line with the code behind it"; self.books.clear(); self.places.clear(); return 1

    def silent(self):
        self.books.clear()
        self.places.clear()
        return self.books, self.places

async def fetch(book):
    """Fetch a b\xc3\xb6\xc3\xb6k from where it stands, and wait until it is there."""
    shelf = await find_the_shelf_of(book)
    return await shelf.take(book, patiently=True)
'''


def test_the_docstring_is_taken_out_of_the_code() -> None:
    found = dict(documented(SOURCE))
    assert [text.splitlines()[0].decode()[:12] for text in found] == ["Fetch a böök", "Put a book w"]
    (put,) = [body for text, body in found.items() if text.startswith(b"Put")]
    assert put.startswith(b"    def put(self, book, *, place=None):\n        # the comment stays\n")
    assert put.endswith(b"        return where\n")
    assert b"Says where" not in put
    assert b'"""' not in b"".join(found.values())
    assert list(found)[1] == b"Put a book where it belongs, or at a place.\n\nSays where it stands now."


def test_what_python_cannot_read_has_no_functions() -> None:
    assert list(documented(b"def f(:\n")) == []
    assert list(documented(b"\0")) == []


def test_no_docstring_of_the_library_is_in_its_function() -> None:
    found = functions(60, 1 << 20)
    assert len(found.bodies) == len(found.docstrings) == 60
    assert len(set(found.bodies)) > 55
    for text, body in zip(found.docstrings, found.bodies, strict=True):
        lines = body.decode().expandtabs().splitlines()
        margin = len(lines[0]) - len(lines[0].lstrip())
        node = ast.parse("\n".join(line[margin:] if not line[:margin].strip() else line for line in lines)).body[0]
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        first = text.decode().splitlines()[0]
        assert ast.get_docstring(node) is None or first not in (ast.get_docstring(node) or "")
        assert first not in body.decode()


def test_the_same_functions_come_again_and_more_of_them_after_the_first(tmp_path: Path) -> None:
    names = ("shelf", "other", "tests/shelf", "site-packages/shelf")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_bytes(SOURCE)
    found = functions(10, 1 << 20, tmp_path)
    assert len(found.bodies) == 4
    assert functions(10, 1 << 20, tmp_path) == found
    assert functions(2, 1 << 20, tmp_path).bodies == found.bodies[:2]
    assert max(map(len, functions(10, 40, tmp_path).bodies)) == 40


def test_a_python_without_sources_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sources of the standard library; leave them out: --functions 0"):
        functions(10, 1000, tmp_path)


def test_the_sentences_are_pairs_with_few_words_in_common() -> None:
    found = pairs(1000)
    assert len(found.ones) == len(found.others) == 64
    every = [*found.ones, *found.others]
    assert len(set(every)) == 128
    assert all(16 < len(sentence) < 120 and sentence.isascii() for sentence in every)
    shared = [
        len(words & other) / len(words | other)
        for one, two in zip(found.ones, found.others, strict=True)
        for words, other in [({*one.lower().strip(b".?").split()}, {*two.lower().strip(b".?").split()})]
    ]
    assert max(shared) < 0.5
    assert 0.5 < auc(*pair_cosines(ngrams(found.ones), ngrams(found.others))) < 0.7


def test_digits_are_pictures_of_their_pixels() -> None:
    found = digits(50)
    assert len(found.items) == len(found.labels) == len(found.pixels) == 50
    assert set(found.labels.tolist()) == set(range(10))
    for item, row in zip(found.items, found.pixels, strict=True):
        head, grey = item[:11], np.frombuffer(item[11:], np.uint8)
        assert head == b"P5\n8 8\n255\n"
        assert np.abs(grey / 255 - row / 16).max() < 0.003


def test_without_scikit_learn_the_digits_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UsageError, match=r'soma-core\[report\]", or leave them out: --digits 0'):
        gather(Sizes(items=2, functions=0, pairs=0))
    assert gather(Sizes(items=2, functions=0, pairs=0, digits=0)).digits.items == ()


def test_held_out_items_are_chosen_evenly_and_cut() -> None:
    every, some = held_out(10_000, 1 << 20), held_out(3, 100)
    assert set(some) == set(every) == {"text", "code", "image", "audio"}
    for kind, items in some.items():
        assert items == [every[kind][place][:100] for place in (0, (len(every[kind]) - 1) // 2, -1)]


def test_a_folder_of_ones_own_is_a_kind(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "deep").mkdir(exist_ok=True)
        (tmp_path / "deep" / f"{number}.bin").write_bytes(bytes([number]) * 200)
    for name in ("empty", ".hidden"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"secret")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / ".hidden")
    assert own(tmp_path, 3, 64) == [bytes([number]) * 64 for number in (0, 2, 4)]
    found = gather(Sizes(items=2, functions=0, digits=0, pairs=0), [tmp_path, tmp_path / "deep"])
    assert list(found.kinds) == ["text", "code", "image", "audio", tmp_path.name, "deep"]
    assert found.parts().keys() == {f"kind {name}" for name in found.kinds}


def test_a_folder_with_nothing_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 files that are not empty"):
        own(tmp_path, 3, 64)
    with pytest.raises(UsageError, match="no folder; give --data a folder"):
        own(tmp_path / "none", 3, 64)
