"""Learning: what is counted, factored and refined; that the same data gives the same weights; and what is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from soma_core.errors import DecodeError, UsageError
from soma_core.model import load_model, referee, symbols
from soma_symbols.learning import _corpus as corpus
from soma_symbols.learning import _vocabulary, training
from soma_symbols.learning._bytes import ByteLearner
from soma_symbols.learning._counts import added, fewer
from soma_symbols.learning._factors import factors
from soma_symbols.learning._neighbours import Neighbours, Sparse
from soma_symbols.learning._skipgram import SkipGram
from soma_symbols.learning._tables import _packed, _placed
from soma_symbols.learning._vocabulary import Tally, Vocabulary, tokens_of

PLAN = training.Plan(dim=64, tokens=1024, grams=64, slots=1 << 12, seq=256, least=2, window=2, epochs=1, byte_share=16)
SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u")]
THINGS = [
    [SYLLABLES[(7 * i + 11 * k) % 60] + SYLLABLES[(i + 13 * k) % 60] + "xyzw"[k] for k in range(4)] for i in range(40)
]
"""Forty things of four words each, spelled alike without meaning alike."""


def sentences(count: int, seed: int = 0) -> str:
    """Each is about one thing, in its words."""
    random = np.random.default_rng(seed)
    lines = [" ".join(random.permutation(THINGS[random.integers(len(THINGS))])) for _ in range(count)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_vocabulary, "SUBSAMPLED", 1.0)  # among so few words each is a frequent one
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.txt").write_text(sentences(1500, number))
    return folder


def learn(data: Path, out: Path, plan: training.Plan = PLAN) -> training.Trained:
    return training.train(training.gather([data]), out, plan, lambda _text: None)


def test_it_learns_what_stands_among_the_same_words(data: Path, tmp_path: Path) -> None:
    for epochs in (0, 2):
        done = learn(data, tmp_path / "a.safetensors", evolve(PLAN, epochs=epochs))
        weights = load_model(tmp_path / "a.safetensors")
        assert weights.digest == done.digest
        model = referee(weights.config, weights.tensors)
        ones, others = (
            np.stack([model.read(" ".join(thing[half : half + 2]).encode()).vector for thing in THINGS])
            for half in (0, 2)
        )
        found = (ones @ others.T).argmax(1) == np.arange(len(THINGS))
        assert found.mean() > 0.8


def test_the_byte_model_learns(data: Path, tmp_path: Path) -> None:
    learn(data, tmp_path / "a.safetensors", evolve(PLAN, byte_share=2))
    weights = load_model(tmp_path / "a.safetensors")
    model = referee(weights.config, weights.tensors)
    assert model.read(sentences(20, 99).encode()).bits_per_byte < 4
    assert model.read(np.random.default_rng(1).bytes(500)).bits_per_byte > 8


def test_the_same_data_plan_and_seed_give_the_same_file_and_another_seed_another(data: Path, tmp_path: Path) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002  # it must stay as it is
    ones = [learn(data, tmp_path / f"{name}.safetensors").digest for name in "ab"]
    assert ones[0] == ones[1]
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert learn(data, tmp_path / "c.safetensors", evolve(PLAN, seed=1)).digest != ones[0]
    assert np.array_equal(np.random.get_state()[1], state), "nobody's generator is moved"  # noqa: NPY002


@pytest.mark.parametrize("text", [b"x", b"  \n ", b"\xff\xfe\x00", b"one one one one"])
def test_data_of_which_little_can_be_learned_still_gives_an_encoder(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "little").write_bytes(text)
    learn(tmp_path / "little", tmp_path / "a.safetensors")
    weights = load_model(tmp_path / "a.safetensors")
    reading = referee(weights.config, weights.tensors).read(b"some words of no kind")
    assert np.isfinite(reading.vector).all()
    assert 0 < reading.bits_per_byte <= 16


def test_what_cannot_be_read_or_made_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    for path in (tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(UsageError):
            training.gather([path])
    (tmp_path / "some").write_bytes(b"some words")
    for change in ({"dim": 7}, {"tokens": 100}, {"slots": 1 << 30}, {"seq": 1}):
        with pytest.raises(DecodeError):
            learn(tmp_path / "some", tmp_path / "a.safetensors", evolve(PLAN, **change))
    with pytest.raises(ValueError, match="strategy"):
        evolve(PLAN, strategy="minilm")
    assert not list(tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob("*.json"))


def test_files_are_read_in_pieces_that_end_with_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "PIECE", 64)
    random = np.random.default_rng(0)
    text = b"".join(b"x" * int(n) + b"\n" for n in random.integers(0, 90, 50)) + b"y" * 200
    (tmp_path / "a").write_bytes(text)
    pieces = list(corpus.gather([tmp_path / "a"]).pieces())
    assert b"".join(pieces) == text
    assert all(0 < len(piece) <= 64 for piece in pieces)
    assert all(piece.endswith(b"\n") or b"\n" not in piece for piece in pieces[:-1])


def test_links_and_empty_files_are_left_out_and_nothing_is_read_twice(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"words")
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    found = corpus.gather([tmp_path, tmp_path / "a"])
    assert found.files == (tmp_path / "a",)
    assert found.size == 5


def test_counts_are_those_of_a_counter_and_few_ones_are_those_of_the_most_frequent() -> None:
    random = np.random.default_rng(0)
    tally, exact = Tally(most=1 << 16), Counter()
    few = Tally(most=40)
    for _ in range(30):
        ids = random.zipf(1.3, 200).clip(max=500).astype(np.uint64)
        exact.update(ids.tolist())
        tally.add(ids)
        few.add(ids)
    ids, counts = tally.counts()
    assert dict(zip(ids.tolist(), counts.tolist(), strict=True)) == exact
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)
    assert (tally.short, tally.total) == (0, 6000)
    kept = dict(zip(*(part.tolist() for part in few.counts()), strict=True))
    assert len(kept) <= 40
    assert few.short > 0
    for number, count in exact.items():
        assert count - few.short <= kept.get(number, 0) <= count


def test_tables_of_counts_are_joined_and_cut_by_a_stated_bound() -> None:
    keys, counts = added(
        np.array([1, 5], np.uint64), np.array([2, 3]), np.array([1, 2, 9], np.uint64), np.array([1, 1, 4])
    )
    assert (keys.tolist(), counts.tolist()) == ([1, 2, 5, 9], [3, 1, 3, 4])
    assert fewer(keys, counts, 4)[2] == 0
    for most in (1, 2, 3):
        kept, left, least = fewer(keys, counts, most)
        assert len(kept) <= most
        assert set(counts[~np.isin(keys, kept)].tolist()) <= set(range(least + 1))
        assert (left > least).all()


def test_marks_are_no_tokens_and_words_are() -> None:
    assert len(tokens_of(b" \t\n(){};:+-*/.,!?'\"\\|&%$#@~`^<>=[]")) == 0
    assert tokens_of(b"x = read_file(y)").tolist() == symbols(b"x read_file y").tokens[[0, 2, 3, 4, 6]].tolist()


def test_pairs_are_counted_within_the_window_and_information_is_what_the_formula_says() -> None:
    sequence = np.array([0, 1, 2, 0, 1, 3, 3, 0, 1, 2, 0, 1])
    pairs: Counter = Counter()
    for i, one in enumerate(sequence):
        for other in sequence[i + 1 : i + 3]:
            pairs[min(one, other), max(one, other)] += 1
    neighbours = Neighbours(4, window=2)
    neighbours.add(sequence)
    matrix = neighbours.information(1.0)
    pairs = Counter({pair: count for pair, count in pairs.items() if count >= 2})
    often = np.zeros(4)
    for (one, other), count in pairs.items():
        often[one] += count
        often[other] += count * (one != other)
    smooth = often**0.75
    dense = matrix.times(np.eye(4, dtype=np.float32))
    wanted = np.zeros((4, 4))
    for (one, other), count in pairs.items():
        there = max(0, np.log(count * smooth.sum() / (often[one] * smooth[other])))
        back = max(0, np.log(count * smooth.sum() / (often[other] * smooth[one])))
        wanted[one, other] = wanted[other, one] = (there + back) / 2
    assert np.allclose(dense, wanted, atol=1e-6)
    assert (neighbours.information(3.0).times(np.eye(4, dtype=np.float32)) <= dense + 1e-6).all()


def test_factors_are_the_largest_eigenvectors() -> None:
    random = np.random.default_rng(0)
    left = random.standard_normal((60, 5))
    dense = (left @ left.T).astype(np.float32)
    matrix = Sparse(np.arange(0, 3601, 60), np.tile(np.arange(60), 60), dense.ravel())
    found = factors(matrix, 5, random, lambda _text: None)
    assert np.allclose(found @ found.T, dense, atol=1e-3)
    assert factors(matrix, 80, random, lambda _text: None).shape == (60, 80)


def test_skip_gram_lowers_its_loss_and_keeps_its_own_generator() -> None:
    random = np.random.default_rng(0)
    model = SkipGram(random.standard_normal((40, 8)).astype(np.float32) * 0.1, np.full(40, 100), random)
    losses = []
    for _ in range(6):
        start = random.integers(0, 10, 1000) * 4
        sequence = (start[:, None] + random.integers(0, 4, (1000, 6))).ravel()
        model.add(sequence, 3, 0.05)
        model.flush(0.05)
        losses.append(model.loss)
    assert losses[-1] < losses[0]
    centred = model.vectors - model.vectors.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    near = unit @ unit.T
    same = np.arange(40)[:, None] // 4 == np.arange(40) // 4
    assert near[same].mean() > near[~same].mean() + 0.3


def test_half_bytes_keep_directions() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((50, 64)).astype(np.float32)
    packed = _packed(vectors)
    back = np.stack([packed & 15, packed >> 4], 2).reshape(50, 64).astype(float) - 8
    cosines = (back * vectors).sum(1) / np.linalg.norm(back, axis=1) / np.linalg.norm(vectors, axis=1)
    assert cosines.min() > 0.98
    assert np.abs(back).max() == 7


def test_nearly_all_rows_are_taken_and_nobody_is_taken_for_another() -> None:
    ids = np.random.default_rng(0).integers(0, 1 << 64, 4000, np.uint64)
    rows = _placed(ids, 1024)
    taken = rows[rows >= 0]
    assert len(np.unique(taken)) == len(taken) > 1000
    assert (rows[:700] >= 0).mean() > 0.99, "the most frequent find room"


def test_a_byte_learner_of_nothing_knows_nothing() -> None:
    learner = ByteLearner(256)
    learner.add(b"x")
    assert not learner.entries().any()


def test_a_vocabulary_finds_its_own_and_no_others() -> None:
    tally = Tally()
    tally.add(np.array([7, 7, 7, 5, 5, 9], np.uint64))
    vocabulary = Vocabulary.of(tally, most=2, least=2)
    assert vocabulary.ids.tolist() == [7, 5]
    assert vocabulary.places(np.array([5, 9, 7, 1 << 60], np.uint64)).tolist() == [1, -1, 0, -1]
    assert Vocabulary.of(tally, most=9, least=99).places(np.array([7], np.uint64)).tolist() == [-1]
