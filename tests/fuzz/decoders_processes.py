"""Decoders of what other processes say: the control socket, the signer's and the workers' pipes, a child's log."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import Any

import numpy as np
from decoder import Decoder, driven, no_law, same
from decoders_files import quick_scrypt

from soma_core import codec
from soma_core.api import control, searching, standing
from soma_core.errors import DecodeError, EncoderError, PluginError
from soma_core.keystore import KeyStore
from soma_core.node import _child_log, signer, worker
from soma_core.node._answers import Arrays, checked_evaluation, checked_vectors
from soma_core.node._frames import FrameReader, Splitter, frame
from soma_core.node.encoding import Limits, Worker
from soma_core.plugins import Plugin
from soma_core.records import pack, structure, to_value, unpack

# The control socket ---------------------------------------------------------------------------------------------------

OPERATIONS = tuple(control.OPERATIONS.values())


def _request(data: bytes) -> tuple[str, Any, bytes]:
    header, payload = control.lengths(data[:8].ljust(8, b"\xff"))
    if len(data) != 8 + header + payload:
        raise DecodeError("the rest never came")
    request = unpack(control.Request, data[8 : 8 + header])
    operation = control.OPERATIONS.get(request.op)
    if operation is None:
        raise DecodeError("there is no such operation")
    return request.op, structure(operation.request, request.body), data[8 + header :]


def _request_again(asked: tuple[str, Any, bytes], data: bytes) -> None:
    op, record, payload = asked
    same(control.pack_message(control.Request(op=op, body=to_value(record)), payload), data)


def _requests() -> list[bytes]:
    asked: list[tuple[control.Operation[Any, Any], Any, bytes]] = [
        (control.STATUS, control.Empty(), b""),
        (control.BALANCE, control.AskBalance(bytes(32)), b""),
        (control.SEND, control.Send(to=bytes(32), amount=1), b""),
        (control.PUT_BLOB, control.PutBlob(size=5, offset=0), b"bytes"),
        (control.PRICE, control.AskPrice(5), b""),
        (control.EMBED, control.Embed(blob=bytes(32), size=5, nonce=1), b""),
        (control.WAIT_JOB, control.WaitJob(job=bytes(32), seen="drawing", wait_ms=5), b""),
        (control.ACT, standing.Act(role="account", kind="stake", action={"owner": bytes(32), "amount": 5}), b""),
        (control.POOL, standing.AskPool(None, bytes(32)), b""),
        (control.JOIN_COMMITTEE, standing.JoinCommittee(name="v", stake=5, commission=200), b""),
        (control.AUDITS, standing.AskAudits(b"\1"), b""),
        (
            control.SEARCH,
            searching.Search(vector=bytes(8), job=b"", most=5, where=(searching.Wanted(name="winner", value="text"),)),
            b"",
        ),
    ]
    return [
        control.pack_message(control.Request(op=operation.name, body=to_value(record)), payload)
        for operation, record, payload in asked
    ]


def _reply(data: bytes) -> tuple[control.Answer, Any]:
    """The first byte says what was asked for."""
    answer = unpack(control.Answer, data[1:])
    return answer, None if answer.error else structure(OPERATIONS[data[0] % len(OPERATIONS)].reply, answer.body)


def _reply_again(replied: tuple[control.Answer, Any], data: bytes) -> None:
    answer, record = replied
    same(pack(answer), data[1:])
    if record is not None:
        same(pack(record), codec.encode(answer.body))


_NEAR = searching.Near(
    job=bytes(32),
    similarity=-searching.ONE,
    blob=bytes(32),
    size=5,
    time=6,
    epoch=7,
    winner="text",
    final=True,
    held=True,
    preview=b"Two cats",
)


def _replies() -> list[bytes]:
    records: list[tuple[control.Operation[Any, Any], Any]] = [
        (control.BALANCE, control.BalanceReply(address=bytes(32), balance=1, stake=2, sequence=3)),
        (control.SEND, control.Done(transaction=bytes(32), code="", text="", fee=5)),
        (control.PUT_BLOB, control.BlobReply(None)),
        (control.PRICE, control.Price(pot=1, commission=2, fee=3)),
        (control.WAIT_JOB, control.JobReply(stage="drawing", answered=1, drawn=3)),
        (
            control.ENCODERS,
            control.Encoders(
                (control.RegisteredEncoder(name="e", address=bytes(32), stake=1, architecture="opaque", gate=0),)
            ),
        ),
    ]
    records += [
        (control.OPERATORS, standing.Operators(account=bytes(32), operators=())),
        (control.AUDITS, standing.Audits(audits=(), left_out=0, bond=5, failures=0)),
        (control.VALIDATORS, standing.Validators(epoch=3, validators=())),
        (control.SEARCH, searching.Found(job=bytes(32), found=(_NEAR,), among=2, behind=1)),
    ]
    failed = control.Answer(body=None, error="no", remedy="ask another", exit_code=1)
    return [
        *(bytes([OPERATIONS.index(op)]) + pack(control.Answer(body=to_value(record))) for op, record in records),
        b"\0" + pack(failed),
    ]


# Pipes ----------------------------------------------------------------------------------------------------------------


def _cut(data: bytes) -> list[Any]:
    """The values of frames, the same wherever the bytes were cut on their way."""
    found = Splitter().feed(data)
    again, middle = Splitter(), len(data) // 3
    assert repr([*again.feed(data[:middle]), *again.feed(data[middle:])]) == repr(found)
    return found


def _cut_again(values: Sequence[Any], data: bytes) -> None:
    whole = b"".join(map(frame, values))
    same(data[: len(whole)], whole)


def _frames() -> list[bytes]:
    return [frame([1, "sign", {"a": b"b"}]) + frame({}) + frame(0)[:3]]


@cache
def _keys() -> signer.Keys:
    home = Path(tempfile.mkdtemp(prefix="soma-fuzz-"))
    roles = ("account", "validator", "node", "encoder-a")
    with quick_scrypt():
        KeyStore(home).ensure(roles)
        return signer.Keys(signer.Open(directory=str(home), chain=bytes(32), roles=roles))


def _asked(data: bytes) -> list[list[object]]:
    return signer.answer_all(_keys(), Splitter().feed(data))


def _answers_travel(answers: list[list[object]], _data: bytes) -> None:
    for answer in answers:
        frame(answer)
        if answer[1] is True:
            assert len(answer[2]) in (32, 64)  # type: ignore[arg-type]
    beacons = _keys().beacons
    assert beacons is not None
    while True:  # nobody builds them here
        try:
            beacons._orders.get_nowait()
        except Empty:
            return


def _signed() -> list[bytes]:
    asked: list[Any] = [
        signer.Sign(role="account", domain="soma/tx", epoch=1, body=b"a"),
        signer.Sign(role="validator", domain="soma/block", epoch=0, body=b"a", slot=0),
        signer.Sign(role="node", domain="soma/hello", epoch=0, body=b"a"),
        signer.Anchor(epoch=1, rounds=10),
        signer.Link(epoch=1, round=1),
        signer.Open(directory=".", chain=bytes(32)),
    ]
    names = {kind: name for name, kind in signer.REQUESTS.items()}
    return [frame([number, names[type(one)], to_value(one)]) for number, one in enumerate(asked)]


class _Pipe:
    """A pipe that holds bytes and then ends, as the node's and as a child's side read it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._piece = 1 + len(data) // 5

    async def receive_some(self, _most: int | None = None) -> bytes:
        return self._take(self._piece)

    def raw(self, size: int) -> bytes:
        data = self._take(size)
        if len(data) < size:
            raise EOFError
        return data

    def _take(self, size: int) -> bytes:
        piece, self._data = self._data[:size], self._data[size:]
        return piece


