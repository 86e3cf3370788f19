"""Twelve careless plugins, each met by a real ``soma run``: one line that says whose fault it is, and an exit status.

All twelve are installed at once, beside one that works: none may disturb what was not asked for.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from attrs import field, frozen
from fake_distributions import install
from founded import found

from soma_core.api.spec import API_CURRENT

GOOD = """
    from attrs import frozen
    from soma_core.api import EncoderInfo, EncoderSpec, hookimpl, option

    @frozen
    class Config:
        dim: int = option(8, "length of a vector", min=1, max=4096)
        layers: int = option(2, "layers")

    @hookimpl
    def soma_encoder():
        return EncoderSpec(api=1, config=Config, open=Counting)

    class Counting:
        def __init__(self, config, context):
            import numpy
            self.numpy, self.info = numpy, EncoderInfo(dim=config.dim)

        def encode(self, batch):
            return self.numpy.ones((len(batch), self.info.dim), self.numpy.float32)
"""


def opening(statement: str) -> str:
    """The good plugin, doing `statement` when it is opened."""
    return GOOD.replace("import numpy\n", f"import numpy, os, sys, time\n            {statement}\n", 1)


@frozen
class Fault:
    """A plugin called ``encoder-SHORT`` with this source, and what `soma run` says of it on stderr, line by line."""

    short: str
    source: str
    said: tuple[str, ...]
    status: int = 3
    more: tuple[str, ...] = ()
    variables: dict[str, str] = field(factory=dict)

    @property
    def name(self) -> str:
        return f"encoder-{self.short}"


def fault(short: str, source: str, said: str, *more: str) -> Fault:
    return Fault(short, source, (f"encoder-{short} (soma-encoder-{short} 0.3): {said}",), more=more)


TABLE = {
    "missing": Fault("absnt", "", ("encoder-absnt: no such plugin; did you mean encoder-absent?",)),
    "broken import": fault(
        "absent",
        "import torhc",
        "import of soma_absent failed: ModuleNotFoundError: No module named 'torhc'; "
        "reinstall soma-encoder-absent with its dependencies, or report it",
    ),
    "misspelled hook": fault(
        "misspelled",
        GOOD.replace("def soma_encoder", "def soma_encodr"),
        "there is no hook soma_encodr; did you mean soma_encoder?",
    ),
    "wrong arguments": fault(
        "arguments",
        GOOD.replace("soma_encoder()", "soma_encoder(config)"),
        "hook soma_encoder takes no argument 'config'; see soma_core/hookspecs.py for what it may take",
    ),
    "duplicate name": Fault(
        "twice",
        GOOD,
        (
            (
                "encoder-twice: provided by foo-tools 0.3 and soma-encoder-twice 0.3; "
                "uninstall one, or name it foo-tools:encoder-twice"
            ),
        ),
    ),
    "API too old": fault(
        "old",
        GOOD.replace("api=1", "api=0"),
        "speaks plugin API 0, this soma-core speaks 1; python3 -m pip install --upgrade soma-encoder-old",
    ),
    "API too new": fault(
        "new",
        GOOD.replace("api=1", f"api={API_CURRENT + 1}"),
        "speaks plugin API 2, this soma-core speaks 1; python3 -m pip install --upgrade soma-core",
    ),
    "bad config": Fault(
        "badly-set",
        GOOD,
        (
            "soma.toml: encoder.badly-set.dimm: no such setting; did you mean dim?",
            "SOMA_ENCODER_BADLY_SET__DIM: encoder.badly-set.dim: 70000 is outside 1..4096",
            "--set: encoder.badly-set.layers: 'many' is not an int",
        ),
        status=4,
        more=("--set", "encoder.badly-set.layers=many"),
        variables={"SOMA_ENCODER_BADLY_SET__DIM": "70000"},
    ),
    "raises in open": fault(
        "raises",
        opening("raise OSError('weights.safetensors not found')"),
        "open raised OSError: weights.safetensors not found (soma_raises.py:17); "
        "`soma plugins check encoder-raises` shows the traceback",
    ),
    "hangs in open": fault(
        "hangs",
        opening("time.sleep(60)"),
        "not open after 1 s; raise [node] open_timeout, or run `soma plugins check encoder-hangs`",
        "--set",
        "node.open_timeout=1",
    ),
    "two of an exclusive kind": Fault(
        "good",
        "",
        ("ledger-memory (soma-memory 0.1.0) and ledger-sqlite (soma-sqlite 0.1.0): a node has one ledger; name one",),
        more=("--plugin", "ledger-memory"),
    ),
    "a worker that cannot start": fault(
        "dies", opening("os._exit(3)"), "the worker ended with status 3; see the log above"
    ),
}
"""The twelve faults of issue and chapter, by name."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them installed, with a distribution that provides ``encoder-twice`` once more, and one that works."""
    root = tmp_path_factory.mktemp("site")
    for one in TABLE.values():
        if one.source:
            module = f"soma_{one.short.replace('-', '_')}"
            install(root, f"soma-{one.name}", {one.name: module}, {module: one.source})
    install(root, "foo-tools", {"encoder-twice": "foo_tools"}, {"foo_tools": GOOD})
    install(root, "soma-encoder-good", {"encoder-good": "soma_good"}, {"soma_good": GOOD})
    return root


