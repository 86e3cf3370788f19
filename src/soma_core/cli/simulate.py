"""``soma simulate``: a network of real engines and chains on virtual time, with everything that can go wrong."""

from typing import TYPE_CHECKING

import click

from soma_core.errors import FindingsError, UsageError

from ._options import json_option
from ._print import colour, columns, data, data_json, talk

if TYPE_CHECKING:
    from soma_core.testing.simulation import Report


@click.command()
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides everything else.")
@click.option("--nodes", type=click.IntRange(1, 100), metavar="K", help="Members of the committee; else drawn.")
@click.option("--plugin", default="consensus-dag", show_default=True, metavar="NAME", help="Whose engine is run.")
@click.option("--seconds", type=click.IntRange(15, 3600), metavar="S", help="Virtual seconds; else drawn.")
@click.option("--trace", is_flag=True, help="Print every step of every engine, a line each.")
@json_option
def simulate(seed: int, nodes: int | None, plugin: str, seconds: int | None, *, trace: bool, as_json: bool) -> None:
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