class _Nursery:
    def start_soon(self, *_work: object) -> None:
        pass


OPENED = worker.Open(
    plugin=("encoder-fuzz", "fuzz", "soma-encoder-fuzz", "0.1.0", ""),
    hidden=(),
    shown=(),
    needs=("network",),
    config="{}",
    directory=".",
    memory=1 << 30,
)


@cache
def _worker() -> Worker:
    return Worker(Plugin(*OPENED.plugin), OPENED, Limits(), None)


BATCH, DIM = 3, 4


def _answer(data: bytes) -> Any:
    """The first byte says whether the worker that says the rest is open already."""
    pipe: Any = _Pipe(data[1:])
    child: Any = SimpleNamespace(answered=int(data[:1] == b"s"))
    nursery: Any = _Nursery()
    hosted = _worker()
    hosted._to_sign = 0
    answered = driven(hosted._receive(child, nursery, FrameReader(pipe)))
    if answered is None:
        return None
    answer = answered[1]
    if not child.answered:
        if (fault := hosted._opened(answer)) is not None:
            hosted._info = None
            raise fault
        info, hosted._info = hosted.info, None
        assert type(info.dim) is type(info.max_batch) is int
    elif isinstance(answer, Arrays):
        if len(answer.header) == 2:
            return checked_evaluation("encoder-fuzz", answer, 0, BATCH, BATCH, DIM).bits_per_byte
        return checked_vectors("encoder-fuzz", answer, 0, BATCH, BATCH, DIM)
    else:
        assert answer is None or isinstance(answer, EncoderError)
    return None


