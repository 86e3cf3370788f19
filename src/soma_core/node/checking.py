"""What an auditor computes of an encoder's claims: its position and best anchors anew, and its vectors of fresh data.

Rule AU31 of ``specs/25-audits.md``.
"""

import logging
from collections.abc import Sequence
from typing import Final, Protocol, final

import numpy as np
import trio

from soma_core import chain, fixed
from soma_core.errors import EncoderError, RefusedError, SomaError, StorageError
from soma_core.genesis import Genesis
from soma_core.model import bundled_anchors, network_frame, unit

from .answering import Judged
from .encoding import NoWorkerError
from .validating import Fetch

OWN: Final = (NoWorkerError, RefusedError, StorageError)
"""Troubles of this node. It is silent then: they say nothing of anybody's answer."""
FETCHES: Final = 4
"""Data that are fetched at a time."""

_log = logging.getLogger("soma.checking")


class Checker(Protocol):
    """The engine of reference, for many data."""

    async def answers(self, item: chain.Item, data: Sequence[bytes], seed: bytes, /) -> list[Judged]:
        """Vector and loss of each datum. Raises `SomaError` if the item's weights give none."""
        ...


@final
class Checking:
    """Computes claims again. `fetch`: how data are got."""

    def __init__(self, checker: Checker, genesis: Genesis, fetch: Fetch) -> None:
        self._checker = checker
        self._genesis = genesis
        self._fetch = fetch

    async def results(self, audit: chain.Audit) -> tuple[chain.Result, ...]:
        """What the engine says of each item. Raises `SomaError` if weights or anchors are not to be had."""
        asked = {chain.ASPECTS[item.member] for item in audit.items}
        anchors = await trio.to_thread.run_sync(self._anchors) if asked - {"frame"} else []
        fresh = await self._fresh(audit.anchors)
        had = [data for data in fresh if data is not None]
        judged = await self._checker.answers(audit.items[0], [*anchors, *had], audit.key)
        said = _speciality(judged[: len(anchors)]) if anchors else {}
        vectors = iter(judged[len(anchors) :])
        nothing = bytes(2 * self._genesis.parameters.dimension)
        said["frame"] = b"".join(
            nothing if data is None else fixed.vector_bytes(next(vectors).vector) for data in fresh
        )
        return tuple(chain.Result(loss=0, vector=said[chain.ASPECTS[item.member]]) for item in audit.items)

    def _anchors(self) -> list[bytes]:
        """The network's anchors. Raises `SomaError` if they are not those that are bundled."""
        if network_frame()[0] != self._genesis.anchors:
            raise EncoderError("the network's anchors are not at hand", "they are not those of the bundled encoders")
        return [item.data for item in bundled_anchors()]

    async def _fresh(self, anchors: Sequence[chain.Anchor]) -> list[bytes | None]:
        """The data, as far as anybody has them. Raises one of `OWN`."""
        found: list[bytes | None] = [None] * len(anchors)
        own: list[SomaError] = []
        few = trio.CapacityLimiter(FETCHES)

        async def get(place: int, anchor: chain.Anchor) -> None:
            try:
                async with few:
                    found[place] = await self._fetch(anchor.blob, anchor.size)
            except OWN as error:
                own.append(error)
            except SomaError as error:
                _log.info("a fresh datum is not to be had: %s", error)

        async with trio.open_nursery() as nursery:
            for place, anchor in enumerate(anchors):
                nursery.start_soon(get, place, anchor)
        if own:
            raise own[0]
        return found


def _speciality(judged: Sequence[Judged]) -> dict[str, bytes]:
    """What weights are good at that give the anchors these answers, as `soma encoder align` finds it."""
    best = chain.best_anchors([each.loss for each in judged])
    chosen = np.unpackbits(np.frombuffer(best, np.uint8))[: len(judged)].astype(bool)
    vectors = np.stack([each.vector for each in judged]).astype(np.float64)
    position = fixed.quantise(unit(vectors[chosen]).sum(0))
    return {"best": best, "position": fixed.vector_bytes(position)}
