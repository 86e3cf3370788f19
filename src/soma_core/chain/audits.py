"""Audits: validators run committed weights again and say what came out (rules AU1 to AU9, ``specs/25-audits.md``).

An audit is of a subject, a kind and a key: what that is, the subject's own file knows (`delivery` for embed jobs). Its
panel is drawn by the beacon, or is the whole committee where somebody appeals. Every auditor seals what it computed
before anybody shows it, and shows the numbers themselves: whether they confirm the claim, the chain finds.

    sealing → showing → concluded
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Final, Literal

from attrs import evolve, frozen

from soma_core import beacon, fixed
from soma_core.crypto import digest
from soma_core.genesis import Parameters
from soma_core.records import octets, pack, text, uint

from . import claims
from .claims import Anchor
from .events import AuditChanged
from .execution import Execution, Handler, Refusal
from .state import Table
from .validators import BEACON, committee, quorum

ITEMS_MOST: Final = 8
"""Answers that one audit looks at, and `ITEMS_BYTES` of vectors at most: an auditor shows all it computed at once."""
ITEMS_BYTES: Final = 48 << 10

KINDS: Final = ("embed", "target", "encoder")

MISSING_LEAST: Final = 2
"""Members of the committee that have to say that something is missing: one may have trouble of its own."""

Word = Literal["honest", "false", "missing", "open"]
"""What an audit finds of an answer. ``missing``: weights or data could not be had. ``open``: no quorum in an appeal."""
Heard = Callable[[Execution, bytes, "Audit", Mapping[int, Word]], None]
"""What a kind's file does with the words of a concluded audit, by member."""


@frozen(kw_only=True)
class Item:
    """A claim to be checked: `encoder`, with `weights` and `frame`, gave `loss` (Q16 bits) and `vector` (int16).

    Or, where the vector is empty, that it gives no lower loss.
    """

    member: int = uint()
    encoder: bytes = octets(32)
    weights: bytes = octets(most=32)
    frame: bytes = octets(most=32)
    loss: int = uint()
    vector: bytes = octets(most=1 << 14)


@frozen(kw_only=True)
class Auditor:
    """A validator's account on a panel. `state`: ``drawn``, ``sealed``, ``shown``. `words`: one for each item."""

    account: bytes = octets(32)
    power: int = uint()
    state: str = text(default="drawn")
    commitment: bytes = octets(most=32, default=b"")
    words: tuple[Word, ...] = ()


@frozen(kw_only=True)
class Audit:
    """An open audit. `appeal`: by the whole committee. `stage`: ``sealing``, ``showing``; `deadline` in ms.

    `anchors`: the data on which an encoder's frame is checked.
    """

    kind: str = text()
    key: bytes = octets(32)
    blob: bytes = octets(32)
    size: int = uint()
    appeal: bool
    stage: str = text()
    deadline: int = uint()
    items: tuple[Item, ...]
    panel: tuple[Auditor, ...]
    anchors: tuple[Anchor, ...] = ()


@frozen(kw_only=True)
class Result:
    """What an auditor computed: `loss`, Q16 bits per byte, `vector`, int16; empty if weights or data are missing.

    Of an encoder's claims the loss is 0 and the vector what `claims.length` says.
    """

    loss: int = uint()
    vector: bytes = octets(most=ITEMS_BYTES)


@frozen(kw_only=True)
class Marks:
    """What a validator's account owes its audits: failures in `epoch`, and failures ever."""

    epoch: int = uint()
    now: int = uint()
    ever: int = uint()


AUDITS: Final = Table("open audit", 0x30, Audit)
MARKS: Final = Table("auditor marks", 0x31, Marks)


def subject(kind: str, key: bytes) -> bytes:
    """The state name of what is audited: one byte for the kind, then the key."""
    return bytes([KINDS.index(kind)]) + key


def verdict_commitment(kind: str, key: bytes, auditor: bytes, salt: bytes, results: Sequence[Result]) -> bytes:
    """The seal of an auditor's results. It names the subject and the auditor: nobody can copy it."""
    return digest("soma/verdict", subject(kind, key), auditor, salt, *(pack(result) for result in results))


