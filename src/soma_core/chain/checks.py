"""Checks of encoders: when an epoch ends, some are drawn whose claims validators compute again, in audits of a kind.

Position and best anchors once for each weights, the frame on data of jobs that settled after the weights were sealed.
Rules AU25 to AU30 of ``specs/25-audits.md``.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core import beacon
from soma_core.crypto import ZERO_DIGEST
from soma_core.genesis import OPAQUE
from soma_core.records import uint

from .audits import AUDITS, ITEMS_BYTES, Audit, Item, Word, open_audit, subject
from .claims import ASPECTS, FRESH_LEAST, Anchor, fresh_most
from .encoders import ENCODERS, Encoder, candidates
from .execution import BASIS, Execution
from .settlement import SETTLED, SettledVector
from .stakes import cut_stake, stake_of
from .state import Table
from .validators import BEACON
from .weights import retire

KIND: Final = "encoder"
CHECKS_MOST: Final = 16
"""Encoders that are looked at when an epoch ends."""
CLAIM_FINE: Final = 100
"""Parts of 10,000 of its stake that a false position, or false best anchors, cost an encoder."""


@frozen(kw_only=True)
class Checked:
    """When an encoder with the weights registered as `registered` was looked at last; whether its `claims` were."""

    registered: int = uint()
    epoch: int = uint()
    claims: bool = False


CHECKED: Final = Table("checked encoder", 0x4C, Checked)


def on_epoch(run: Execution) -> None:
    """Look at those encoders next that were looked at longest ago, of new weights first; the beacon orders equals."""
    if not run.parameters.check_ms:
        return
    value = run.state.need(BEACON).value
    due = sorted(
        (_last(run, address, encoder), beacon.draw_seed(value, b"check" + address), address, encoder.registered)
        for address, encoder in candidates(run)
        if encoder.architecture != OPAQUE and encoder.until is None
    )[:CHECKS_MOST]
    settled = [record for _, record in run.state.scan(SETTLED)] if due else []
    for _, seed, address, _ in due:
        _look_at(run, address, seed, settled)


def _last(run: Execution, address: bytes, encoder: Encoder) -> int:
    known = run.state.get(CHECKED, address)
    return known.epoch + 1 if known is not None and known.registered == encoder.registered else 0


def _look_at(run: Execution, address: bytes, seed: bytes, settled: list[SettledVector]) -> None:
    if run.state.get(AUDITS, subject(KIND, address)) is not None:
        return
    encoder = run.state.need(ENCODERS, address)
    known = run.state.get(CHECKED, address)
    same = known is not None and known.registered == encoder.registered
    claims = same and known is not None and known.claims
    run.state.put(CHECKED, address, Checked(registered=encoder.registered, epoch=run.epoch, claims=claims))
    anchors = _fresh(run, address, encoder, seed, settled)
    said = {
        "position": encoder.position if run.genesis.sketches and not claims else b"",
        "best": encoder.best if not claims else b"",
    }
    items = [
        Item(
            member=place,
            encoder=address,
            weights=encoder.weights,
            frame=encoder.frame,
            loss=0,
            vector=said.get(aspect, b""),
        )
        for place, aspect in enumerate(ASPECTS)
        if said.get(aspect) or (aspect == "frame" and anchors)
    ]
    if items:
        open_audit(run, KIND, address, ZERO_DIGEST, 0, items, anchors=anchors)


def _fresh(
    run: Execution, address: bytes, encoder: Encoder, seed: bytes, settled: list[SettledVector]
) -> tuple[Anchor, ...]:
    """Data that settled after the weights were sealed, without the encoder's help, drawn by the beacon; or too few."""
    pool = {
        record.blob: record
        for record in settled
        if record.registered > encoder.registered and address not in record.shard
    }
    left = list(pool.values())
    most = fresh_most(run.parameters.dimension, ITEMS_BYTES)
    if len(left) < FRESH_LEAST or most < FRESH_LEAST:
        return ()
    drawn = [left.pop(beacon.uniform(seed, place, len(left))) for place in range(min(most, len(left)))]
    return tuple(Anchor(blob=record.blob, size=record.size, vector=record.vector) for record in drawn)


def heard(run: Execution, key: bytes, audit: Audit, words: Mapping[int, Word]) -> None:
    """Drop what is false of what the encoder says, at a price; draw it no more if it is out of the frame."""
    encoder = run.state.need(ENCODERS, key)
    checked = run.state.need(CHECKED, key)
    if any((item.weights, item.frame) != (encoder.weights, encoder.frame) for item in audit.items):
        return  # it has others by now
    false = {ASPECTS[place] for place, word in words.items() if word == "false"}
    if "position" in false:
        encoder = evolve(encoder, position=b"")
    if "best" in false:
        encoder = evolve(encoder, best=b"")
    run.state.put(ENCODERS, key, encoder)
    for _ in false - {"frame"}:
        cut_stake(run, key, stake_of(run.state, key) * CLAIM_FINE // BASIS)
    if "frame" in false:
        retire(run, key)
    shown = sum(bool(auditor.words) for auditor in audit.panel)
    if 2 * shown > len(audit.panel) and "missing" not in words.values():
        run.state.put(CHECKED, key, evolve(checked, claims=True))
