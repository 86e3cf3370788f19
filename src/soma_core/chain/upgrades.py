"""The rules' version: the committee's validators say which they can run, and the network changes when enough can.

Rules U12 to U15 of ``specs/18-epochs.md``.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from soma_core.errors import UpgradeError
from soma_core.records import uint

from .events import ProtocolChanged
from .execution import BASIS, Execution, Handler, Refusal
from .state import State, Table
from .validators import committee, quorum

PROTOCOL_MOST: Final = 1
"""The newest version of the rules that this software knows."""
VERSIONS_MOST: Final = 1 << 16
UPGRADE_BUFFER: Final = 5_000
"""Parts of 10,000 of the power above a quorum that must be ready as well: some may fail just then."""


@frozen
class Protocol:
    """The version of the rules in force. Where none is noted it is 1."""

    version: int = uint(least=1, most=VERSIONS_MOST, default=1)


@frozen
class Support:
    """The newest version that a validator's account says it can run."""

    version: int = uint(least=1, most=VERSIONS_MOST)


PROTOCOL: Final = Table("protocol", 0x42, Protocol)
SUPPORT: Final = Table("protocol support", 0x43, Support)


@frozen
class SupportProtocol:
    """Say that the sender's validator can run all versions of the rules up to this one."""

    version: int = uint(least=1, most=VERSIONS_MOST)


def _support(run: Execution, sender: bytes, action: SupportProtocol) -> None:
    if all(validator.account != sender for validator in committee(run.state)):
        raise Refusal("sender", "only a validator's account says which rules it can run")
    run.state.put(SUPPORT, sender, Support(action.version))


ACTIONS: Final[Mapping[str, Handler]] = {"support_protocol": Handler(SupportProtocol, _support)}


def protocol_of(state: State) -> int:
    """The version of the rules in force."""
    return (state.get(PROTOCOL) or Protocol()).version


def need_protocol(state: State) -> None:
    """Raises `UpgradeError` if this software does not know the rules in force."""
    version = protocol_of(state)
    if version > PROTOCOL_MOST:
        raise UpgradeError(
            f"the network goes on with version {version} of the rules; this software knows them up to {PROTOCOL_MOST}",
            "install a newer soma-core and start the node again; its data stay as they are",
        )


def on_epoch(run: Execution) -> None:
    """The next epoch has the newest version that a quorum, and half of the power above it, can run.

    Who has lost its seat is forgotten; the committee here is the one of the epoch that ends.
    """
    sitting = {validator.account: validator.power for validator in committee(run.state)}
    ready = []
    for account, support in list(run.state.scan(SUPPORT)):
        if account in sitting:
            ready.append((support.version, sitting[account]))
        else:
            run.state.delete(SUPPORT, account)
    powers = tuple(sitting.values())
    needed = quorum(powers)
    needed += -(-(sum(powers) - needed) * UPGRADE_BUFFER // BASIS)
    present = protocol_of(run.state)
    able = [v for v, _ in ready if v > present and sum(power for version, power in ready if version >= v) >= needed]
    if able:
        run.state.put(PROTOCOL, b"", Protocol(max(able)))
        run.events.append(ProtocolChanged(max(able)))