def room(dimension: int) -> int:
    """How many answers one audit can look at."""
    return min(ITEMS_MOST, ITEMS_BYTES // (2 * dimension))


def open_audit(
    run: Execution,
    kind: str,
    key: bytes,
    blob: bytes,
    size: int,
    items: Sequence[Item],
    *,
    appeal: bool = False,
    anchors: tuple[Anchor, ...] = (),
) -> Audit:
    """Draw a panel and begin. Where nobody can be on it, the audit ends with the commit, in favour of everybody."""
    makers = {item.encoder for item in items}
    powers: dict[bytes, int] = {}
    for validator in committee(run.state):
        if validator.account not in makers:
            powers[validator.account] = powers.get(validator.account, 0) + validator.power
    seed = beacon.draw_seed(run.state.need(BEACON).value, b"panel" + subject(kind, key))
    accounts = sorted(powers) if appeal else _drawn(seed, run.parameters.audit_quorum, powers)
    audit = Audit(
        kind=kind,
        key=key,
        blob=blob,
        size=size,
        appeal=appeal,
        stage="sealing",
        deadline=run.time + _sealing(run, kind) if accounts else run.time,
        items=tuple(items),
        panel=tuple(Auditor(account=account, power=powers[account]) for account in accounts),
        anchors=anchors,
    )
    _store(run, audit)
    return audit


def _sealing(run: Execution, kind: str) -> int:
    """How long auditors have to compute, ms: for an encoder's claims all anchors go through its weights."""
    return run.parameters.check_ms if kind == "encoder" else run.parameters.audit_seal_ms


def _drawn(seed: bytes, size: int, powers: Mapping[bytes, int]) -> list[bytes]:
    """Accounts by power, one after another, without replacement."""
    left = dict(sorted(powers.items()))
    drawn: list[bytes] = []
    while left and len(drawn) < size:
        rest = beacon.uniform(seed, len(drawn), sum(left.values()))
        account = next(each for each, end in zip(left, accumulate(left.values()), strict=True) if rest < end)
        drawn.append(account)
        del left[account]
    return drawn


# What auditors send. --------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class CommitVerdict:
    """The seal of what the sender computed for an open audit."""

    kind: str = text(most=16)
    key: bytes = octets(32)
    commitment: bytes = octets(32)


@frozen(kw_only=True)
class RevealVerdict:
    """What the sender computed, an entry for each of the audit's items, in their order."""

    kind: str = text(most=16)
    key: bytes = octets(32)
    salt: bytes = octets(32)
    results: tuple[Result, ...]


def _commit(run: Execution, sender: bytes, action: CommitVerdict) -> None:
    audit, place = _seat(run, sender, action.kind, action.key, "sealing")
    if audit.panel[place].state != "drawn":
        raise Refusal("exists", "this auditor has sealed already")
    audit = _with(audit, place, evolve(audit.panel[place], state="sealed", commitment=action.commitment))
    if all(auditor.state == "sealed" for auditor in audit.panel):
        audit = _show(run, audit)
    _store(run, audit)


def _reveal(run: Execution, sender: bytes, action: RevealVerdict) -> None:
    audit, place = _seat(run, sender, action.kind, action.key, "showing")
    auditor = audit.panel[place]
    if auditor.state != "sealed":
        raise Refusal("state", f"this auditor has {auditor.state}; only sealed results can be shown")
    due = [_length(run, audit, item) for item in audit.items]
    if len(action.results) != len(due) or any(
        len(result.vector) not in (0, size) for result, size in zip(action.results, due, strict=True)
    ):
        raise Refusal("results", f"{len(due)} results are due, of {', '.join(map(str, due))} bytes, or of none")
    if verdict_commitment(action.kind, action.key, sender, action.salt, action.results) != auditor.commitment:
        raise Refusal("seal", "these are not the results that were sealed")
    words = tuple(_word(run, audit, item, result) for item, result in zip(audit.items, action.results, strict=True))
    audit = _with(audit, place, evolve(auditor, state="shown", words=words))
    _store(run, audit)


ACTIONS: Final[Mapping[str, Handler]] = {
    "commit_verdict": Handler(CommitVerdict, _commit),
    "reveal_verdict": Handler(RevealVerdict, _reveal),
}


def is_false(p: Parameters, item: Item, result: Result) -> bool:
    """Whether an auditor who computed `result` finds an answer's item false: beyond the bands of loss and distance."""
    if not result.vector:
        return False
    if not item.vector:
        return result.loss + p.audit_loss_band < item.loss
    if abs(item.loss - result.loss) > p.audit_loss_band:
        return True
    a, b = (fixed.vector_from_bytes(data, p.dimension) for data in (item.vector, result.vector))
    dot = int(fixed.dots(a[None], b[None])[0][0])
    return fixed.ONE - fixed.cosq(dot, fixed.squared_norm(a), fixed.squared_norm(b)) > p.audit_band


def _length(run: Execution, audit: Audit, item: Item) -> int:
    """Bytes of what an auditor says of an item."""
    if audit.kind == "encoder":
        return claims.length(claims.ASPECTS[item.member], item.vector, audit.anchors, run.parameters.dimension)
    return 2 * run.parameters.dimension


def _word(run: Execution, audit: Audit, item: Item, result: Result) -> Word:
    if not result.vector:
        return "missing"
    if audit.kind == "encoder":
        aspect = claims.ASPECTS[item.member]
        return claims.judged(aspect, item.vector, result.vector, audit.anchors, run.parameters.dimension)
    return "false" if is_false(run.parameters, item, result) else "honest"


# How an audit ends. ---------------------------------------------------------------------------------------------------


def advance(run: Execution, heard: Mapping[str, Heard]) -> None:
    """Move every open audit on whose time has come. `heard`: by kind, who takes the words of one that is concluded."""
    for name, audit in list(run.state.scan(AUDITS)):
        if audit.panel and run.time <= audit.deadline and not _is_done(audit):
            continue
        if audit.stage == "sealing" and any(auditor.state == "sealed" for auditor in audit.panel):
            _store(run, _show(run, audit))
            continue
        run.state.delete(AUDITS, name)
        for auditor in audit.panel:
            if auditor.state != "shown":
                mark(run, auditor.account)
        words = {item.member: _conclusion(audit, place) for place, item in enumerate(audit.items)}
        run.events.append(AuditChanged(audit.kind, audit.key, "concluded", ()))
        heard[audit.kind](run, audit.key, audit, words)


def _is_done(audit: Audit) -> bool:
    return audit.stage == "showing" and all(auditor.state != "sealed" for auditor in audit.panel)


def _conclusion(audit: Audit, place: int) -> Word:
    """What the panel says of the item at `place`. Doubt is for the accused: who is silent accuses nobody.

    A drawn panel condemns by more than half of its members, the committee by a quorum of its power.
    """
    voices: dict[Word, int] = {"false": 0, "missing": 0, "honest": 0}
    heads = 0
    for auditor in audit.panel:
        if auditor.words:
            voices[auditor.words[place]] += auditor.power if audit.appeal else 1
            heads += auditor.words[place] == "missing"
    if not audit.appeal:
        return next((word for word, count in voices.items() if 2 * count > len(audit.panel)), "honest")
    need = quorum(tuple(auditor.power for auditor in audit.panel))
    word: Word = next((word for word, count in voices.items() if count >= need), "open")
    return "open" if word == "missing" and heads < MISSING_LEAST else word


def mark(run: Execution, account: bytes) -> None:
    """A validator failed an audit: it was silent, or proven wrong. It loses its reward of this epoch."""
    marks = run.state.get(MARKS, account) or Marks(epoch=run.epoch, now=0, ever=0)
    now = marks.now if marks.epoch == run.epoch else 0
    run.state.put(MARKS, account, Marks(epoch=run.epoch, now=now + 1, ever=marks.ever + 1))


def forfeits(run: Execution, account: bytes) -> bool:
    """Whether a validator gets nothing of this epoch's reward."""
    marks = run.state.get(MARKS, account)
    return marks is not None and marks.epoch == run.epoch


def _store(run: Execution, audit: Audit) -> None:
    name = subject(audit.kind, audit.key)
    before = run.state.get(AUDITS, name)
    run.state.put(AUDITS, name, audit)
    if before is None or before.stage != audit.stage:
        run.events.append(
            AuditChanged(audit.kind, audit.key, audit.stage, tuple(auditor.account for auditor in audit.panel))
        )


def _show(run: Execution, audit: Audit) -> Audit:
    return evolve(audit, stage="showing", deadline=run.time + run.parameters.audit_reveal_ms)


def _with(audit: Audit, place: int, auditor: Auditor) -> Audit:
    return evolve(audit, panel=(*audit.panel[:place], auditor, *audit.panel[place + 1 :]))


def _seat(run: Execution, sender: bytes, kind: str, key: bytes, stage: str) -> tuple[Audit, int]:
    audit = run.state.get(AUDITS, subject(kind, key)) if kind in KINDS else None
    if audit is None:
        raise Refusal("audit", "there is no such open audit")
    if audit.stage != stage:
        raise Refusal("stage", f"the audit is {audit.stage}, not {stage}")
    if run.time > audit.deadline:
        raise Refusal("late", f"the deadline passed {run.time - audit.deadline} ms ago")
    for place, auditor in enumerate(audit.panel):
        if auditor.account == sender:
            return audit, place
    raise Refusal("sender", "this account is not on the audit's panel")
