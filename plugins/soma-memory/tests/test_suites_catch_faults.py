"""The suites fail what deserves it: each planted fault is found by the check that is there for it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import settings

import soma_core.testing.ledger as ledger_suite
import soma_core.testing.transport as suite_module
import soma_memory._transport as ours
from soma_core.api import Channel, PeerGone, PeerId, Reader
from soma_core.testing import LedgerSuite, TransportSuite
from soma_core.testing.component import component
from soma_core.testing.ledger import Opener
from soma_core.testing.transport import Network
from soma_memory._ledger import MemoryLedger
from soma_memory._transport import MemoryConnection, MemoryTransport

Found = (AssertionError, BaseExceptionGroup, PeerGone, TypeError, ValueError, pytest.fail.Exception)
"""What a failing check raises."""


class HalfBatch(MemoryLedger):
    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        for key, value in batch.items():
            super().write({key: value})


class KeepsDeleted(MemoryLedger):
    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        super().write({key: b"" if value is None else value for key, value in batch.items()})


class IncludesStop(MemoryLedger):
    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        return super().scan(start, stop + b"\x00")


class Unordered(MemoryLedger):
    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(super().scan(start, stop), key=lambda pair: (len(pair[0]), pair[0])))


class ShortValues(MemoryLedger):
    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        super().write({key: value and value[: 1 << 20] for key, value in batch.items()})


class LiveSnapshot(MemoryLedger):
    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        yield self


class Shared(MemoryLedger):
    """Every opening sees the same data, declared or not."""

    state = MemoryLedger()

    def __init__(self) -> None:
        self.get, self.scan, self.write = self.state.get, self.state.scan, self.state.write  # type: ignore[method-assign]
        self.snapshot = self.state.snapshot  # type: ignore[method-assign]

    def close(self) -> None:
        pass


class NoSnapshot:
    """Declares what it has not."""

    def __init__(self) -> None:
        inner = MemoryLedger()
        self.get, self.scan, self.write, self.close = inner.get, inner.scan, inner.write, inner.close


LEDGER_FAULTS: list[tuple[type[Any], Callable[[LedgerSuite, Opener, Any], None]]] = [
    (HalfBatch, lambda suite, _, ledger: suite.test_batch_that_fails_midway_writes_nothing(ledger, 3)),
    (HalfBatch, lambda suite, _, ledger: suite.test_batch_with_something_that_is_not_bytes_writes_nothing(
        ledger, {b"b": "text"})),
    (HalfBatch, lambda suite, opener, _: suite.test_behaves_like_a_dictionary(opener.chosen)),
    (KeepsDeleted, lambda suite, _, ledger: suite.test_none_deletes(ledger)),
    (KeepsDeleted, lambda suite, opener, _: suite.test_behaves_like_a_dictionary(opener.chosen)),
    (IncludesStop, lambda suite, _, ledger: suite.test_scan_includes_start_and_excludes_stop(ledger, b"a", b"c")),
    (IncludesStop, lambda suite, opener, _: suite.test_behaves_like_a_dictionary(opener.chosen)),
    (Unordered, lambda suite, _, ledger: suite.test_scan_is_ascending_by_bytes(ledger)),
    (ShortValues, lambda suite, _, ledger: suite.test_big_values_and_long_keys(ledger)),
    (LiveSnapshot, lambda suite, opener, ledger: suite.test_snapshot_stands_still_while_writing_goes_on(
        opener.chosen, ledger)),
    (NoSnapshot, lambda suite, opener, ledger: suite.test_snapshot_as_declared(opener.chosen, ledger)),
    (Shared, lambda suite, opener, _: suite.test_durable_as_declared(opener.chosen, opener)),
    (Shared, lambda suite, opener, _: suite.test_two_databases_share_nothing(opener)),
]  # fmt: skip


def planted_ledger(fault: type[Any], root: Path) -> Opener:
    chosen = component("ledger-memory")
    return Opener(attrs.evolve(chosen, spec=attrs.evolve(chosen.spec, open=lambda _config, _context: fault())), root)


@pytest.mark.parametrize(("fault", "check"), LEDGER_FAULTS)
def test_ledger_suite_finds(
    fault: type[Any], check: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_suite, "settings", partial(settings, derandomize=True))  # finds it always, or never
    opener = planted_ledger(MemoryLedger, tmp_path / "good")
    opener._root.mkdir()
    with opener.open() as ledger:
        check(LedgerSuite(), opener, ledger)  # so that it is the fault that is found
    opener = planted_ledger(fault, tmp_path / "bad")
    opener._root.mkdir()
    with opener.open() as ledger, pytest.raises(Found):
        check(LedgerSuite(), opener, ledger)


class Swaps(MemoryConnection):
    """Sends the messages of one call backwards."""

    async def send(self, channel: Channel, messages: Sequence[bytes]) -> None:
        await super().send(channel, list(reversed(messages)))


class OneChannel(MemoryConnection):
    """Puts everything on one channel."""

    async def send(self, channel: Channel, messages: Sequence[bytes]) -> None:
        await super().send("sync", messages)

    async def receive(self, channel: Channel) -> bytes:
        return await super().receive("sync")


class Forgets(MemoryConnection):
    """Loses a message whose receiver is cancelled."""

    async def receive(self, channel: Channel) -> bytes:
        message = await super().receive(channel)
        await trio.sleep(0.001)
        return message


class Deaf(MemoryConnection):
    """Does not end."""

    async def aclose(self) -> None:
        pass


class TakesAll(MemoryConnection):
    """Knows no longest message."""

    async def send(self, channel: Channel, messages: Sequence[bytes]) -> None:
        await super().send(channel, [message[: 1 << 20] for message in messages])


class BelievesAll(MemoryTransport):
    async def _prove(self, other: MemoryTransport, peer: PeerId, nonce: bytes) -> None:
        pass


TRANSPORT_FAULTS: list[tuple[type[Any], str]] = [
    (Swaps, "test_order_is_kept_on_each_channel"),
    (Swaps, "test_many_messages_in_one_call"),
    (OneChannel, "test_every_channel_carries_both_ways"),
    (OneChannel, "test_unread_channel_leaves_the_others_alone"),
    (Forgets, "test_cancelled_receive_loses_nothing"),
    (Deaf, "test_end_is_known_at_both_ends"),
    (Deaf, "test_aclose_never_raises_and_never_waits"),
    (TakesAll, "test_longer_message_is_refused_before_anything_is_sent"),
    (BelievesAll, "test_another_peer_than_expected_is_refused"),
    (BelievesAll, "test_dialler_who_claims_a_key_is_not_accepted"),
    (BelievesAll, "test_listener_who_claims_a_key_is_not_believed"),
]


@pytest.mark.parametrize(("fault", "check"), TRANSPORT_FAULTS)
async def test_transport_suite_finds(
    fault: type[Any], check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    chosen = component("transport-memory", {"network": fault.__name__})
    await getattr(TransportSuite(), check)(Network(chosen, tmp_path / "good"))  # so that it is the fault that is found
    monkeypatch.setattr(suite_module, "LIMIT", 0.5)
    monkeypatch.setattr(ours, fault.__base__.__name__, fault)
    with pytest.raises((*Found, trio.TooSlowError)):
        await getattr(TransportSuite(), check)(Network(chosen, tmp_path / "bad"))
