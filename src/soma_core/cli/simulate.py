"""``soma simulate``: networks on virtual time. One of real engines with all that can go wrong; one of money."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soma_core.errors import FindingsError, UsageError

from ._default import DefaultGroup
from ._options import json_option
from ._print import colour, columns, data, data_json, talk

if TYPE_CHECKING:
    from soma_core.testing import economy as money
    from soma_core.testing.simulation import Report


@click.group(cls=DefaultGroup, default="network")
def simulate() -> None:
    """Run something simulated, the same every time for a seed. Without a name: `network`."""


@simulate.command()
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides everything else.")
@click.option("--nodes", type=click.IntRange(1, 100), metavar="K", help="Members of the committee; else drawn.")
@click.option("--plugin", default="consensus-dag", show_default=True, metavar="NAME", help="Whose engine is run.")
@click.option("--seconds", type=click.IntRange(15, 3600), metavar="S", help="Virtual seconds; else drawn.")
@click.option("--trace", is_flag=True, help="Print every step of every engine, a line each.")
@json_option
def network(seed: int, nodes: int | None, plugin: str, seconds: int | None, *, trace: bool, as_json: bool) -> None:
    """Run one simulated network to its end. Exit status 6 if something is not as it must be.

    The same seed and options give the same run, byte for byte.
    """
    from soma_core.plugins import Plugins
    from soma_core.testing.simulation import Trace, draw, plugin_engines
    from soma_core.testing.simulation import simulate as run

    name = Plugins().find(plugin).name
    if not name.startswith("consensus-"):
        raise UsageError(f"{name} orders nothing", "name a consensus plugin: soma plugins list")
    alone = plugin_engines(name).alone
    if alone and (nodes or 1) > 1:
        raise UsageError(f"{name} serves committees of one", "leave --nodes out, or use consensus-dag")
    scenario = draw(seed, nodes=nodes, seconds=seconds, alone=alone)
    report = run(scenario, plugin_engines(name, params=scenario.params), Trace(data) if trace else None)
    if as_json:
        data_json(report.told())
    else:
        _print(name, report)
    if not report.held:
        chosen = "".join(f" --{key} {value}" for key, value in (("nodes", nodes), ("seconds", seconds)) if value)
        raise FindingsError(
            f"seed {seed}: {report.found.splitlines()[0]}",
            f"replay it with `soma simulate --plugin {name} --seed {seed}{chosen} --trace`",
        )


@simulate.command()
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides everything else.")
@click.option("--epochs", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How long it runs.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Embeddings bought an epoch.")
@click.option("--rule", default="scoring-balanced", show_default=True, metavar="NAME", help="A scoring plugin.")
@click.option("--png", type=click.Path(path_type=Path), metavar="FILE", help="Draw who earned what.")
@json_option
def economy(*, seed: int, epochs: int, jobs: int, rule: str, png: Path | None, as_json: bool) -> None:
    """Run an economy of honest agents and cheats over the real chain, and say who earned what.

    Data and models are made up; every payment, fine and slash is the chain's own.
    """
    from soma_core.plugins import Plugins
    from soma_core.testing import economy as money

    name = Plugins().find(rule).name
    if not name.startswith("scoring-"):
        raise UsageError(f"{name} scores nothing", "name a scoring plugin: soma plugins list")
    setting = money.Setting(seed=seed, rule=name, jobs=jobs)
    seats, hunters = money.everybody(setting.source), money.hunters()
    with click.progressbar(length=epochs, label="epochs", file=sys.stderr) as bar:
        report = money.simulate(setting, seats, hunters, epochs=epochs, progress=lambda _: bar.update(1))
    if png is not None:
        from soma_core.testing.economy.drawing import draw

        draw(report, png)
        talk(f"drawn: {png}")
    if as_json:
        data_json(report.told())
    else:
        _tell(report)


def _tell(report: "money.Report") -> None:
    data(f"{report.setting.rule}, seed {report.setting.seed}: {report.epochs} epochs, {report.settled} jobs settled")
    rows = [("who", "earned, SOMA", "what became of it")]
    for one in sorted(report.accounts, key=lambda one: -one.total):
        noted = ", ".join(f"{count} {what}" for what, count in one.seen.items() if count and what not in _SUMS)
        rows.append((one.name, f"{one.total:+.2f}", noted))
    for line in columns(rows):
        data(line)
    talk(f"{report.cpu_ms / 1000:.1f} s of CPU, {report.transactions} transactions in {report.commits} commits")


_SUMS = frozenset({"pots", "fines", "slashes"})


def _print(name: str, report: "Report") -> None:
    s = report.scenario
    liars = ", ".join(f"{place} {kind}" for place, kind in sorted(s.liars.items()))
    losers = ", ".join(f"{place} {loss}" for place, loss in sorted(s.losers.items()))
    rows = [
        ("engine", name),
        ("members", f"{s.nodes}, power {' '.join(map(str, s.powers))}, of which {s.bearable} may lie"),
        ("network", s.schedule),
        ("faults", ", ".join(s.faults) or "none"),
        ("Byzantine", liars or "nobody"),
        ("disks that forget", losers or "none"),
        ("parameters", ", ".join(f"{key} {value}" for key, value in s.params.items())),
        ("time", f"{report.at / 1000:.1f} s of {s.length / 1000:.1f} s, calm from {s.calm / 1000:.1f} s"),
        ("commits", f"{report.commits} in {report.epochs + 1} epochs"),
        ("transactions", str(report.transactions)),
        ("messages", str(report.messages)),
        ("deaths", str(report.deaths)),
        ("recovery", f"{report.recovery / 1000:.2f} s until all had new commits"),
        ("fingerprint", report.fingerprint),
        ("verdict", colour("held", "green") if report.held else colour(f"broken: {report.found}", "red")),
    ]
    for line in columns(rows):
        data(line)
    speed = s.nodes * report.at // max(1, report.cpu_ms)
    talk(f"{report.cpu_ms / 1000:.2f} s of CPU, {speed} seconds of a member in each")  # not the same every time
