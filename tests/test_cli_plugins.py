"""The command line's frame: help, plugins, config, conformance, doctor; errors, exit statuses, quiet endings."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from fake_distributions import GOOD_ENCODER, forget, install

from soma_core.cli import VERBS, main
from soma_core.cli._errors import report
from soma_core.cli._toml import toml
from soma_core.errors import ConfigError, PluginError, RefusedError, UnreachableError

WORKING = """
    from attrs import frozen
    from soma_core.api import EncoderInfo, EncoderSpec, hookimpl, option

    @frozen
    class Config:
        dim: int = option(64, "length of a vector", min=8, max=4096)
        kind: str = option("plain", "what it does wrong")
        token: str = option("", "who we are", secret=True)

    @hookimpl
    def soma_encoder():
        "Counts bytes."
        return EncoderSpec(api=1, config=Config, open=Counting, features=FEATURES)

    FEATURES = frozenset()

    class Counting:
        def __init__(self, config, context):
            import numpy
            self.np, self.config, self.info = numpy, config, EncoderInfo(dim=config.dim)

        def encode(self, batch):
            out = self.np.ones((len(batch), self.info.dim), self.np.float32)
            for row, data in zip(out, batch):
                for byte in data:
                    row[byte % self.info.dim] += 1
            if self.config.kind == "batch":
                out += out.mean()
            return out
