"""What is learned, and the encoders of it: token for token those of the Rust library."""

import io
import json
import random
import zipfile
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram

import soma_symbols.tokens
from soma_symbols.tokens import Config, from_text, open_tokenizer
from soma_symbols.tokens._counts import CountEncoder
from soma_symbols.tokens._distinct import LONG, Distinct
from soma_symbols.tokens._pairs import TOGETHER, PairEncoder
from soma_symbols.tokens._vocabulary import MAX_FILE, SCALE
from soma_symbols.tokens.learning import Vocabulary, learn_vocabulary, read_vocabulary, words, write_vocabulary

TEXT: Final = b"".join(
    path.read_bytes() for path in sorted((Path(__file__).resolve().parents[1] / "src").rglob("*.py"))
)
ODD: Final = "Grüße, 你好世界, Καλημέρα κόσμε, привет мир, l'été, snake_case_names, x1y2z3 " * 3


@cache
def bundled() -> Vocabulary:
    return read_vocabulary("python")


@cache
def given() -> list[bytes]:
    """Words of our own sources, of other scripts, and of letters that were drawn."""
    choice = random.Random(1)
    merged = symbols(bundled())[256:]
    found = [word.encode("latin-1") for word in dict.fromkeys(words([TEXT, ODD.encode()]))]
    found += [
        bytes(choice.choices(b"etaoinshr\xc3\xa9\xe4\xb8\xad_aaa", k=choice.randrange(1, 65))) for _ in range(500)
    ]
    found += [b"".join(choice.choices(merged, k=9))[:TOGETHER] for _ in range(500)]
    return [*found, b"a" * 64, b"\x00\xff"]


def symbols(vocabulary: Vocabulary) -> list[bytes]:
    texts = [bytes([value]) for value in range(256)]
    for first, second in vocabulary.merges.tolist():
        texts.append(texts[first] + texts[second])
    return texts


def cuts(mask: int, word: bytes) -> list[int]:
    return [place for place in range(len(word)) if mask >> place & 1]


def theirs(library: Tokenizer, word: bytes) -> list[int]:
    return [begin for begin, _ in library.encode(word.decode("latin-1")).offsets]


def rust_pairs(vocabulary: Vocabulary) -> Tokenizer:
    texts = [text.decode("latin-1") for text in symbols(vocabulary)]
    pairs = [(texts[first], texts[second]) for first, second in vocabulary.merges.tolist()]
    numbers: dict[str, int] = {}
    for text in texts:
        numbers.setdefault(text, len(numbers))
    return Tokenizer(BPE(numbers, pairs))


def test_pairs_are_joined_as_the_rust_library_does() -> None:
    library = rust_pairs(bundled())
    masks = PairEncoder(bundled().merges).encode(given())[:, 0].tolist()
    assert [cuts(mask, word) for mask, word in zip(masks, given(), strict=True)] == [
        theirs(library, word) for word in given()
    ]


def test_pairs_that_make_the_same_bytes_make_one_symbol() -> None:
    merges = np.array([[97, 98], [98, 99], [256, 99], [97, 257], [258, 258]], np.uint16)  # ab, bc, ab+c, a+bc, abc+abc
    assert symbols(Vocabulary(merges, [], np.zeros(0, np.int64)))[258] == b"abc"
    encoder = PairEncoder(merges)
    # The second way to abc is never reached from bytes here, but the pair of two of them joins either.
    assert cuts(int(encoder.encode([b"abcabc"])[0, 0]), b"abcabc") == [0]
    assert cuts(int(PairEncoder(merges[:0]).encode([b"abc"])[0, 0]), b"abc") == [0, 1, 2]


def test_pieces_are_chosen_as_the_rust_library_does() -> None:
    vocabulary = bundled()
    scores = zip(vocabulary.pieces, vocabulary.costs.tolist(), strict=True)
    library = Tokenizer(Unigram([(piece.decode("latin-1"), -cost / SCALE) for piece, cost in scores]))
    masks = CountEncoder(vocabulary.pieces, vocabulary.costs).encode(given())[:, 0].tolist()
    assert [cuts(mask, word) for mask, word in zip(masks, given(), strict=True)] == [
        theirs(library, word) for word in given()
    ]


@pytest.mark.parametrize("stream", ["subword_bpe", "subword_frequency"])
def test_streams_cut_words_as_their_encoder_does(stream: str) -> None:
    vocabulary, document = bundled(), TEXT[:30_000] + ODD.encode()
    encoder = PairEncoder(vocabulary.merges) if stream == "subword_bpe" else None
    encode = encoder.encode if encoder else CountEncoder(vocabulary.pieces, vocabulary.costs).encode
    tokenizer = open_tokenizer(Config())
    expected = []
    for tokens in tokenizer.tokenize("word", [document]):
        for (begin, end), kind in zip(pairwise(tokens.bounds.tolist()), tokens.kinds.tolist(), strict=True):
            for first in range(begin, end, TOGETHER) if kind == 0 else ():
                stretch = document[first : min(first + TOGETHER, end)]
                expected += [first + place for place in cuts(int(encode([stretch])[0, 0]), stretch)]
            expected += [begin] * (kind != 0)
    found = [bound for tokens in tokenizer.tokenize(stream, [document]) for bound in tokens.bounds[:-1].tolist()]
    assert found == expected


