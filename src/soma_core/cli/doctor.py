"""``soma doctor``: what could keep a node from running well, found without starting one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from soma_core.api import Finding
from soma_core.errors import FindingsError, SomaError

from ._options import json_option, with_options
from ._print import colour, data, data_json

if TYPE_CHECKING:
    from soma_core.config import Options, Prepared
    from soma_core.plugins import Plugin

PATIENCE: Final = 10
"""Seconds a plugin's own doctor may take, in a process of its own."""

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@with_options
@json_option
@click.option("--ask", metavar="NAME", hidden=True, help="Print what this one plugin's own doctor finds, as JSON.")
def doctor(options: "Options", *, as_json: bool, ask: str | None) -> None:
    """Look for what could keep a node from running well. Exit status 6 if something fails."""
    if ask is not None:
        data_json([attrs.asdict(finding) for finding in _own_findings(options, ask)])
        return
    findings = []
    for finding in _examine(options):
        findings.append(finding)
        if not as_json:
            _print(finding)
    failed = sum(finding.level == "fail" for finding in findings)
    if as_json:
        data_json({"ok": not failed, "findings": [attrs.asdict(finding) for finding in findings]})
    if failed:
        raise FindingsError(f"{failed} of {len(findings)} checks failed", "each says above what to do")


def _examine(options: "Options") -> Iterator[Finding]:
    from soma_core.config import NodeConfig, gather, prepare

    from . import _disk, _health

    yield _health.python()
    yield _health.isolation()
    yield _health.signer()
    yield _disk.descriptors()
    try:
        settings = gather(options)
    except SomaError as error:
        yield from _of_error("settings", error)
        return
    try:
        node = settings.resolve().node
    except SomaError as error:
        yield from _of_error("settings", error)
        yield from _disk.examine(NodeConfig(data_dir=settings.home))
        return
    yield Finding("ok", "settings", str(settings.file or "no soma.toml; defaults"))
    yield from _disk.examine(node)
    try:
        prepared = prepare(options)
    except SomaError as error:
        yield from _of_error("plugins", error)
        return
    for plugin in prepared.selection.plugins:
        yield Finding("ok", plugin.name, f"{plugin.distribution} {plugin.version}")
    yield from _health.ports(prepared.resolved.rows)
    for plugin in prepared.selection.plugins:
        yield from _ask(options, plugin)
    yield from _health.encoders(prepared)


def _ask(options: "Options", plugin: "Plugin") -> Iterator[Finding]:
    """The plugin's own doctor, in a process of its own: it may import anything, hang or crash."""
    arguments = ["--ask", plugin.qualified]
    arguments += [word for name in options.plugin for word in ("--plugin", name)]
    arguments += [word for text in options.assignments for word in ("--set", text)]
    arguments += ["--config", str(options.config)] if options.config else []
    arguments += ["--data-dir", str(options.data_dir)] if options.data_dir else []
    command = [sys.executable, "-m", "soma_core.cli", "doctor", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603  # ours
    except subprocess.TimeoutExpired:
        yield Finding(
            "fail",
            plugin.name,
            f"its doctor took more than {PATIENCE} s",
            f"report it to the author of {plugin.distribution}",
        )
        return
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"its doctor ended with status {done.returncode}"]
        yield Finding("fail", plugin.name, lines[-1], f"report it to the author of {plugin.distribution}")
        return
    for row in json.loads(done.stdout):
        yield Finding(**row)


def _own_findings(options: "Options", name: str) -> tuple[Finding, ...]:
    from soma_core.config import prepare

    prepared: Prepared = prepare(options)
    plugin = prepared.plugins.find(name)
    config: Any = prepared.resolved.instances[plugin.name]
    return prepared.plugins.findings(plugin, config)


def _of_error(what: str, error: SomaError) -> Iterator[Finding]:
    for line in str(error).splitlines():
        detail, _, fix = line.rpartition("; ")
        yield Finding("fail", what, detail or line, fix if detail else "")


def _print(finding: Finding) -> None:
    mark = colour(f"{finding.level:<4}", _COLOURS[finding.level])
    data(f"{mark}  {finding.what}: {finding.detail}" + (f"; {finding.fix}" if finding.fix else ""))
