"""What one member's engine of ``consensus-dag`` was told in a run of a whole committee, to be told again to others.

The committee runs on virtual time, without payload and with the delays of `soma_core.testing.committee`. Its own
signatures are hashes; here every block gets a real one, by a key of its author. A block's name does not depend on its
signature, so the run is the same.
"""

from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from soma_consensus_dag import Config, Params, open_engine
from soma_consensus_dag import _messages as messages
from soma_consensus_dag._block import Block, Format
from soma_consensus_dag._committee import Committee as Powers
from soma_core.api import Event, Member, Received, Send, Setup, Signed, Verified, Verify
from soma_core.crypto import SecretKey, signing_digest
from soma_core.testing.committee import Committee, setup_of

CONFIG: Final = Config(min_round_ms=50, idle_ms=50)
"""Idle rounds follow each other as fast as busy ones."""
PARAMS: Final = Params()
ME: Final = 0
"""The place of the member whose engine it is."""
ROUND_MS: Final = 60
"""Virtual time that is enough for a round here."""


@frozen
class Log:
    """`events`: (event, time) pairs. `arrivals`: by step, blocks that were verified or made then. `keys`: by place."""

    setup: Setup
    events: tuple[tuple[Event, int], ...]
    arrivals: tuple[tuple[Block, ...], ...]
    keys: tuple[SecretKey, ...]


def record(members: int, rounds: int, seed: int) -> Log:
    """The log of a committee of `members` over so many rounds, or a few more."""
    committee = Committee(lambda setup: open_engine(CONFIG, PARAMS, setup), members, seed)
    committee.run(rounds * ROUND_MS)
    plain = setup_of(members, ME)
    keys = tuple(SecretKey(bytes([1 + place]) * 32) for place in range(members))
    setup = evolve(plain, committee=tuple(Member(key.public, 1) for key in keys))
    signed = _Signing(setup, keys)
    events: list[tuple[Event, int]] = []
    arrivals: list[tuple[Block, ...]] = []
    asked: dict[int, tuple[Block, ...]] = {}
    for told, now, actions in committee.seats[ME].log:
        event, came = told, ()
        match told:
            case Received(peer, message):
                blocks, event = signed.message(peer, message)
                asked.update((action.id, blocks) for action in actions if isinstance(action, Verify))
            case Verified(identity, _):
                came = asked.pop(identity)
            case Signed(slot, _):
                own = [action.message for action in actions if isinstance(action, Send)]
                came = tuple(block for message in own for block in signed.message(ME, message)[0])
                event = Signed(slot, came[0].signature)
        events.append((event, now))
        arrivals.append(came)
    return Log(setup, tuple(events), tuple(arrivals), keys)


class _Signing:
    def __init__(self, setup: Setup, keys: Sequence[SecretKey]) -> None:
        self._format = Format(setup.chain, setup.epoch, Powers([member.power for member in setup.committee]))
        self._keys = keys
        self._signed: dict[bytes, Block] = {}

    def message(self, peer: int, data: bytes) -> tuple[tuple[Block, ...], Received]:
        """The blocks of a message, and the message with them; it has none if it is about something else."""
        message = messages.unpack(data)
        if not isinstance(message, messages.Blocks):
            return (), Received(peer, data)
        blocks = tuple(self._block(wire) for wire in message.wires)
        return blocks, Received(peer, messages.pack(messages.Blocks(tuple(block.wire for block in blocks))))

    def _block(self, wire: bytes) -> Block:
        block = self._format.parse(wire)
        known = self._signed.get(block.ref[2])
        if known is None:
            known = self._signed[block.ref[2]] = block.signed(self._keys[block.author].sign(block.ref[2]))
        return known


def body_digest(setup: Setup, body: bytes) -> bytes:
    """What the signer signs of a block's header."""
    return signing_digest("soma/block", setup.chain, setup.epoch, body)
