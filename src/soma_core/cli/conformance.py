"""``soma conformance``: a plugin against the published suite of its kind, or against a file of vectors."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soma_core.errors import FindingsError, PluginError, UsageError

from ._options import json_option, with_options
from ._print import colour, data, data_json

if TYPE_CHECKING:
    from soma_core.config import Options
    from soma_core.plugins import Plugin, Plugins
    from soma_core.testing import Outcome


@click.command()
@click.argument("name")
@click.option("--vectors", type=click.Path(path_type=Path), metavar="FILE", help="Run this file of vectors instead.")
@click.option("--known", multiple=True, metavar="CASE=REASON", help="Expect this failure; that it passes is then one.")
@with_options
@json_option
def conformance(options: "Options", name: str, vectors: Path | None, known: tuple[str, ...], *, as_json: bool) -> None:
    """Hold a plugin against the suite of its kind. Exit status 6 if a case fails that is not --known to."""
    from soma_core.config import DEFAULT, gather, plain
    from soma_core.plugins import Plugins

    found = Plugins()
    plugin = found.find(name)
    spec = found.load(plugin)
    if vectors is not None:
        if known:
            raise UsageError("--known does not go with --vectors", "vectors hold or do not; leave one of them out")
        outcomes = _run_vectors(found, plugin, vectors)
    else:
        resolved = gather(options).resolve({plugin.name: spec}, found.installed)
        section = f"{plugin.kind}.{plugin.short}"
        given = {row.key: row for row in resolved.rows if row.section == section and row.origin != DEFAULT}
        config = resolved.of(plugin.name, spec.config)
        outcomes = _run_suite(plugin, {key: plain(getattr(config, key)) for key in given}, _reasons(known))
    _print(plugin, outcomes, as_json=as_json)


def _run_vectors(found: "Plugins", plugin: "Plugin", file: Path) -> "list[Outcome]":
    from soma_core.errors import SomaError
    from soma_core.plugins import describe
    from soma_core.testing import Outcome

    run = found.vectors(plugin)
    if run is None:
        raise UsageError(
            f"{plugin.title}: {plugin.module} has no conformance_vectors", "run `soma conformance` without --vectors"
        )
    try:
        with file.open("rb"):
            pass
        return [Outcome(str(case.name), "passed" if case.ok else "failed", str(case.detail)) for case in run(file)]
    except SomaError:
        raise
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}", "name a file of vectors") from error
    except Exception as error:
        raise PluginError(
            f"{plugin.title}: conformance_vectors() raised {describe(error)}",
            f"report it to the author of {plugin.distribution}, with the file",
        ) from error


def _reasons(known: tuple[str, ...]) -> dict[str, str]:
    """Case → reason. Raises `UsageError`."""
    pairs = [text.partition("=") for text in known]
    for name, _, reason in pairs:
        if not name or not reason.strip():
            raise UsageError(f"--known {name!r} has no reason", "write --known test_name='why it fails'")
    return {name: reason for name, _, reason in pairs}


def _run_suite(plugin: "Plugin", config: dict[str, Any], known: dict[str, str]) -> "list[Outcome]":
    if plugin.kind == "command":
        raise UsageError(
            f"{plugin.title}: there is no suite for commands", f"`soma plugins check {plugin.name}` tries it"
        )
    try:
        from soma_core.testing import run_suite
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the suites need {error.name}, which is not installed",
            "python3 -m pip install pytest pytest-trio hypothesis",
        ) from error
    try:
        return run_suite(plugin.kind, plugin.qualified, config, known)
    except ValueError as error:
        raise UsageError(str(error), "`soma conformance` without --known lists the cases") from error


def _print(plugin: "Plugin", outcomes: "list[Outcome]", *, as_json: bool) -> None:
    counts = {kind: sum(one.outcome == kind for one in outcomes) for kind in ("passed", "failed", "skipped", "known")}
    if as_json:
        cases = [{"name": one.name, "ok": one.ok, "outcome": one.outcome, "detail": one.detail} for one in outcomes]
        data_json({"plugin": plugin.name, **counts, "cases": cases})
    else:
        for one in outcomes:
            mark = colour(one.outcome, {"passed": "green", "failed": "red"}.get(one.outcome, "yellow"))
            data(f"{mark}  {one.name}")
            if one.detail and one.outcome != "passed":
                data("\n".join(f"        {line}" for line in one.detail.splitlines()))
        said = {"known": "known to fail"}
        told = [f"{count} {said.get(kind, kind)}" for kind, count in counts.items() if count or kind != "known"]
        data(f"{plugin.title}: {', '.join(told)}")
    if not outcomes:
        raise FindingsError(f"{plugin.title}: no case ran", "name a file that holds some")
    if counts["failed"]:
        raise FindingsError(
            f"{plugin.title}: {counts['failed']} of {len(outcomes)} cases failed", "each is described above"
        )
