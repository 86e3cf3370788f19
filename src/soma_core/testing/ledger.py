"""What every ledger must do. Inherit `LedgerSuite` and name the plugin."""

import logging
import signal
import subprocess
import sys
import tempfile
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from soma_core.api import HasSnapshot, Ledger, LedgerContext
from soma_core.api.spec import Database

from .component import Component, component
from .ledger_power import PowerSuite

T = TypeVar("T")

_LAST: Final = b"\xff" * 40
"""Above every key the suite writes."""

_KILLED: Final = """
import ast, os, signal, sys
from pathlib import Path
from soma_core.testing.component import component
from soma_core.testing.ledger import Opener

name, config, root = ast.literal_eval(sys.argv[1])
with Opener(component(name, config), Path(root)).open("killed") as ledger:
    ledger.write({b"a": b"1", b"b": b"2"})
    ledger.write({b"a": None, b"c": b"x" * 100_000})
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""A process that writes twice and is killed the moment `write` returns."""

_keys = st.one_of(
    st.sampled_from([b"", b"\x00", b"\x00\x00", b"a", b"a\x00", b"aa", b"b", b"\x7f", b"\x80", b"\xff", b"\xff\xff"]),
    st.binary(max_size=5),
)
_values = st.one_of(st.binary(max_size=20), st.sampled_from([b"", b"\x00", b"x" * 5000]))
_batches = st.dictionaries(_keys, st.one_of(st.none(), _values), max_size=8)


class Interrupted(Mapping[bytes, bytes | None]):
    """A batch whose source fails after `good` entries, as a disk or a codec might."""

    def __init__(self, entries: dict[bytes, bytes | None], good: int) -> None:
        self._entries, self._good = entries, good

    def __getitem__(self, key: bytes) -> bytes | None:
        return self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[bytes]:
        for place, key in enumerate(self._entries):
            if place == self._good:
                raise OSError("the source of this batch failed")
            yield key


