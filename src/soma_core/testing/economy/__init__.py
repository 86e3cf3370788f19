"""An economy simulated: agents who mean well and agents who do not, over the real chain, in virtual time.

``simulate(setting, seats, hunters, epochs=1000)`` gives a `Report`; the same seed gives the same one. Everything that
moves money is the chain's own code, reached by signed transactions. What is made up is the data and the models.
`soma simulate economy` is this as a command.
"""

from .cast import Seat, Setting
from .players import cheats, everybody, honest, hunters
from .race import Hunter
from .run import Account, Economy, Income, Report, simulate

__all__ = [
    "Account",
    "Economy",
    "Hunter",
    "Income",
    "Report",
    "Seat",
    "Setting",
    "cheats",
    "everybody",
    "honest",
    "hunters",
    "simulate",
]