@pytest.fixture(scope="module")
def data(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose network has every one of these encoders, and settings with a mistake for one."""
    data = tmp_path_factory.mktemp("network") / "data"
    found(data, *sorted({one.name for one in TABLE.values()}))
    (data / "soma.toml").write_text("[encoder.badly-set]\ndimm = 64\n")
    return data


Soma = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def soma(site: Path, data: Path, tmp_path: Path) -> Soma:
    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SOMA_")}
        return subprocess.run(
            [sys.executable, "-m", "soma_core.cli", *arguments],
            env={**kept, "PYTHONPATH": str(site), "SOMA_DATA_DIR": str(data), **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_the_table_has_the_twelve_faults() -> None:
    assert len(TABLE) == 12
    assert len({one.said for one in TABLE.values()}) == 12
    assert dedent(GOOD).count("soma_encoder()") == 1  # what the sources are made from by replacing


@pytest.mark.parametrize("what", TABLE)
def test_a_careless_plugin_ends_the_node_with_what_to_do(soma: Soma, what: str) -> None:
    one = TABLE[what]
    chosen = ("consensus-solo", "ledger-sqlite", "transport-memory", one.name)
    arguments = [word for name in chosen for word in ("--plugin", name)]
    done = soma("run", *arguments, *one.more, **one.variables)
    assert done.stderr.splitlines() == list(one.said)
    assert (done.returncode, done.stdout) == (one.status, "")
    for line in one.said:
        assert re.fullmatch(r".+: .+; .+|.+: 'many' is not an int|.+ is outside 1\.\.4096", line)


def test_on_the_first_run_too_nothing_is_said_before_the_fault(soma: Soma, tmp_path: Path) -> None:
    one = TABLE["misspelled hook"]
    done = soma("run", "--plugin", "consensus-solo", "--plugin", one.name, "--data-dir", str(tmp_path / "new"))
    assert (done.returncode, done.stderr.splitlines()) == (3, list(one.said))
    assert not (tmp_path / "new" / "genesis.cbor").exists()


def test_plugins_in_the_process_of_the_node_do_not_inherit_the_passphrase(soma: Soma, site: Path, data: Path) -> None:
    nosy = "import os\nraise RuntimeError(sorted(name for name in os.environ if 'PASSPHRASE' in name))"
    install(site, "soma-ledger-nosy", {"ledger-nosy": "soma_nosy"}, {"soma_nosy": nosy})
    chosen = [word for name in ("consensus-solo", "transport-memory", "ledger-nosy") for word in ("--plugin", name)]
    secret = (data / "keys" / "passphrase").read_text()
    done = soma("run", *chosen, SOMA_PASSPHRASE=secret.strip())
    assert done.stderr == (
        "ledger-nosy (soma-ledger-nosy 0.3): import of soma_nosy failed: RuntimeError: []; "
        "`soma plugins check ledger-nosy` shows the traceback\n"
    )


def test_help_the_listing_and_other_plugins_go_on_beside_all_of_them(soma: Soma) -> None:
    helped, listed, checked = soma("--help"), soma("plugins", "list"), soma("plugins", "check", "encoder-good")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "Usage: soma" in helped.stdout
    assert listed.returncode == 0
    for one in TABLE.values():
        assert (f" {one.name} " in listed.stdout) == bool(one.source or one.short == "good")
    assert checked.returncode == 0
    assert "encoder-good (soma-encoder-good 0.3): works (plugin API 1)" in checked.stdout
