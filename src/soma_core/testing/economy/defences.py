"""Each cheat against the defence that beats it, by name: what it earns, what honesty does, what it could without that.

Three economies a cheat: with it; with honest encoders in its seats; with it and without the defence, where a constant
or a parameter takes it away.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, field, frozen

from .answers import Honest
from .cast import BEFORE, Seat, Setting
from .models import specialist
from .players import cheats, honest
from .race import Hunter, Way
from .run import Income, simulate

KINDS: Final = ("text", "code")
"""Kinds of data there are: the cheats are good at the first."""
TRIES: Final = 300
Constants = Mapping[str, int]
_RE_EXECUTION: Final = "re-execution by auditors"
_ONCE: Final = "equal weights are drawn once"
_NO_AUDITS: Final[Constants] = {"audit_ms": 0}
_NO_GATE: Final[Constants] = {"gate_open": 0, "gate_slope": 0}


@frozen(kw_only=True)
class Case:
    """A cheat, the name of what beats it, and how to do without that; `off` is None where nothing can take it away.

    `constants` are the scoring rule's, `parameters` those of genesis. `way`: it is a hunter. `rules`: which have it.
    """

    name: str
    defence: str
    constants: Constants = field(factory=dict)
    parameters: Constants = field(factory=dict)
    way: Way | None = None
    lacking: Sequence[str] = ()

    @property
    def can_be_off(self) -> bool:
        """Whether there is a constant or parameter that takes the defence away."""
        return bool(self.constants or self.parameters)


CASES: Final[Sequence[Case]] = (
    Case(name="lazy", defence=_RE_EXECUTION, parameters=_NO_AUDITS),
    Case(name="loss liar", defence=_RE_EXECUTION, parameters=_NO_AUDITS),
    Case(name="copier of answers", defence="a seal names its maker"),
    Case(name="copier of weights", defence=_ONCE),
    Case(name="perturbed copier", defence="the earliest of level losses wins", constants={"winner_band": 0}),
    Case(name="constant direction", defence="the gate", constants=_NO_GATE),
    Case(name="constant pair", defence="the gate", constants=_NO_GATE),
    Case(name="constant triple", defence="the gate", constants=_NO_GATE),
    Case(name="cached neighbour", defence=_RE_EXECUTION, parameters=_NO_AUDITS),
    Case(name="colluders", defence=_RE_EXECUTION, parameters=_NO_AUDITS),
    Case(name="Sybil", defence=_ONCE),
    Case(name="withholder", defence="silence is fined", constants={"fine_pot": 1 << 30}),
    Case(name="front-runner", defence="who sealed first hits", way="front-runner"),
    Case(
        name="garbage optimiser",
        defence="the ceiling of losses in a cell",
        constants={"cell_neighbours": 1 << 16},
        way="garbage optimiser",
        lacking=("scoring-soma",),
    ),
    Case(name="random bytes", defence="the greatest loss of a hit", way="random bytes"),
    Case(name="made-up hit", defence=_RE_EXECUTION, parameters=_NO_AUDITS, way="made-up hit"),
    Case(name="withholder of hits", defence="the bond", way="withholder"),
)


@frozen(kw_only=True)
class Row:
    """SOMA an epoch, after the first fifth: of the `cheat`, of `honest` ones in its place, `without` the defence.

    `seen`: what was counted of the cheat. `holds`: an encoder that cheated earned no more than an honest one beyond
    what luck may explain; a hunter that cheated earned nothing at all.
    """

    case: Case
    cheat: Income
    honest: Income
    without: Income | None
    seen: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether cheating did not pay."""
        return self.cheat.mean <= 0 if self.case.way else not self.cheat.exceeds(self.honest)

    def told(self) -> dict[str, Any]:
        """The row, for JSON."""
        return {
            "agent": self.case.name,
            "defence": self.case.defence,
            "earns": self.cheat.told(),
            "honest_in_its_place": self.honest.told(),
            "without_the_defence": None if self.without is None else self.without.told(),
            "holds": self.holds,
            "seen": {name: count for name, count in self.seen.items() if count},
        }


def table(
    setting: Setting, epochs: int, cases: Sequence[Case] = CASES, progress: Callable[[str], None] | None = None
) -> Iterator[Row]:
    """The rows of `cases` under the rule of `setting`, each over `epochs`."""
    setting = evolve(setting, kinds=KINDS)
    known: dict[str, Income] = {}
    for case in cases:
        if progress is not None:
            progress(case.name)
        yield _race_row(setting, epochs, case, known) if case.way else _encoder_row(setting, epochs, case)


def _encoder_row(setting: Setting, epochs: int, case: Case) -> Row:
    party = cheats(setting.source)[case.name]
    report = simulate(setting, [*_base(), *party], epochs=epochs)
    twins = _twins(party)
    honestly = simulate(setting, [*_base(), *twins], epochs=epochs).income([one.name for one in twins])
    seen: dict[str, int] = {}
    for seat in party:
        for name, count in seat.seen.items():
            seen[name] = seen.get(name, 0) + count
    without = None
    if case.can_be_off:
        again = cheats(setting.source)[case.name]
        off = simulate(_off(setting, case), [*_base(), *again], epochs=epochs)
        without = off.income([one.name for one in again])
    cheat = report.income([one.name for one in party])
    return Row(case=case, cheat=cheat, honest=honestly, without=without, seen=seen)


def _race_row(setting: Setting, epochs: int, case: Case, known: dict[str, Income]) -> Row:
    assert case.way is not None
    found: list[Income] = []
    seen: Mapping[str, int] = {}
    setting = evolve(setting, before=BEFORE)
    off = _off(setting, case) if case.can_be_off and setting.rule not in case.lacking else None
    for chosen in (setting, off):
        if chosen is not None:
            racing = [*_hunters(), Hunter("cheat", case.way, tries=TRIES)]
            report = simulate(chosen, _base(), racing, epochs=epochs)
            found.append(report.income(["cheat"]))
            seen = seen or report.of("cheat").seen
    if "race" not in known:
        report = simulate(setting, _base(), [*_hunters(), Hunter("twin", tries=TRIES)], epochs=epochs)
        known["race"] = report.income(["twin"])
    cheat, *without = found
    return Row(case=case, cheat=cheat, honest=known["race"], without=without[0] if without else None, seen=seen)


def _base() -> list[Seat]:
    return honest(3, KINDS)


def _twins(party: Sequence[Seat]) -> list[Seat]:
    """The same accounts, honest: with their weights, or with trained ones where the cheat is in the weights.

    Where a stake was divided among equal weights it is one again.
    """
    first = party[0]
    if len({seat.model.seed for seat in party}) < len(party):
        return [Seat(first.name, first.model, stake=sum(seat.stake for seat in party))]
    return [
        Seat(
            seat.name, specialist(1_200 + place, "text") if seat.strategy == Honest() else seat.model, stake=seat.stake
        )
        for place, seat in enumerate(party)
    ]


def _hunters() -> list[Hunter]:
    return [Hunter(f"hunter{place}", tries=TRIES) for place in range(2)]


def _off(setting: Setting, case: Case) -> Setting:
    return evolve(
        setting,
        constants={**setting.constants, **case.constants},
        parameters={**setting.parameters, **case.parameters},
    )
