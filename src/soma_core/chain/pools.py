"""Money that belongs to no account: what validators share at the epoch's end, the treasury, what is burned."""

from typing import Final

from attrs import evolve, frozen

from soma_core.genesis import SUPPLY_MOST
from soma_core.records import uint

from .state import State, Table


@frozen(kw_only=True)
class Pools:
    """Shannons. `validators`: fees and emission of this epoch, not yet shared. `emitted`: ever; it is not held here."""

    validators: int = uint(most=SUPPLY_MOST, default=0)
    treasury: int = uint(most=SUPPLY_MOST, default=0)
    burned: int = uint(most=SUPPLY_MOST, default=0)
    emitted: int = uint(most=SUPPLY_MOST, default=0)


POOLS: Final = Table("pools", 0x10, Pools, lambda p: p.validators + p.treasury + p.burned)


def add_to_pools(state: State, *, validators: int = 0, treasury: int = 0, emitted: int = 0) -> None:
    """Put money that was taken elsewhere (or, with `emitted`, newly made) into the pools."""
    pools = state.need(POOLS)
    state.put(
        POOLS,
        b"",
        evolve(
            pools,
            validators=pools.validators + validators,
            treasury=pools.treasury + treasury,
            emitted=pools.emitted + emitted,
        ),
    )
