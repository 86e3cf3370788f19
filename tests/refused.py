"""What is refused changes nothing: every commit of a test's world that holds refusals is applied again without them."""

from typing import Any, NoReturn
from unittest.mock import patch

from attrs import evolve

from soma_core import chain, codec
from soma_core.api import Commit, Reader
from soma_core.chain import machine
from soma_core.chain.transactions import MAX_TRANSACTION, SignedTransaction, parse
from soma_core.errors import DecodeError
from soma_core.genesis import Genesis


def changes_nothing(
    genesis: Genesis, rule: Any, view: Reader, tip: chain.Tip, commit: Commit, applied: chain.Applied
) -> None:
    """A failed transaction is as if it had failed before it did anything; a skipped one as if it had never come."""
    done = [event for event in applied.events if isinstance(event, chain.TransactionDone)]
    refused = {event.id: (event.code, event.text) for event in done if event.outcome == "failed"}
    if all(event.outcome == "applied" for event in done):
        return

    def perform(run: Any, signed: SignedTransaction) -> None:
        if signed.id in refused:
            refuse(*refused[signed.id])
        real(run, signed)

    real = machine._perform
    with patch.object(machine, "_perform", perform):
        again = chain.apply(genesis, rule, view, tip, evolve(commit, items=_kept(commit, done)))
    kept = tuple(event for event in applied.events if event not in done or event.outcome != "skipped")
    assert again == evolve(applied, events=kept)


def refuse(code: str, text: str) -> NoReturn:
    raise chain.Refusal(code, text)


def _kept(commit: Commit, done: list[chain.TransactionDone]) -> tuple[tuple[int, bytes], ...]:
    """The items without those transactions that were skipped."""
    outcomes = iter(done)
    return tuple(
        (author, payload)
        for author, payload in commit.items
        if not (_is_transaction(payload) and next(outcomes).outcome == "skipped")
    )


def _is_transaction(payload: bytes) -> bool:
    try:
        value = codec.decode(payload)
        if isinstance(value, dict) or len(payload) > MAX_TRANSACTION:
            return False
        parse(value)
    except DecodeError:
        return False
    return True
