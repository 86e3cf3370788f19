"""The models of one encoder that run on a node: the registered one, and, while weights change, another beside it.

An answer comes from the weights with which the encoder was drawn, or from none. Rule O33 of ``specs/40-node.md``.
"""

from typing import Final, final

from soma_core import chain
from soma_core.errors import EncoderError
from soma_core.genesis import OPAQUE

from .answering import Judged
from .hosting import HostedEncoder
from .store import Store
from .threads import Thread

Pair = tuple[bytes, bytes]
"""The digests of a model's weights and of its frame map, as the chain names them."""

ANY: Final[Pair] = b"", b""
"""Where the chain names none: an opaque encoder, or one that is not registered."""


def pair_of(hosted: HostedEncoder) -> Pair:
    """What the chain calls the model, if it knows it."""
    return hosted.worker.info.weights, hosted.frame_digest


def registered_pair(state: chain.State, address: bytes) -> Pair:
    """The model that the encoder's account has registered."""
    encoder = state.get(chain.ENCODERS, address)
    return ANY if encoder is None or encoder.architecture == OPAQUE else (encoder.weights, encoder.frame)


def drawn_pairs(state: chain.State, address: bytes) -> list[Pair]:
    """The models with which the encoder was drawn for open jobs."""
    return [pair for _, job in state.scan(chain.JOBS) for pair in _pairs(job, address)]


def _pairs(job: chain.Job, address: bytes) -> list[Pair]:
    """With which it was drawn for this one, if it was."""
    return [
        ANY if member.opaque else (member.weights, member.frame) for member in job.shard if member.encoder == address
    ]


@final
class Models:
    """Answers with the model that the chain expects. `address`: the encoder's account."""

    def __init__(self, store: Store, thread: Thread, address: bytes) -> None:
        self._store = store
        self._thread = thread
        self._address = address
        self._hosted: dict[Pair, HostedEncoder] = {}

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Of those that run."""
        return tuple(self._hosted)

    def add(self, hosted: HostedEncoder) -> None:
        """It runs."""
        self._hosted[pair_of(hosted)] = hosted

    def remove(self, pair: Pair) -> None:
        """It runs no more."""
        del self._hosted[pair]

    async def answer(self, data: bytes, seed: bytes, /) -> Judged:
        """Vector and loss of one datum, by the weights with which the encoder was drawn for the job `seed`.

        By the registered ones if there is no such job. Raises `EncoderError`, also where these weights do not run here.
        """

        def look(state: chain.State) -> Pair:
            job = state.get(chain.JOBS, seed)
            drawn = [] if job is None else _pairs(job, self._address)
            return drawn[0] if drawn else registered_pair(state, self._address)

        pair = await self._thread.run(self._store.read, look)
        hosted = self._hosted.get(pair) if pair != ANY else next(iter(self._hosted.values()), None)
        if hosted is None:
            raise EncoderError(
                f"weights {pair[0].hex()[:12]} do not run on this node", "another answer would cost the encoder's stake"
            )
        return await hosted.answer(data, seed)