class LedgerSuite(PowerSuite):
    """Inherit, and set `plugin` to the component's name and `config` to its settings."""

    capabilities = frozenset({"durable", "snapshot"})

    @pytest.fixture
    def chosen(self) -> Component:
        """The component under test."""
        return component(self.plugin, self.config)

    @pytest.fixture
    def opener(self, chosen: Component, tmp_path: Path) -> "Opener":
        """Opens the component, each name in a directory of its own."""
        return Opener(chosen, tmp_path)

    @pytest.fixture
    def ledger(self, opener: "Opener") -> Iterator[Ledger]:
        """An open, empty ledger."""
        with opener.open() as ledger:
            yield ledger

    def test_new_ledger_is_empty(self, ledger: Ledger) -> None:
        assert ledger.get(b"") is None
        assert ledger.get(b"a") is None
        assert list(ledger.scan(b"", _LAST)) == []

    def test_write_then_read(self, ledger: Ledger) -> None:
        ledger.write({b"a": b"1", b"b": b"2"})
        assert ledger.get(b"a") == b"1"
        assert ledger.get(b"b") == b"2"
        assert ledger.get(b"c") is None
        ledger.write({b"a": b"3"})
        assert ledger.get(b"a") == b"3"
        assert ledger.get(b"b") == b"2"

    def test_reads_give_bytes(self, ledger: Ledger) -> None:
        ledger.write({b"a": b"1"})
        assert type(ledger.get(b"a")) is bytes
        assert [(type(k), type(v)) for k, v in ledger.scan(b"", _LAST)] == [(bytes, bytes)]

    def test_none_deletes(self, ledger: Ledger) -> None:
        ledger.write({b"a": b"1", b"b": b"2"})
        ledger.write({b"a": None, b"never": None})
        assert ledger.get(b"a") is None
        assert list(ledger.scan(b"", _LAST)) == [(b"b", b"2")]
        ledger.write({b"a": b"again"})
        assert ledger.get(b"a") == b"again"

    def test_empty_batch_changes_nothing(self, ledger: Ledger) -> None:
        ledger.write({b"a": b"1"})
        ledger.write({})
        assert list(ledger.scan(b"", _LAST)) == [(b"a", b"1")]

    def test_empty_key_and_empty_value_are_ordinary(self, ledger: Ledger) -> None:
        ledger.write({b"": b"", b"\x00": b""})
        assert ledger.get(b"") == b""
        assert list(ledger.scan(b"", b"\x01")) == [(b"", b""), (b"\x00", b"")]
        ledger.write({b"": None})
        assert ledger.get(b"") is None
        assert ledger.get(b"\x00") == b""

    def test_scan_is_ascending_by_bytes(self, ledger: Ledger) -> None:
        keys = [b"\xff", b"b", b"a\x00", b"a", b"aa", b"\x80", b"\x7f", b"", b"\x00", b"B"]
        ledger.write({key: key for key in keys})
        assert [key for key, _ in ledger.scan(b"", _LAST)] == sorted(keys)

    @pytest.mark.parametrize(
        ("start", "stop"),
        [(b"a", b"c"), (b"a", b"a"), (b"c", b"a"), (b"a\x00", b"b\x00"), (b"", b"a"), (b"d", _LAST), (b"zz", _LAST)],
    )
    def test_scan_includes_start_and_excludes_stop(self, ledger: Ledger, start: bytes, stop: bytes) -> None:
        pairs = [(b"", b"0"), (b"a", b"1"), (b"a\x00", b"2"), (b"b", b"3"), (b"c", b"4"), (b"d", b"5")]
        ledger.write(dict(pairs))
        assert list(ledger.scan(start, stop)) == [(k, v) for k, v in pairs if start <= k < stop]

    def test_abandoned_scan_does_not_stand_in_the_way(self, ledger: Ledger) -> None:
        ledger.write({bytes([n]): b"v" * 100 for n in range(200)})
        scan = iter(ledger.scan(b"", _LAST))
        assert next(scan) == (b"\x00", b"v" * 100)
        ledger.write({b"\x00": None, b"new": b"1"})
        assert ledger.get(b"new") == b"1"
        assert len(list(ledger.scan(b"", _LAST))) == 200

    def test_long_scan_is_whole(self, ledger: Ledger) -> None:
        pairs = {n.to_bytes(3, "big"): bytes([n % 256]) * (n % 300) for n in range(3000)}
        ledger.write(dict(pairs))
        assert list(ledger.scan(b"", _LAST)) == sorted(pairs.items())

    def test_big_values_and_long_keys(self, ledger: Ledger) -> None:
        big = bytes(range(256)) * 16384  # 4 MiB
        ledger.write({b"k" * 500: b"long", b"big": big, b"small": b"1"})
        assert ledger.get(b"big") == big
        assert ledger.get(b"k" * 500) == b"long"
        assert [key for key, _ in ledger.scan(b"", _LAST)] == [b"big", b"k" * 500, b"small"]

    @pytest.mark.parametrize("good", [0, 1, 3])
    def test_batch_that_fails_midway_writes_nothing(self, ledger: Ledger, good: int) -> None:
        ledger.write({b"a": b"old", b"z": b"old"})
        with pytest.raises(OSError, match="source of this batch"):
            ledger.write(Interrupted({b"a": b"new", b"b": b"new", b"z": None, b"c": b"new"}, good))
        assert list(ledger.scan(b"", _LAST)) == [(b"a", b"old"), (b"z", b"old")]

    @pytest.mark.parametrize("bad", [{b"b": "text"}, {"b": b"text key"}, {b"b": 5}, {b"b": bytearray(b"mutable")}])
    def test_batch_with_something_that_is_not_bytes_writes_nothing(self, ledger: Ledger, bad: dict[Any, Any]) -> None:
        ledger.write({b"a": b"old"})
        with pytest.raises(TypeError):
            ledger.write({b"a": b"new", **bad})
        assert list(ledger.scan(b"", _LAST)) == [(b"a", b"old")]
        ledger.write({b"a": b"newer"})
        assert ledger.get(b"a") == b"newer"

    def test_batch_may_change_after_it_was_written(self, ledger: Ledger) -> None:
        batch: dict[bytes, bytes | None] = {b"a": b"1"}
        ledger.write(batch)
        batch[b"a"] = b"2"
        assert ledger.get(b"a") == b"1"

    def test_two_databases_share_nothing(self, opener: "Opener") -> None:
        with opener.open("shared", "chain") as chain, opener.open("shared", "consensus") as consensus:
            chain.write({b"a": b"chain"})
            assert consensus.get(b"a") is None
            consensus.write({b"a": None, b"b": b"consensus"})
            assert list(chain.scan(b"", _LAST)) == [(b"a", b"chain")]

    def test_two_directories_share_nothing(self, opener: "Opener") -> None:
        with opener.open("here") as here, opener.open("there") as there:
            here.write({b"a": b"1"})
            assert there.get(b"a") is None

    def test_opened_used_and_closed_in_a_thread(self, opener: "Opener") -> None:
        def work() -> list[tuple[bytes, bytes]]:
            with opener.open("thread") as ledger:
                ledger.write({b"a": b"1"})
                return list(ledger.scan(b"", _LAST))

        assert in_thread(work) == [(b"a", b"1")]

    def test_durable_as_declared(self, chosen: Component, opener: "Opener") -> None:
        with opener.open("again") as ledger:
            ledger.write({b"": b"", b"a": b"1", b"b": b"2"})
            ledger.write({b"b": None, b"c": b"x" * 100_000})
        for _ in range(2):
            with opener.open("again") as ledger:
                kept = list(ledger.scan(b"", _LAST))
            if "durable" in chosen.spec.features:
                assert kept == [(b"", b""), (b"a", b"1"), (b"c", b"x" * 100_000)]
            else:
                assert kept == [], "data outlive close, so declare the feature `durable`"

    def test_durable_needs_no_close(self, chosen: Component, tmp_path: Path) -> None:
        if "durable" not in chosen.spec.features:
            pytest.skip("does not declare `durable`")
        (tmp_path / "killed").mkdir(mode=0o700)
        words = [sys.executable, "-c", _KILLED, repr((self.plugin, dict(self.config), str(tmp_path)))]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        with Opener(chosen, tmp_path).open("killed") as ledger:
            assert list(ledger.scan(b"", _LAST)) == [(b"b", b"2"), (b"c", b"x" * 100_000)]

    def test_snapshot_as_declared(self, chosen: Component, ledger: Ledger) -> None:
        declared = "snapshot" in chosen.spec.features
        assert hasattr(ledger, "snapshot") == declared, f"feature `snapshot` declared: {declared}"

    def test_snapshot_stands_still_while_writing_goes_on(self, chosen: Component, ledger: Ledger) -> None:
        if "snapshot" not in chosen.spec.features:
            pytest.skip("does not declare `snapshot`")
        source = as_snapshot(ledger)
        ledger.write({b"a": b"1", b"b": b"2"})
        with source.snapshot() as snapshot:
            ledger.write({b"a": b"3", b"b": None, b"c": b"4"})
            assert in_thread(lambda: list(snapshot.scan(b"", _LAST))) == [(b"a", b"1"), (b"b", b"2")]
            with source.snapshot() as later:
                ledger.write({b"a": None})
                assert in_thread(lambda: later.get(b"a")) == b"3"
                assert in_thread(lambda: snapshot.get(b"a")) == b"1"
                assert in_thread(lambda: (snapshot.get(b"b"), snapshot.get(b"c"))) == (b"2", None)
            assert ledger.get(b"a") is None
        assert list(ledger.scan(b"", _LAST)) == [(b"c", b"4")]

    def test_snapshots_taken_in_another_thread_are_whole_batches(self, chosen: Component, ledger: Ledger) -> None:
        if "snapshot" not in chosen.spec.features:
            pytest.skip("does not declare `snapshot`")
        source = as_snapshot(ledger)
        ledger.write({bytes([n]): b"0" for n in range(50)})
        seen: list[set[bytes]] = []
        errors: list[BaseException] = []

        def look() -> None:
            try:
                for _ in range(20):
                    with source.snapshot() as snapshot:
                        seen.append({value for _, value in snapshot.scan(b"", _LAST)})
            except BaseException as error:
                errors.append(error)
                raise

        thread = threading.Thread(target=look)
        thread.start()
        turn = 0
        while thread.is_alive():
            turn += 1
            ledger.write({bytes([n]): b"%d" % turn for n in range(50)})
        thread.join()
        assert not errors
        assert [len(values) for values in seen] == [1] * 20, "a snapshot saw half a batch"

    def test_close_is_the_end_of_it(self, opener: "Opener") -> None:
        for turn in range(3):
            with opener.open("reopened") as ledger:
                ledger.write({b"turn": b"%d" % turn})
                assert ledger.get(b"turn") == b"%d" % turn

    def test_behaves_like_a_dictionary(self, chosen: Component) -> None:
        """Any sequence of writes, reads, scans and reopenings, against a model."""
        with tempfile.TemporaryDirectory() as directory:
            opener = Opener(chosen, Path(directory))
            run_state_machine_as_test(
                cast("type[RuleBasedStateMachine]", lambda: _Machine(opener)),  # it takes any factory
                settings=settings(
                    max_examples=25,
                    stateful_step_count=25,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )


class Opener:
    """Opens one component again and again: equal names are equal directories."""

    def __init__(self, chosen: Component, root: Path) -> None:
        self.chosen, self._root, self._count = chosen, root, 0

    def fresh(self) -> str:
        """A name not used before."""
        self._count += 1
        return f"fresh-{self._count}"

    @contextmanager
    def open(self, name: str | None = None, database: Database = "chain") -> Iterator[Ledger]:
        """An open ledger, closed on leaving."""
        directory = self._root / (name or self.fresh())
        directory.mkdir(mode=0o700, exist_ok=True)
        log = logging.getLogger("soma.test")
        context = LedgerContext(self.chosen.name, directory, log, database)
        with closing(self.chosen.spec.open(self.chosen.config, context)) as ledger:
            yield ledger


def as_snapshot(ledger: Any) -> HasSnapshot:
    """`ledger`, whose spec declares `snapshot`."""
    return ledger  # type: ignore[no-any-return]


def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns in a thread of its own."""
    box: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            box.append(work())
        except BaseException as error:  # noqa: BLE001  # handed to the caller
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return box[0]


class _Machine(RuleBasedStateMachine):
    """The ledger beside a dictionary."""

    def __init__(self, opener: Opener) -> None:
        super().__init__()
        self._opener = opener
        self._name = opener.fresh()
        self._durable = "durable" in opener.chosen.spec.features
        self._model: dict[bytes, bytes] = {}
        self._open()

    def _open(self) -> None:
        self._scope = self._opener.open(self._name)
        self._ledger = self._scope.__enter__()

    def teardown(self) -> None:
        self._scope.__exit__(None, None, None)

    @rule(batch=_batches)
    def write(self, batch: dict[bytes, bytes | None]) -> None:
        self._ledger.write(batch)
        for key, value in batch.items():
            if value is None:
                self._model.pop(key, None)
            else:
                self._model[key] = value

    @rule(batch=_batches.filter(bool), data=st.data())
    def write_that_fails(self, batch: dict[bytes, bytes | None], data: st.DataObject) -> None:
        good = data.draw(st.integers(0, len(batch) - 1))
        with pytest.raises(OSError, match="source of this batch"):
            self._ledger.write(Interrupted(batch, good))

    @rule(key=_keys)
    def get(self, key: bytes) -> None:
        assert self._ledger.get(key) == self._model.get(key)

    @rule(start=_keys, stop=_keys)
    def scan(self, start: bytes, stop: bytes) -> None:
        keys = sorted(self._model)
        wanted = keys[bisect_left(keys, start) : bisect_left(keys, stop)]
        assert list(self._ledger.scan(start, stop)) == [(key, self._model[key]) for key in wanted]

    @precondition(lambda self: self._durable)
    @rule()
    def reopen(self) -> None:
        self._scope.__exit__(None, None, None)
        self._open()

    @invariant()
    def holds_what_was_written(self) -> None:
        assert dict(self._ledger.scan(b"", _LAST)) == self._model