def test_learning_finds_what_is_frequent(tmp_path: Path) -> None:
    documents = [b"banana bandana band " * 50, "größer ".encode() * 20, b"xq xq"]
    learned = learn_vocabulary(documents, merges=12, pieces=300)
    assert symbols(learned)[256] == b"an"
    assert {bytes([value]) for value in range(256)} <= set(learned.pieces)
    assert learned.costs[learned.pieces.index(b"b")] < learned.costs[learned.pieces.index(b"\x00")]
    write_vocabulary(tmp_path / "one.npz", learned)
    write_vocabulary(tmp_path / "two.npz", learn_vocabulary(documents, merges=12, pieces=300))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    read = read_vocabulary(str(tmp_path / "one.npz"))
    assert (read.merges.tolist(), read.pieces, read.costs.tolist()) == (
        learned.merges.tolist(),
        learned.pieces,
        learned.costs.tolist(),
    )
    tokenizer = open_tokenizer(Config(vocabulary=str(tmp_path / "one.npz")))
    (tokens,) = tokenizer.tokenize("subword_bpe", [b"band"])
    assert len(tokens) == 1
    library = rust_pairs(learned)
    for word in (b"bandanna", b"nan", "größte".encode()):
        assert cuts(int(PairEncoder(learned.merges).encode([word])[0, 0]), word) == theirs(library, word)


def _changed(**arrays: Any) -> bytes:
    vocabulary = read_vocabulary("python")
    rows = np.frombuffer(b"".join(piece.ljust(8, b"\0") for piece in vocabulary.pieces), np.uint8).reshape(-1, 8)
    held = {
        "merges": vocabulary.merges,
        "pieces": rows,
        "widths": np.array([len(piece) for piece in vocabulary.pieces], np.uint8),
        "costs": vocabulary.costs.astype(np.int32),
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, **{name: value for name, value in (held | arrays).items() if value is not None})
    return stream.getvalue()


def _bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("merges.npy", bytes(MAX_FILE + 1))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        (lambda: b"", "damaged"),
        (lambda: b"PK\x03\x04 and no more", "damaged"),
        (lambda: _changed()[:5000], "damaged"),
        (lambda: _changed(costs=None), "damaged"),
        (lambda: _changed(costs=np.zeros(3, np.int32)), "do not fit"),
        (lambda: _changed(merges=np.array([[256, 97]], np.uint16)), "only after it"),
        (lambda: _changed(merges=np.array([["a", "b"]], dtype=object)), "damaged"),
        (_bomb, "unfolds to more"),
    ],
)
def test_a_damaged_vocabulary_is_refused(damaged: Any, told: str, tmp_path: Path) -> None:
    file = tmp_path / "vocabulary.npz"
    file.write_bytes(damaged())
    with pytest.raises(ValueError, match=told):
        open_tokenizer(Config(vocabulary=str(file)))


def test_a_vocabulary_with_wrong_bytes_is_refused_or_works(tmp_path: Path) -> None:
    whole = (files(soma_symbols.tokens) / "data" / "python.npz").read_bytes()
    choice, file, refused = random.Random(4), tmp_path / "vocabulary.npz", 0
    ends = [*range(120), *range(len(whole) - 700, len(whole))]
    for _ in range(250):
        changed = bytearray(whole)
        for place in choice.choices(ends, k=choice.randrange(1, 4)):
            changed[place] ^= 1 << choice.randrange(8)
        file.write_bytes(changed)
        try:
            read_vocabulary(str(file))
        except ValueError as error:
            refused += "damaged" in str(error)
    assert refused > 100


def test_a_vocabulary_that_cannot_cut_everything_is_refused() -> None:
    every = [bytes([value]) for value in range(256)]
    for pieces, costs in ((every[1:], [1] * 255), ([*every, b"a"], [1] * 257), (every, [0] * 256)):
        with pytest.raises(ValueError, match=r"byte|cost"):
            CountEncoder(pieces, np.array(costs, np.int64))
    with pytest.raises(ValueError, match="merges"):
        PairEncoder(np.zeros((1 << 16, 2), np.uint16))


def test_the_bundled_file_is_the_one_that_was_learned() -> None:
    data = files(soma_symbols.tokens) / "data"
    told = json.loads((data / "python.json").read_text("utf-8"))
    content = (data / "python.npz").read_bytes()
    assert blake2b(content, digest_size=32).hexdigest() == told["file"]
    assert len(content) < 150_000
    assert (len(bundled().merges), len(bundled().pieces)) == (told["merges"], told["pieces"])


def test_what_is_kept_is_bounded_and_never_wrong() -> None:
    asked: list[bytes] = []

    def compute(tokens: list[bytes]) -> Any:
        asked.extend(tokens)
        return np.array([[len(token), sum(token)] for token in tokens], np.uint64)

    known = Distinct(2, compute, 8)
    choice = random.Random(3)
    for _ in range(60):
        tokens = [choice.randbytes(choice.choice([1, 1, 2, 2, 7, 8, 9, 16, 17, 40])) for _ in range(50)]
        tokens += [b"a", b"a\0", b"a\0\0", b"\0", b"\0\0", b"same of more than sixteen"] * 3
        edges = np.cumsum([0, *map(len, tokens)])
        lengths, sums = known.look_up(b"".join(tokens), edges[:-1], np.diff(edges))
        assert lengths.tolist() == list(map(len, tokens))
        assert sums.tolist() == list(map(sum, tokens))
    assert asked.count(b"same of more than sixteen") == 1
    for number in range(LONG + 5):
        token = b"a long one with a number %d" % number
        known.look_up(token, np.array([0]), np.array([len(token)]))
    assert len(known._long) <= LONG + 1


def test_a_text_that_is_none_is_refused() -> None:
    assert from_text("a\udcff\u00e9") == b"a\xff\xc3\xa9"
    with pytest.raises(ValueError, match=r"lone surrogate, U\+D800, at position 2"):
        from_text("ab\ud800")
    with pytest.raises(ValueError, match=r"U\+DC00"):
        from_text("\udc00")
