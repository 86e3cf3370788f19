"""Integers from the beacon, for plugins that draw. Rules B6 to B9 of ``specs/04-beacon.md``."""

from soma_core.beacon import COUNTER_MAX, draw_seed, uniform

__all__ = ["COUNTER_MAX", "draw_seed", "uniform"]
