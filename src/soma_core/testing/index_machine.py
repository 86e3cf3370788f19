"""An index beside a dictionary and a scan: any sequence of calls, and what must come of each."""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from numpy.typing import NDArray

from soma_core.api import MAX_ID, Context, Hit, Index, Labels

from .component import Component

ROUNDING: Final = 1e-4
"""By how much a cosine may be off: an index may compute in float32, by way of distances."""
STEPS: Final = 20
ONE_LINE: Final = r"\A[^\n]{1,300}\Z"

Floats = NDArray[np.float32]

_ids = st.one_of(
    st.sampled_from([b"a", b"b", b"\x00", b"\x00\x00", b"a\x00", b"\xff", b"\xff" * MAX_ID]),
    st.binary(min_size=1, max_size=3),
)
_labels = st.dictionaries(
    st.sampled_from(["a", "b", "kind_1"]),
    st.sampled_from(["", "x", "é'\"\\%", "1", 1, 0, -(1 << 63), (1 << 63) - 1]),
    max_size=3,
)
# Few directions: many vectors are equal, or equally near.
_vectors = st.tuples(*[st.sampled_from([-1.0, 0.0, 1.0, 2.0])] * 3).filter(any)
_entries = st.lists(st.tuples(_ids, _vectors, _labels), min_size=1, max_size=6)


def try_any_calls(chosen: Component) -> None:
    """Any sequence of adding, removing, searching and reopening, against a model."""
    with tempfile.TemporaryDirectory() as directory:
        opener = Opener(chosen, Path(directory))
        run_state_machine_as_test(
            cast("type[RuleBasedStateMachine]", lambda: _Machine(opener)),  # it takes any factory
            settings=settings(
                max_examples=STEPS,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def floats(rows: Sequence[Sequence[float]]) -> Floats:
    """Float32 [n, dim]."""
    return np.array(rows, np.float32)


def clustered(count: int, dim: int, seed: int) -> Floats:
    """Vectors around a few centres, float32 [count, dim]."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(1, count // 100), dim))
    return (centres[random.integers(len(centres), size=count)] + 0.3 * random.standard_normal((count, dim))).astype(
        np.float32
    )


def names(count: int) -> list[bytes]:
    """Ids, ascending."""
    return [b"%06d" % n for n in range(count)]


class Opener:
    """Opens one component again and again: equal names are equal directories."""

    def __init__(self, chosen: Component, root: Path) -> None:
        self.chosen, self._root, self._count = chosen, root, 0

    def fresh(self) -> str:
        """A name not used before."""
        self._count += 1
        return f"fresh-{self._count}"

    @contextmanager
    def open(self, name: str | None = None) -> Iterator[Index]:
        """An open index, closed on leaving."""
        directory = self._root / (name or self.fresh())
        directory.mkdir(mode=0o700, exist_ok=True)
        context = Context(self.chosen.name, directory, logging.getLogger("soma.test"))
        with closing(self.chosen.spec.open(self.chosen.config, context)) as index:
            yield index


def scaled(vector: Floats) -> NDArray[np.float64]:
    """`vector` at length 1."""
    wide = vector.astype(np.float64)
    return wide / float(np.linalg.norm(wide))


def hold_to_scan(
    answer: Sequence[Hit],
    model: Mapping[bytes, tuple[NDArray[np.float64], Labels]],
    query: Floats,
    k: int,
    where: Labels,
    *,
    exact: bool,
) -> None:
    """`answer` is right about what it holds, in order; if `exact`, it is what a scan of `model` finds."""
    wanted = scaled(query)
    allowed = {
        id_: float(wanted @ vector)
        for id_, (vector, labels) in model.items()
        if all((type(labels.get(name)), labels.get(name)) == (type(value), value) for name, value in where.items())
    }
    assert len({hit.id for hit in answer}) == len(answer) <= k
    for hit in answer:
        assert hit.id in allowed
        assert hit.labels == model[hit.id][1]
        assert hit.similarity == pytest.approx(allowed[hit.id], abs=ROUNDING)
    for one, other in pairwise(answer):
        assert (-one.similarity, one.id) < (-other.similarity, other.id)
    if exact:
        best = sorted(allowed.values(), reverse=True)[:k]
        assert [hit.similarity for hit in answer] == pytest.approx(best, abs=ROUNDING)
        last = answer[-1] if answer else Hit(b"", 0, {})
        left_out = allowed.keys() - {hit.id for hit in answer}
        assert all(id_ > last.id for id_ in left_out if np.array_equal(model[id_][0], model[last.id][0]))


class _Machine(RuleBasedStateMachine):
    """The index beside a dictionary."""

    def __init__(self, opener: Opener) -> None:
        super().__init__()
        self._opener = opener
        self._name = opener.fresh()
        features = opener.chosen.spec.features
        self._durable, self._exact = "durable" in features, "approximate" not in features
        self._model: dict[bytes, tuple[NDArray[np.float64], Labels]] = {}
        self._open()

    def _open(self) -> None:
        self._scope = self._opener.open(self._name)
        self._index = self._scope.__enter__()

    def teardown(self) -> None:
        self._scope.__exit__(None, None, None)

    @rule(entries=_entries)
    def add(self, entries: list[tuple[bytes, tuple[float, ...], dict[str, str | int]]]) -> None:
        ids, vectors, labels = zip(*entries, strict=True)
        self._index.add(ids, floats(vectors), labels)
        self._model |= {id_: (scaled(floats([vector])[0]), some) for id_, vector, some in entries}

    @rule(entries=_entries, place=st.integers(0, 5))
    def add_that_fails(self, entries: list[tuple[bytes, tuple[float, ...], Labels]], place: int) -> None:
        vectors = floats([vector for _, vector, _ in entries])
        vectors[place % len(vectors)] = 0
        with pytest.raises(ValueError, match=ONE_LINE):
            self._index.add([id_ for id_, _, _ in entries], vectors, [some for _, _, some in entries])

    @rule(ids=st.lists(_ids, max_size=4))
    def remove(self, ids: list[bytes]) -> None:
        assert self._index.remove(ids) == len(set(ids) & self._model.keys())
        for id_ in ids:
            self._model.pop(id_, None)

    @rule(data=st.data())
    def remove_some_of_those_there(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self._model)), max_size=4)) if self._model else []
        self.remove(ids)

    @rule(query=_vectors, k=st.sampled_from([1, 2, 3, 10, 500]), where=st.one_of(st.just({}), _labels))
    def search(self, query: tuple[float, ...], k: int, where: Labels) -> None:
        (answer,) = self._index.search(floats([query]), k, where)
        hold_to_scan(answer, self._model, floats([query])[0], k, where, exact=self._exact)

    @precondition(lambda self: self._durable)
    @rule()
    def reopen(self) -> None:
        self._scope.__exit__(None, None, None)
        self._open()

    @invariant()
    def holds_as_many(self) -> None:
        assert len(self._index) == len(self._model)
