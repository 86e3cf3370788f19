"""Hunting through a running node: data scored once by its encoders, held against every target that opens.

A file belongs to the assigned encoder that predicts it best, as the race has it: before it is submitted, those that are
not at hand are asked too. One connection asks; submissions wait for the chain in threads of their own.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from attrs import define, frozen

from soma_core import fixed
from soma_core.api import control, racing
from soma_core.errors import SomaError, UnreachableError

from ._client import Node

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Answer = tuple[bytes, int, NDArray[np.int16]]

AT_ONCE: Final = 8
"""Submissions under way at a time."""
LOOK_EVERY: Final = 0.3
"""Seconds between two looks at what is sought."""


@frozen(kw_only=True)
class Catch:
    """A file that was submitted. `outcome`: ``hit``, ``waiting``, ``lost``, ``refused`` or ``failed``; `text` says why.

    ``waiting``: somebody who sealed earlier has hit; if that is found false, this is next.
    """

    path: Path
    target: int
    encoder: bytes
    loss: int
    distance: int
    radius: int
    reward: int
    outcome: str
    text: str = ""


@frozen
class _Beaten:
    """A file that another assigned encoder predicts better. `scores`: of those that were asked only now."""

    target: int
    scores: "tuple[Answer, ...]"


@define(eq=False)
class _Quarry:
    """A scored file, with the answer of each encoder, the lowest loss first. `digest`: of what was scored."""

    path: Path
    digest: bytes
    scores: "tuple[Answer, ...]"
    free: bool = True


@define(eq=False)
class _Sought:
    """An open target. `seen`: files that were held against it. `tried`: something is on its way to it."""

    target: racing.OpenTarget
    point: "NDArray[np.int16]"
    seen: int = 0
    tried: bool = False


@final
class Hunter:
    """One hunt through the node at `data_dir`, over its connection `node`. `told` hears of every catch."""

    def __init__(self, data_dir: Path, node: Node, told: Callable[[Catch], None] = lambda _catch: None) -> None:
        self._data_dir = data_dir
        self._node = node
        self._told = told
        self._files: list[_Quarry] = []
        self._sought: dict[int, _Sought] = {}
        self._under_way = 0
        self._done: queue.SimpleQueue[tuple[_Quarry, Catch | _Beaten]] = queue.SimpleQueue()
        self._looked = 0.0
        self.catches: list[Catch] = []
        self.failed: dict[str, int] = {}
        """Files that no encoder of the node takes, by what it says."""

    @property
    def scored(self) -> int:
        """Files that were scored."""
        return len(self._files)

    @property
    def hits(self) -> list[Catch]:
        """What hit."""
        return [catch for catch in self.catches if catch.outcome == "hit"]

    def unpredicted(self) -> int:
        """Scored files whose least loss is above what any open target takes."""
        most = max((sought.target.loss for sought in self._sought.values()), default=16 << 16)
        return sum(quarry.scores[0][1] > most for quarry in self._files)

    def score(self, path: Path) -> None:
        """Have a file scored. One that cannot be read or embedded is counted in `failed`."""
        try:
            data = path.read_bytes()
            reply, _ = self._node.ask_with_payload(control.SCORE, racing.AskScores(), data)
        except UnreachableError:
            raise
        except (OSError, SomaError) as error:
            why = error.what if isinstance(error, SomaError) else f"cannot be read: {error.strerror}"
            self.failed[why] = self.failed.get(why, 0) + 1
            return
        if reply.scores:
            self._files.append(_Quarry(path, blake2b(data).digest(), _answers(reply)))

    def look(self) -> None:
        """Hold what is new against what is sought, submit what hits, and hear what became of what was submitted."""
        self._hear()
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        self._looked = time.monotonic()
        self._refresh()
        for sought in self._sought.values():
            if self._under_way >= AT_ONCE:
                return
            if not sought.tried:
                self._hold(sought)

    def wait(self, seconds: float) -> None:
        """Wait a moment for what is under way."""
        deadline = time.monotonic() + seconds
        while self._under_way and time.monotonic() < deadline:
            self._hear(min(0.2, max(0.0, deadline - time.monotonic())))

    def _hear(self, seconds: float = 0.0) -> None:
        try:
            while True:
                quarry, catch = self._done.get(timeout=seconds) if seconds else self._done.get_nowait()
                self._under_way -= 1
                if isinstance(catch, _Beaten):
                    quarry.free, quarry.scores = True, _merged(quarry.scores, catch.scores)
                    if (sought := self._sought.get(catch.target)) is not None:
                        sought.tried, sought.seen = False, 0  # another file may be the one
                    continue
                quarry.free = catch.outcome in ("lost", "waiting")  # its blob is not spent
                self.catches.append(catch)
                self._told(catch)
        except queue.Empty:
            pass

    def _refresh(self) -> None:
        now = {target.number: (target, point) for target, point in open_targets(self._node)}
        self._sought = {number: sought for number, sought in self._sought.items() if number in now}
        for number, (target, point) in now.items():
            if number not in self._sought:
                self._sought[number] = _Sought(target, point)

    def _hold(self, sought: _Sought) -> None:
        """Hold the files that are new against one target, and submit the nearest that hits."""
        import numpy as np

        fresh, sought.seen = self._files[sought.seen :], len(self._files)
        able = [(quarry, score) for quarry in fresh if (score := _answer(quarry, sought.target)) is not None]
        if not able:
            return
        rows = np.stack([score[2] for _, score in able])
        products = fixed.dots(rows, sought.point[None])[:, 0].tolist()
        square = fixed.squared_norm(sought.point)
        near = [
            (fixed.ONE - fixed.cosq(product, fixed.squared_norm(row), square), place)
            for place, (product, row) in enumerate(zip(products, rows, strict=True))
        ]
        distance, place = min(near)
        if distance <= sought.target.radius:
            self._submit(sought, *able[place], distance)

    def _submit(self, sought: _Sought, quarry: _Quarry, score: "Answer", distance: int) -> None:
        sought.tried, quarry.free = True, False
        self._under_way += 1
        encoder, loss, vector = score
        target = sought.target
        unknown = set(target.encoders) - {known for known, _, _ in quarry.scores}

        def catch(outcome: str, text: str = "") -> None:
            caught = Catch(
                path=quarry.path,
                target=target.number,
                encoder=encoder,
                loss=loss,
                distance=distance,
                radius=target.radius,
                reward=target.reward,
                outcome=outcome,
                text=text,
            )
            self._done.put((quarry, caught))

        def run() -> None:
            asked = racing.Submit(target=target.number, encoder=encoder, loss=loss, vector=fixed.vector_bytes(vector))
            try:
                data = quarry.path.read_bytes()
                if blake2b(data).digest() != quarry.digest:  # its answers are of other bytes: that would cost the bond
                    catch("failed", "the file has changed since it was scored")
                    return
                with Node(self._data_dir) as node:
                    if unknown:
                        compared, _ = node.ask_with_payload(control.SCORE, racing.AskScores(target=target.number), data)
                        others = tuple(answer for answer in _answers(compared) if answer[0] in unknown)
                        if any(other[1] < loss for other in others):  # an audit would find it: that costs the bond
                            self._done.put((quarry, _Beaten(target.number, others)))
                            return
                    reply, _ = node.ask_with_payload(control.SUBMIT, asked, data)
                catch(reply.outcome, reply.text)
            except (OSError, SomaError) as error:
                catch("failed", str(error))

        # A daemon: whoever interrupts the hunt need not wait, the node brings what it has sealed to its end.
        threading.Thread(target=run, daemon=True).start()


def open_targets(node: Node) -> "Iterator[tuple[racing.OpenTarget, NDArray[np.int16]]]":
    """The open targets and their points, all pages."""
    first: int | None = 0
    while first is not None:
        reply, points = node.ask_with_payload(control.TARGETS, racing.AskTargets(first=first))
        size = 2 * reply.dimension
        for place, target in enumerate(reply.targets):
            yield target, fixed.vector_from_bytes(points[place * size : (place + 1) * size], reply.dimension)
        first = reply.next


def _answers(reply: racing.Scores) -> "tuple[Answer, ...]":
    """The scores of a datum, the lowest loss first."""
    found = [(s.encoder, s.loss, fixed.vector_from_bytes(s.vector, len(s.vector) // 2)) for s in reply.scores]
    return tuple(sorted(found, key=lambda answer: answer[1]))


def _merged(one: "tuple[Answer, ...]", other: "tuple[Answer, ...]") -> "tuple[Answer, ...]":
    return tuple(sorted((*one, *other), key=lambda answer: answer[1]))


def _answer(quarry: _Quarry, target: racing.OpenTarget) -> "Answer | None":
    """Of the encoders that the target is assigned to, the answer of the one that predicts the file best."""
    if not quarry.free:
        return None
    best = next((score for score in quarry.scores if score[0] in target.encoders), None)
    return best if best is not None and best[1] <= target.loss else None