"""

LIGHT = ("ledger-memory", "transport-memory")
"""Plugins every checkout has, which listen nowhere and keep nothing."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for distributions and data, away from the settings of who runs this."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SOMA_DATA_DIR", str(tmp_path / "data"))
    for name in ("SOMA_PLUGINS", "SOMA_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path
    forget(tmp_path)


@pytest.fixture
def soma(world: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Run ``soma`` in this process: status, stdout, stderr."""

    def run(*arguments: str) -> SimpleNamespace:
        capsys.readouterr()
        status = main(arguments)
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


def fake(world: Path, name: str = "encoder-foo", source: str = WORKING) -> None:
    module = "soma_" + name.replace("-", "_")
    install(world, f"soma-{name}", {name: module}, {module: source})


def chosen(*more: str) -> list[str]:
    return [word for name in (*LIGHT, *more) for word in ("--plugin", name)]


# Help -----------------------------------------------------------------------------------------------------------------


def test_help_lists_every_command(soma: Callable[..., SimpleNamespace]) -> None:
    done = soma("--help")
    assert done.status == 0
    for verb in VERBS:
        assert f"\n  {verb} " in done.out


def test_version(soma: Callable[..., SimpleNamespace]) -> None:
    assert soma("--version").out == "soma 0.1.0\n"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_built_in_command_has_its_own_help(soma: Callable[..., SimpleNamespace], verb: str) -> None:
    done = soma(verb, "--help")
    assert done.status == 0, done.err
    assert done.out.startswith(f"Usage: soma {verb}")


def test_commands_of_plugins_are_listed_by_name_and_called(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    source = """
        import click
        from soma_core.api import CommandSpec, hookimpl

        @hookimpl
        def soma_command():
            return CommandSpec(api=1, open=lambda: wave)

        @click.command()
        @click.argument("whom")
        def wave(whom):
            click.echo(f"hello {whom}")
    """
    fake(world, "command-wave", source)
    fake(world, "command-broken", "raise RuntimeError('no')")
    fake(world, "command-plugins", source)
    listed = soma("--help").out
    assert re.search("^  wave +soma-command-wave 0.3$", listed, re.MULTILINE)  # others may be installed, and wider
    assert re.search("^  broken +soma-command-broken 0.3$", listed, re.MULTILINE)
    assert "soma-command-plugins" not in listed
    assert "soma_command_wave" not in sys.modules
    assert soma("wave", "you").out == "hello you\n"
    broken = soma("broken")
    assert broken.status == 3
    assert broken.err.startswith("command-broken (soma-command-broken 0.3): import of soma_command_broken failed")
    assert "* " in soma("plugins").out, "the built-in command wins"
    checked = soma("plugins", "check", "command-plugins")
    assert checked.status == 0
    assert "`soma plugins` is built in and wins" in checked.err


def test_a_command_that_is_none(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    fake(
        world,
        "command-odd",
        "from soma_core.api import *\n@hookimpl\ndef soma_command():\n    return CommandSpec(api=1, open=int)",
    )
    done = soma("odd")
    assert (done.status, done.err.splitlines()) == (
        3,
        [
            (
                "command-odd (soma-command-odd 0.3): open raised TypeError: a int is not a click command; "
                "`soma plugins check command-odd` shows the traceback"
            )
        ],
    )


def test_mistyped_commands_and_options(soma: Callable[..., SimpleNamespace]) -> None:
    for arguments, line in (
        (("plugin",), "soma: no such command: plugin; did you mean `soma plugins`?\n"),
        (("zzz",), "soma: no such command: zzz; `soma --help` lists the commands\n"),
        (("plugins", "info"), "soma: Missing argument 'NAME'; see `soma plugins info --help`\n"),
        (("config", "show", "--resolvd"), "soma: No such option"),
        (("plugins", "--json", "list"), "soma: soma plugins: options stand before list; write them after it"),
    ):
        done = soma(*arguments)
        assert done.status == 2
        assert done.err.startswith(line)
        assert done.out == ""


# Plugins --------------------------------------------------------------------------------------------------------------


def test_list_marks_what_is_selected(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    fake(world)
    done = soma("plugins", *chosen("encoder-foo"))
    assert done.status == 0
    lines = done.out.splitlines()
    assert any(line.split() == ["*", "encoder-foo", "soma-encoder-foo", "0.3"] for line in lines)
    assert any(line.split() == ["*", "ledger-memory", "soma-memory", "0.1.0"] for line in lines)
    assert [line.index("soma-") for line in lines] == [lines[0].index("soma-")] * len(lines)
    assert done.err == f"{'Selected by --plugin.':<57} soma plugins info NAME\n"
    assert "soma_encoder_foo" not in sys.modules
    assert soma("plugins", "list", *chosen("encoder-foo")).out == done.out


def test_list_as_json(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    fake(world)
    listed = json.loads(soma("plugins", "list", "--json").out)
    assert listed["selected_by"] == "default profile"
    assert {
        "name": "encoder-foo",
        "kind": "encoder",
        "distribution": "soma-encoder-foo",
        "version": "0.3",
        "module": "soma_encoder_foo",
        "selected": False,
    } in listed["plugins"]


def test_list_refuses_what_was_asked_for_and_is_not_there(soma: Callable[..., SimpleNamespace]) -> None:
    done = soma("plugins", "--plugin", "encoder-torch")
    assert done.status == 3
    assert done.err == "encoder-torch: not installed; python3 -m pip install soma-torch\n"


def test_info(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    fake(world)
    done = soma("plugins", "info", "encoder-foo")
    assert done.status == 0
    assert done.out.splitlines() == [
        "encoder-foo · soma-encoder-foo 0.3 · plugin API 1 · a process of its own",
        "Counts bytes.",
        f"{'  offers  what every one of its kind does':<48}needs  nothing",
        "  [encoder.foo]",
        "  dim = 64         # length of a vector",
        '  kind = "plain"   # what it does wrong',
        '  token = ""       # who we are',
    ]
    about = json.loads(soma("plugins", "info", "encoder-foo", "--json").out)
    assert about["settings"][0] == {
        "key": "dim",
        "help": "length of a vector",
        "required": False,
        "default": 64,
        "min": 8,
        "max": 4096,
        "secret": False,
    }
    assert soma("plugins", "info", "encoder-fo").err == "encoder-fo: no such plugin; did you mean encoder-foo?\n"


def test_info_of_a_rule(soma: Callable[..., SimpleNamespace]) -> None:
    assert (
        "  rule  soma/shard version 1; its parameters stand in genesis\n" in soma("plugins", "info", "scoring-soma").out
    )
    assert json.loads(soma("plugins", "info", "scoring-soma", "--json").out)["rule_id"] == "soma/shard"


def test_check_opens_and_shows_the_traceback(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    fake(world)
    fake(world, "encoder-bad", GOOD_ENCODER)
    good = soma("plugins", "check", "encoder-foo", *LIGHT)
    assert good.status == 0, good.err
    assert good.out.startswith("encoder-foo (soma-encoder-foo 0.3): works (plugin API 1); opened in ")
    assert "not opened, because it would listen" in good.out
    bad = soma("plugins", "check", "encoder-bad")
    assert bad.status == 3
    assert "Traceback (most recent call last)" in bad.err
    assert bad.err.splitlines()[-1].startswith(
        "encoder-bad (soma-encoder-bad 0.3): open raised OSError: weights.safetensors not found (soma_encoder_bad.py:"
    )
    exclusive = soma("plugins", "check", "ledger-memory", "ledger-sqlite")
    assert exclusive.err == (
        "ledger-memory (soma-memory 0.1.0) and ledger-sqlite (soma-sqlite 0.1.0): a node has one ledger; name one\n"
    )
    wrong = soma("plugins", "check", "encoder-foo", "--set", "encoder.foo.dim=1", "--set", "encoder.foo.kin=1")
    assert wrong.status == 4
    assert wrong.err.splitlines() == [
        "--set: encoder.foo.kin: no such setting; did you mean kind?",
        "--set: encoder.foo.dim: 1 is outside 8..4096",
    ]


# Config ---------------------------------------------------------------------------------------------------------------


def test_config_show(world: Path, soma: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch) -> None:
    fake(world)
    (world / "here" / "soma.toml").write_text(
        f"plugins = {json.dumps(['encoder-foo', *LIGHT])}\n[encoder.foo]\ndim = 32\ntoken = 'hunter2'\n"
    )
    monkeypatch.setenv("SOMA_NODE__OPEN_TIMEOUT", "5")
    given = soma("config", "show")
    assert given.status == 0, given.err
    assert tomllib.loads(given.out) == {
        "plugins": ["encoder-foo", *LIGHT],
        "node": {"data_dir": str(world / "data"), "open_timeout": 5},
        "encoder": {"foo": {"dim": 32, "token": "(hidden)"}},
    }
    assert "open_timeout = 5" in given.out
    assert "# SOMA_NODE__OPEN_TIMEOUT" in given.out
    resolved = soma("config", "show", "--resolved")
    assert "hunter2" not in resolved.out
    assert 'kind = "plain"' in resolved.out
    rows = json.loads(soma("config", "show", "--resolved", "--json").out)
    assert {
        "section": "encoder.foo",
        "key": "dim",
        "value": 32,
        "origin": "soma.toml",
        "help": "length of a vector",
    } in (rows["settings"])


def test_config_path(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    none = soma("config", "path")
    assert none.out == f"{world / 'data' / 'soma.toml'}\n"
    assert none.err.startswith("There is none yet")
    (world / "here" / "soma.toml").write_text("")
    assert soma("config", "path").out == f"{world / 'here' / 'soma.toml'}\n"


def test_config_problems_come_all_at_once(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    (world / "here" / "soma.toml").write_text("[node]\nopen_timout = 5\n[nod]\n")
    done = soma("config", "show", *chosen(), "--set", "node.log_level=loud")
    assert done.status == 4
    assert done.out == ""
    assert done.err.splitlines() == [
        "soma.toml: nod: no such section; did you mean node?",
        "soma.toml: node.open_timout: no such setting; did you mean open_timeout?",
        "--set: node.log_level: 'loud' is not one of 'debug', 'info', 'warning', 'error'",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (3, "3"), (0.5, "0.5"), ('a"b\n', '"a\\"b\\n"'), ([1, "a"], '[1, "a"]'), ({"a": 1}, '{"a" = 1}')],
)
def test_values_as_toml(value: Any, text: str) -> None:
    assert toml(value) == text
    assert tomllib.loads(f"v = {text}")["v"] == value


# Conformance ----------------------------------------------------------------------------------------------------------


def test_conformance_runs_the_suite_of_the_kind(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    fake(world)
    done = soma("conformance", "encoder-foo", "--json", "--set", "encoder.foo.dim=32")
    report_ = json.loads(done.out)
    assert done.status == 0, report_
    assert (report_["plugin"], report_["failed"]) == ("encoder-foo", 0)
    assert report_["passed"] + report_["skipped"] == len(report_["cases"])
    assert {"name", "ok", "detail"} <= report_["cases"][0].keys()


def test_conformance_of_one_of_two_with_a_name(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    fake(world)
    install(world, "foo-tools", {"encoder-foo": "foo_tools"}, {"foo_tools": WORKING.replace("ones", "zeros")})
    assert soma("conformance", "encoder-foo").status == 3
    assert soma("conformance", "soma-encoder-foo:encoder-foo").status == 0
    assert soma("conformance", "foo-tools:encoder-foo").status == 0


def test_conformance_finds_what_is_wrong(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    fake(world, "encoder-foo", WORKING.replace("FEATURES = frozenset()", "FEATURES = {'loss'}"))
    done = soma("conformance", "encoder-foo", "--set", "encoder.foo.kind=batch")
    assert done.status == 6
    assert "failed  test_loss_as_declared" in done.out
    assert "failed  test_a_row_does_not_depend_on_its_batch" in done.out
    assert done.err.endswith("each is described above\n")


def test_conformance_on_vectors(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    more = """
    from soma_core.testing import Case

    def conformance_vectors(file):
        for line in file.read_text().splitlines():
            if line == "raise":
                raise KeyError(line)
            yield Case(line, line != "wrong", "expected right")
    """
    fake(world, "encoder-foo", WORKING + more)
    vectors = world / "vectors"
    vectors.write_text("right\nwrong\n")
    done = soma("conformance", "encoder-foo", "--vectors", str(vectors), "--json")
    assert done.status == 6
    assert json.loads(done.out) == {
        "plugin": "encoder-foo",
        "passed": 1,
        "failed": 1,
        "skipped": 0,
        "known": 0,
        "cases": [
            {"name": "right", "ok": True, "outcome": "passed", "detail": "expected right"},
            {"name": "wrong", "ok": False, "outcome": "failed", "detail": "expected right"},
        ],
    }
    vectors.write_text("right\n")
    assert soma("conformance", "encoder-foo", "--vectors", str(vectors)).status == 0
    vectors.write_text("raise\n")
    assert "conformance_vectors() raised KeyError" in soma("conformance", "encoder-foo", "--vectors", str(vectors)).err
    vectors.write_text("")
    assert soma("conformance", "encoder-foo", "--vectors", str(vectors)).status == 6
    gone = soma("conformance", "encoder-foo", "--vectors", str(world / "gone"))
    assert (gone.status, gone.err) == (
        2,
        f"soma: {world / 'gone'}: cannot be read: No such file or directory; name a file of vectors\n",
    )
    assert soma("conformance", "ledger-memory", "--vectors", str(vectors)).err == (
        "soma: ledger-memory (soma-memory 0.1.0): soma_memory has no conformance_vectors; "
        "run `soma conformance` without --vectors\n"
    )


# Doctor ---------------------------------------------------------------------------------------------------------------


def test_doctor_says_what_it_finds(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    more = """
    from soma_core.api import Finding

    @hookimpl
    def soma_doctor(name, config):
        yield Finding("warn", name, f"dim is {config.dim}", "raise it")
    """
    fake(world, "encoder-foo", WORKING + more)
    (world / "data").mkdir(mode=0o755)
    done = soma("doctor", *chosen("encoder-foo"), "--set", "encoder.foo.dim=32")
    assert done.status == 0, done.out
    assert "ok    python: 3." in done.out
    assert f"warn  data directory: {world / 'data'} has mode 0755: others can enter; chmod 700" in done.out
    assert "warn  encoder-foo: dim is 32; raise it" in done.out
    assert re.search(r"ok    encoder-foo: opens in \d+\.\d s: 32 numbers, f32, no weights\n", done.out)


def test_doctor_says_in_a_line_what_an_encoder_lacks(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    faulty = WORKING.replace("import numpy\n", "raise OSError('device cuda: it is not here')\n")
    fake(world, "encoder-foo", faulty)
    done = soma("doctor", *chosen("encoder-foo"))
    assert done.status == 6
    (line,) = (line for line in done.out.splitlines() if "device cuda" in line)
    assert line.startswith("fail  encoder-foo: ")


def test_doctor_fails_with_its_findings(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    (world / "data").write_text("a file")
    (world / "here" / "soma.toml").write_text("[node]\nopen_timout = 5\n")
    done = soma("doctor", "--json", *chosen())
    assert done.status == 6
    report_ = json.loads(done.out)
    assert report_["ok"] is False
    fails = {(f["what"], f["detail"], f["fix"]) for f in report_["findings"] if f["level"] == "fail"}
    assert fails == {
        ("settings", "soma.toml: node.open_timout: no such setting", "did you mean open_timeout?"),
        ("data directory", f"{world / 'data'} is not a directory", "name another with --data-dir"),
    }
    assert done.err == f"soma: 2 of {len(report_['findings'])} checks failed; each says above what to do\n"


def test_doctor_of_a_plugin_that_breaks(world: Path, soma: Callable[..., SimpleNamespace]) -> None:
    more = "\n    @hookimpl\n    def soma_doctor():\n        import os; os._exit(9)\n"
    fake(world, "encoder-foo", WORKING + more)
    done = soma("doctor", *chosen("encoder-foo"))
    assert done.status == 6
    assert "fail  encoder-foo: its doctor ended with status 9; report it to the author of soma-encoder-foo" in done.out
    missing = soma("doctor", *chosen("encoder-bar"))
    assert missing.status == 6
    assert "fail  plugins: encoder-bar: no such plugin; " in missing.out


# Endings --------------------------------------------------------------------------------------------------------------


def test_errors_that_came_together_are_said_together(capsys: pytest.CaptureFixture[str]) -> None:
    group = BaseExceptionGroup("", [PluginError("p", "q"), BaseExceptionGroup("", [ConfigError(["a", "b"])])])
    assert report(group) == 3
    assert capsys.readouterr().err == "p; q\na\nb\n"
    assert report(RefusedError("no", "ask again")) == 1
    assert capsys.readouterr().err == "soma: no; ask again\n"
    assert report(UnreachableError("nobody", "start one")) == 5
    assert report(BaseExceptionGroup("", [KeyboardInterrupt(), UnreachableError("x")])) == 130


def test_a_fault_of_ours_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ZeroDivisionError("by zero")) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: by zero" in err
    assert err.endswith("soma: this is a fault of Soma; please report it with the lines above\n")


def test_interrupt_ends_cleanly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from soma_core.cli import _group

    @click.command()
    def waiting() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(_group, "_built_in", lambda _verb: waiting)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        assert main(["run"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_fault(world: Path) -> None:
    command = f"{sys.executable} -m soma_core.cli plugins --json | head -c 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, "Traceback" in done.stderr, "BrokenPipe" in done.stderr) == ("{", False, False)
