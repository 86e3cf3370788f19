"""A network simulated: real engines, the real chain, and everything that can go wrong, from one seed.

``simulate(draw(seed), plugin_engines("consensus-dag"))`` gives a `Report`; the same seed gives the same run, byte for
byte. `soma simulate` is this as a command.
"""

from .engines import Engines, plugin_engines
from .run import Report, simulate
from .scenario import Scenario, draw, recall
from .tracing import Trace

__all__ = ["Engines", "Report", "Scenario", "Trace", "draw", "plugin_engines", "recall", "simulate"]
