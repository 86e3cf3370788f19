"""Randomness that nobody chooses: hash chains committed ahead, the beacon mixed from leaders' links, draws from it.

Each epoch every validator commits to the end of a hash chain (`Chain.anchor`) and, when it leads a round, shows that
round's link; anyone checks it against the last one known by hashing. Pure functions; rules B1 to B9 of
``specs/04-beacon.md``.
"""

from math import isqrt
from typing import Final

from .crypto import DIGEST_SIZE, digest

ROUNDS_MAX: Final = 1 << 22
"""The longest hash chain, and so the longest epoch in rounds: checking a link costs at most as many hashes."""
COUNTER_MAX: Final = (1 << 64) - 1
"""The largest place in a stream of integers."""

_SEED: Final = b"\x00"
_BLOCK: Final = b"\x01"
# What `draw_seed` and `uniform` hash begins differently, so that no purpose can be mistaken for a place in a stream.


def previous_link(link: bytes, round_: int) -> bytes:
    """The link of the round before, from the link of round `round_` >= 1."""
    return digest("soma/beaconlink", round_.to_bytes(8, "big"), link)


def links(seed: bytes, rounds: int) -> list[bytes]:
    """All links of an epoch by round: place 0 is the anchor that is committed, place `rounds` is the 32-byte `seed`."""
    _check_chain(seed, rounds)
    chain = [seed]
    for round_ in range(rounds, 0, -1):
        chain.append(previous_link(chain[-1], round_))
    chain.reverse()
    return chain


def verify_link(link: bytes, round_: int, known: bytes, known_round: int, rounds: int) -> bool:
    """Whether `link` is the link of `round_`, seen from the link `known` of an earlier round (0: the anchor).

    `rounds`: the epoch's length. A gap of n rounds costs n hashes; a round outside the epoch costs none. Never raises
    on anything a peer sends.
    """
    if len(link) != DIGEST_SIZE or not 0 <= known_round < round_ <= min(rounds, ROUNDS_MAX):
        return False
    for step in range(round_, known_round, -1):
        link = previous_link(link, step)
    return link == known


def mix(previous: bytes, link: bytes | None) -> bytes:
    """The beacon after a leader's slot, 32 bytes. A missing or wrong link, None, mixes nothing."""
    return previous if link is None else digest("soma/beacon", previous, link)


def draw_seed(beacon: bytes, purpose: bytes) -> bytes:
    """The seed, 32 bytes, of the draws made from the 32-byte `beacon` for one `purpose`, such as a job's key."""
    if len(beacon) != DIGEST_SIZE:
        raise ValueError(f"a beacon has {DIGEST_SIZE} bytes, not {len(beacon)}")
    return digest("soma/draw", _SEED, beacon, purpose)


def uniform(seed: bytes, counter: int, bound: int) -> int:
    """The integer at place `counter` of the stream that `seed` (any bytes) names: uniform in 0..`bound`-1.

    Unbiased: values as wide in bits as `bound` - 1 are taken until one is below `bound`, on average fewer than two.
    """
    if bound < 1 or not 0 <= counter <= COUNTER_MAX:
        raise ValueError(f"uniform(counter={counter}, bound={bound}): a bound is at least 1, a counter below 2^64")
    bits = (bound - 1).bit_length()
    blocks = -(-bits // (8 * DIGEST_SIZE))
    place = counter.to_bytes(8, "big")
    index = 0
    while True:
        value = 0
        for _ in range(blocks):
            value = value << 8 * DIGEST_SIZE | int.from_bytes(
                digest("soma/draw", _BLOCK, seed, place, index.to_bytes(8, "big")), "big"
            )
            index += 1
        value >>= 8 * DIGEST_SIZE * blocks - bits
        if value < bound:
            return value


class Chain:
    """A validator's own hash chain of one epoch, for its signer.

    Building costs `rounds` hashes; then it keeps about √`rounds` links, and any one costs at most as many hashes.
    """

    def __init__(self, seed: bytes, rounds: int) -> None:
        _check_chain(seed, rounds)
        self._rounds = rounds
        self._stride = isqrt(rounds) + 1
        self._kept = {rounds: seed}
        link = seed
        for round_ in range(rounds, 0, -1):
            link = previous_link(link, round_)
            if (round_ - 1) % self._stride == 0:
                self._kept[round_ - 1] = link

    @property
    def rounds(self) -> int:
        """The epoch's length in rounds."""
        return self._rounds

    @property
    def anchor(self) -> bytes:
        """The link of round 0, which is committed before the epoch begins."""
        return self._kept[0]

    def link(self, round_: int) -> bytes:
        """The 32-byte link of a round in 1..rounds. It is secret until its round is led; ValueError outside."""
        if not 1 <= round_ <= self._rounds:
            raise ValueError(f"round {round_} is outside 1..{self._rounds}")
        start = min(-(-round_ // self._stride) * self._stride, self._rounds)
        link = self._kept[start]
        for step in range(start, round_, -1):
            link = previous_link(link, step)
        return link

    def __repr__(self) -> str:
        return f"Chain(anchor={self.anchor.hex()[:12]}…, rounds={self._rounds})"


def _check_chain(seed: bytes, rounds: int) -> None:
    if len(seed) != DIGEST_SIZE or not 1 <= rounds <= ROUNDS_MAX:
        raise ValueError(f"a hash chain has a seed of {DIGEST_SIZE} bytes and 1 to {ROUNDS_MAX} rounds")