def _is_finite(found: Any, _data: bytes) -> None:
    if found is not None:
        assert np.isfinite(found).all()
        assert found.shape[0] == BATCH


def _answers() -> list[bytes]:
    info = {
        "dim": 4,
        "weights": bytes(32),
        "architecture": "opaque",
        "numeric": "f32",
        "modalities": ["bytes"],
        "max_batch": 8,
        "frame": 3,
    }
    vectors = np.ones((BATCH, DIM), "<f4").tobytes()
    return [
        b"s" + frame([1, "run", [["<f4", [BATCH, DIM]]]]) + vectors,
        b"s" + frame([1, "run", [["<f4", [BATCH, DIM]], ["<f8", [BATCH]]]]) + vectors + np.ones(BATCH, "<f8").tobytes(),
        b"s" + frame([1, "failed", "what", "remedy"]),
        b"s" + frame([1, "skipped"]),
        b"s" + frame([1, "sign", b"body"]),
        b"o" + frame([0, "open", info, ["no network"]]) + b"map",
    ]


def _ordered(data: bytes) -> Any:
    """The first byte says whether the rest opens a worker, or is said to an open one."""
    pipe: Any = _Pipe(data[1:])
    value = worker.Pipe.value(pipe)
    if data[:1] == b"o":
        return worker._first(value)
    inbox = worker.Inbox(pipe)
    inbox._take(value)
    return inbox


def _orders() -> list[bytes]:
    return [
        b"o" + frame([0, "open", to_value(OPENED)]),
        b"s" + frame([1, "run", to_value(worker.Run(sizes=(3, 0), seed=None))]) + b"abc",
        b"s" + frame([1, "cancel"]),
        b"s" + frame([1, "signed", bytes(64)]),
        b"s" + frame([1, "signed", None]),
    ]


def _logged(data: bytes) -> list[str]:
    lines = _child_log.Lines(0.0)
    middle = len(data) // 2
    return [*lines.feed(data[:middle], 1.0), *lines.feed(data[middle:], 20.0), *lines.end()]


def _are_lines(lines: list[str], _data: bytes) -> None:
    for line in lines:
        assert line.replace("\t", "").isprintable()
        assert len(line) <= 10 * _child_log.LINE_MAX


def _outputs() -> list[bytes]:
    return [b"one\r\ntwo\tand\x1b[2J\nWort \xc3\xa4 \xff\n", b"x" * 3000 + b"\nend", b"\n" * 300]


DECODERS = (
    Decoder("control-request", _request, (DecodeError,), _request_again, _requests),
    Decoder("control-reply", _reply, (DecodeError,), _reply_again, _replies),
    Decoder("child-frames", _cut, (DecodeError,), _cut_again, _frames),
    Decoder("signer-request", _asked, (DecodeError,), _answers_travel, _signed),
    Decoder("worker-answer", _answer, (DecodeError, EOFError, EncoderError, PluginError), _is_finite, _answers),
    Decoder("worker-request", _ordered, (DecodeError, EOFError), no_law, _orders),
    Decoder("child-log", _logged, (), _are_lines, _outputs, 8192),
)
