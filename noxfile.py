# /// script
# dependencies = ["nox>=2026.8"]
# ///
"""Everything that is checked, and how: `nox` runs it all, `nox -s NAME` one part, `nox -l` lists the parts.

What depends on the plugins there are (their own tests, the matrix) is read from ``plugins/*/pyproject.toml``: a new
backend is a new folder, not a change here.
"""

import itertools
import os
import shutil
import tempfile
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2026.8"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "tests", "plugin", "matrix", "example", "demo"]

ROOT = Path(__file__).parent
PROJECTS = {
    path.parent.name: tomllib.loads(path.read_text("utf-8"))["project"]
    for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))
}
"""Distribution → its project table."""

# Two BLAS threads on two busy cores are slower than one, and every worker would take both.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def entry_points(kind: str) -> dict[str, str]:
    """Short name → distribution, of every plugin of a kind."""
    return {
        name.partition("-")[2]: distribution
        for distribution, project in PROJECTS.items()
        for name in project.get("entry-points", {}).get("soma.plugins", {})
        if name.startswith(f"{kind}-")
    }


def local_needs(distribution: str) -> list[str]:
    """The distribution and those of this repository it depends on, dependencies first."""
    needed = [name.split(">")[0].split("=")[0] for name in PROJECTS[distribution]["dependencies"]]
    return [*(name for name in needed if name in PROJECTS), distribution]


def install(session: nox.Session, *distributions: str, tools: tuple[str, ...] = ()) -> None:
    """soma-core and distributions of this repository, with the versions of constraints.txt."""
    chosen = dict.fromkeys(itertools.chain.from_iterable(map(local_needs, distributions)))
    editable = [word for name in chosen for word in ("-e", f"plugins/{name}")]
    session.install("-q", "-c", "constraints.txt", "-e", ".", *editable, *tools)


def install_all(session: nox.Session) -> None:
    """The default set and the test tools."""
    session.install("-q", "-r", "requirements.txt", "-r", "requirements-dev.txt")


TEST_TOOLS = ("pytest", "pytest-trio", "hypothesis")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, form, and who may import whom."""
    install(session, tools=("ruff", "import-linter"))
    session.run("ruff", "check", "--quiet", ".")
    session.run("ruff", "format", "--check", "--quiet", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strictly, over the core, every plugin and the example."""
    # Without libp2p: trio-typing, which it brings, ships stubs of another trio.
    install(session, tools=("mypy", "pytest", "hypothesis", "numpy"))
    sources = ["src", *(f"plugins/{name}/src" for name in PROJECTS)]
    session.run("mypy", *sources, env={"MYPYPATH": os.pathsep.join(sources)})
    session.run("mypy", "examples/soma-encoder-hello/src")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests of the core and of the whole, with the default set installed."""
    install_all(session)
    session.run("pytest", *session.posargs, env=ENVIRONMENT)


@nox.session
@nox.parametrize("distribution", [nox.param(name, id=name) for name in PROJECTS])
def plugin(session: nox.Session, distribution: str) -> None:
    """A distribution's own tests, in an environment that holds it and nothing it does not ask for."""
    extra = PROJECTS[distribution].get("optional-dependencies", {}).get("test", [])
    install(session, distribution, tools=(*TEST_TOOLS, *extra))
    session.chdir(ROOT / "plugins" / distribution)
    session.run("pytest", "tests", *session.posargs, env=ENVIRONMENT)


@nox.session
@nox.parametrize("encoder", [nox.param(name, id=name) for name in entry_points("encoder")])
def matrix(session: nox.Session, encoder: str) -> None:
    """Every consensus with every transport and ledger, and this encoder: a network of one embeds and stays exact."""
    consensus, transport, ledger = (entry_points(kind) for kind in ("consensus", "transport", "ledger"))
    chosen = {*consensus.values(), *transport.values(), *ledger.values(), entry_points("encoder")[encoder]}
    install(session, *sorted(chosen), *entry_points("scoring").values(), tools=TEST_TOOLS)
    cells = ["-".join(cell) for cell in itertools.product(consensus, [encoder], transport, ledger)]
    session.run(
        "pytest", "tests/checks/test_matrix.py", *session.posargs, env={**ENVIRONMENT, "SOMA_MATRIX": " ".join(cells)}
    )


@nox.session(reuse_venv=False)
def example(session: nox.Session) -> None:
    """The example as a third party has it: a wheel, a clean environment, none of our sources on the path."""
    with tempfile.TemporaryDirectory() as directory:
        wheels = ["."] + [f"plugins/{name}" for name in PROJECTS if name not in HEAVY] + ["examples/soma-encoder-hello"]
        session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", directory, *wheels)
        built = [str(path) for path in sorted(Path(directory).glob("*.whl"))]
        session.install("-q", "-c", "constraints.txt", *built, *TEST_TOOLS)
        shutil.copytree(ROOT / "examples" / "soma-encoder-hello" / "tests", Path(directory, "tests"))
        note = Path(directory, "note.txt")
        note.write_text("bytes of somebody else\n")
        session.chdir(directory)
        session.run("soma", "plugins", "check", "encoder-hello")
        session.run("soma", "encoder", "try", "--plugin", "encoder-hello", str(note))
        session.run("pytest", "-q", "--import-mode=importlib", "tests", env=ENVIRONMENT)


HEAVY = {"soma-jax", "soma-libp2p"}
"""Distributions the example does not need and that take long to install."""


@nox.session
def demo(session: nox.Session) -> None:
    """`soma demo` as a newcomer runs it, its object and its receipts held against what the README promises."""
    install_all(session)
    session.run("pytest", "tests/checks/test_demo.py", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False)
def slow(session: nox.Session) -> None:
    """Tests that wait for real time limits."""
    install_all(session)
    session.run("pytest", "-m", "slow", "plugins", *session.posargs, env=ENVIRONMENT)
