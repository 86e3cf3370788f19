# /// script
# dependencies = ["nox>=2026.8"]
# ///
"""Everything that is checked, and how: `nox` runs it all, `nox -s NAME` one part, `nox -l` lists the parts.

What depends on the plugins there are (their own tests, the matrix) is read from ``plugins/*/pyproject.toml``: a new
backend is a new folder, not a change here. The tests of the whole run in the default set, installed by
``requirements.txt``; single distributions are installed from wheels, so that what is tested is what would be published.
"""

import itertools
import re
import shutil
import tempfile
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2026.8"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = [
    "lint",
    "types",
    "coverage",
    "simulate",
    "economy",
    "collapse",
    "plugin",
    "matrix",
    "engines",
    "example",
    "server",
    "startup",
    "demo",
]

ROOT = Path(__file__).parent
PROJECTS = {
    path.parent.name: tomllib.loads(path.read_text("utf-8"))["project"]
    for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))
}
"""Distribution → its project table."""

CORE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WHOLE = ("tests", "--ignore=tests/startup", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
"""What pytest collects for the tests of the whole, in two processes: much of it waits for sockets and for children.

In the order of their names: files of few tests, the slowest, would else be left to the end, and to one process.
"""
TEST_TOOLS = ("pytest", "pytest-trio", "hypothesis")

SOMEBODYS = ("webhook", "onnx-model", "torch-model")
"""Encoders that are nothing without something of the operator's."""

COVERED = {
    "codec.py": 100,
    "crypto.py": 100,
    "fixed.py": 100,
    "beacon.py": 100,
    "chain/*": 100,
    "net/*": 97,
    "node/*": 92,
}
"""Part of the core → per cent of its lines and branches that the tests of the whole run, at least."""

COVERED_WHOLLY = {"soma-scoring": "soma_scoring"}
"""Distribution → its package, of which its own tests run every line and branch."""

OLDER_NUMPY = "numpy==2.0.2"
"""Beside the one of constraints.txt: the same history has the same state under both."""

# Two BLAS threads on two busy cores are slower than one, and every worker would take both.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


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
    needed = [re.split(r"[^A-Za-z0-9-]", need)[0] for need in PROJECTS[distribution]["dependencies"]]
    return [*(name for name in needed if name in PROJECTS), distribution]


def install(session: nox.Session, *distributions: str, tools: tuple[str, ...] = ()) -> None:
    """soma-core and `distributions` from the wheels of `build`, the rest in the versions of constraints.txt."""
    chosen = dict.fromkeys(["soma-core", *itertools.chain.from_iterable(map(local_needs, distributions))])
    wheels = [
        str(session.cache_dir.absolute() / "wheels" / f"{name.replace('-', '_')}-{CORE['version']}-py3-none-any.whl")
        for name in chosen
    ]
    # First and by force: a wheel of a version that is there already would not be installed again.
    session.install("-q", "--force-reinstall", "--no-deps", *wheels)
    session.install("-q", "-c", "constraints.txt", *wheels, *tools)


def in_default_set(session: nox.Session, module: str, *arguments: str, env: dict[str, str] | None = None) -> None:
    """``python -m MODULE`` in the environment of `default-set`."""
    python = session.cache_dir.parent / "default-set" / "bin" / "python"
    session.run(str(python), "-m", module, *arguments, env={**ENVIRONMENT, **(env or {})}, external=True)


def pytest_in_default_set(session: nox.Session, *arguments: str) -> None:
    """pytest in the environment of `default-set`."""
    in_default_set(session, "pytest", *arguments)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Wheels of soma-core and of every distribution, for the environments of the others."""
    session.install("-q", "-c", "constraints.txt", "hatchling")
    wheels = session.cache_dir.absolute() / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    folders = [".", *(f"./plugins/{name}" for name in PROJECTS)]
    session.run(
        *("python", "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), *folders)
    )


@nox.session(name="default-set", default=False)
def default_set(session: nox.Session) -> None:
    """The default set, as the README installs it, and the test tools: where the tests of the whole run."""
    session.install("-q", "-r", "requirements.txt", "-r", "requirements-dev.txt")
    session.run("python", "-m", "pip", "check")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, form, and who may import whom."""
    session.install("-q", "-c", "constraints.txt", "ruff", "import-linter")
    session.run("ruff", "check", "--quiet", ".")
    session.run("ruff", "format", "--check", "--quiet", ".")
    session.run("lint-imports", "--no-logo", env={"PYTHONPATH": "src"})


@nox.session(requires=["build"])
def types(session: nox.Session) -> None:
    """mypy, strictly, over the core, every plugin and the example."""
    # Without libp2p: trio-typing, which it brings, ships stubs of another trio.
    install(session, tools=("mypy", "pytest", "hypothesis", "numpy"))
    sources = ["src", *(f"plugins/{name}/src" for name in PROJECTS)]
    session.run("mypy", *sources, env={"MYPYPATH": ":".join(sources)})
    session.run("mypy", "examples/soma-encoder-hello/src")


@nox.session(venv_backend="none", requires=["default-set"], default=False)
def tests(session: nox.Session) -> None:
    """The tests of the core and of the whole, with the default set installed. Half as long as `coverage`."""
    pytest_in_default_set(session, *(session.posargs or WHOLE))


@nox.session(venv_backend="none", requires=["default-set"])
def coverage(session: nox.Session) -> None:
    """`tests`, and what of the core they run: lines and branches, child processes included."""
    measured = session.cache_dir.absolute() / "coverage"
    shutil.rmtree(measured, ignore_errors=True)
    measured.mkdir(parents=True)
    environment = {"COVERAGE_FILE": str(measured / "data")}
    in_default_set(session, "coverage", "run", "-m", "pytest", *WHOLE, env=environment)
    in_default_set(session, "coverage", "combine", "--quiet", env=environment)
    in_default_set(session, "coverage", "report", "--skip-covered", "--include=src/soma_core/*", env=environment)
    for part, least in COVERED.items():
        session.log(f"{part}: at least {least} %")
        chosen = (f"--include=src/soma_core/{part}", f"--fail-under={least}", "--format=total", "--precision=1")
        in_default_set(session, "coverage", "report", *chosen, env=environment)


@nox.session(requires=["build"])
@nox.parametrize("distribution", [nox.param(name, id=name) for name in PROJECTS])
def plugin(session: nox.Session, distribution: str) -> None:
    """A distribution's own tests, in an environment that holds it, what it may ask for, and nothing else."""
    optional = itertools.chain.from_iterable(PROJECTS[distribution].get("optional-dependencies", {}).values())
    install(session, distribution, tools=(*TEST_TOOLS, *optional))
    session.run("python", "-m", "pip", "check", silent=True)
    session.chdir(ROOT / "plugins" / distribution)
    package = COVERED_WHOLLY.get(distribution)
    if package is None or session.posargs:
        session.run("pytest", *session.posargs, env=ENVIRONMENT)
        return
    session.install("-q", "-c", str(ROOT / "constraints.txt"), "coverage")
    measured = {**ENVIRONMENT, "COVERAGE_FILE": str(Path(session.create_tmp(), "coverage").absolute())}
    session.run("coverage", "run", "--branch", f"--source={package}", "-m", "pytest", env=measured)
    session.run("coverage", "report", "--skip-covered", "--show-missing", "--fail-under=100", env=measured)


# Without those that are nothing without somebody's server or model: `server` and `engines` try them.
@nox.session(requires=["build"])
@nox.parametrize("encoder", [nox.param(name, id=name) for name in entry_points("encoder") if name not in SOMEBODYS])
def matrix(session: nox.Session, encoder: str) -> None:
    """Every consensus with every transport and ledger, and this encoder: a network of one embeds and stays exact."""
    consensus, transport, ledger = (entry_points(kind) for kind in ("consensus", "transport", "ledger"))
    chosen = {*consensus.values(), *transport.values(), *ledger.values(), entry_points("encoder")[encoder]}
    install(session, *sorted(chosen), *entry_points("scoring").values(), tools=TEST_TOOLS)
    cells = ["/".join(cell) for cell in itertools.product(consensus, [encoder], transport, ledger)]
    session.run(
        "pytest", "tests/checks/test_matrix.py", *session.posargs, env={**ENVIRONMENT, "SOMA_MATRIX": " ".join(cells)}
    )


@nox.session(requires=["build"])
def engines(session: nox.Session) -> None:
    """One weights file on NumPy, JAX, Torch and ONNX Runtime, and in the live network's own package."""
    chosen = [entry_points("encoder")[engine] for engine in ("numpy", "jax", "torch", "onnx")]
    install(session, *chosen, tools=TEST_TOOLS)
    session.install("-q", "-c", "constraints.txt", "soma-models==0.1.7", "magika")
    session.run("pytest", "tests/checks/test_engines.py", *session.posargs, env=ENVIRONMENT)


@nox.session(reuse_venv=False, requires=["build"])
def example(session: nox.Session) -> None:
    """The example as a third party has it: a wheel, a clean environment, none of our sources on the path."""
    install(session, tools=TEST_TOOLS)
    with tempfile.TemporaryDirectory() as directory:
        theirs = Path(directory, "soma-encoder-hello")
        shutil.copytree(ROOT / "examples" / "soma-encoder-hello", theirs)
        session.chdir(theirs)
        session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", "dist", ".")
        session.install("-q", *map(str, theirs.glob("dist/*.whl")))
        shutil.rmtree(theirs / "src")
        session.run("soma", "plugins", "check", "encoder-hello")
        session.run("soma", "conformance", "encoder-hello")
        session.run("soma", "encoder", "try", "--plugin", "encoder-hello", "README.md")
        session.run("pytest", "-q", "tests")


@nox.session(requires=["build"])
def server(session: nox.Session) -> None:
    """The example of an operator's server, against `encoder-webhook`, with what both ask for and nothing else."""
    install(session, "soma-webhook", tools=TEST_TOOLS)
    session.run("pytest", "-q", "examples/webhook-server/tests", env=ENVIRONMENT)


@nox.session(venv_backend="none", requires=["default-set"])
def startup(session: nox.Session) -> None:
    """How long it takes to start, against the budgets."""
    pytest_in_default_set(session, "tests/startup", *session.posargs)


@nox.session(venv_backend="none", requires=["default-set"])
def demo(session: nox.Session) -> None:
    """`soma demo` as a newcomer runs it, its object and its receipts held against what the README promises."""
    pytest_in_default_set(session, "tests/checks/test_demo.py", *session.posargs)


@nox.session(venv_backend="none", requires=["default-set"])
def simulate(session: nox.Session) -> None:
    """Simulated networks of 200 seeds; ``-- 20000 [FIRST]``: of so many, for hours, which writes ``specs/results``."""
    which = dict(zip(("SOMA_SIMULATIONS", "SOMA_FIRST_SIMULATION"), session.posargs, strict=False))
    in_default_set(session, "pytest", "tests/checks/test_simulation_trials.py", env=which)


@nox.session(venv_backend="none", requires=["default-set"])
def economy(session: nox.Session) -> None:
    """What scoring rules have to show in a simulated economy; ``-- JOBS EPOCHS``: longer, and kept."""
    which = dict(zip(("SOMA_ECONOMY_JOBS", "SOMA_ECONOMY_EPOCHS"), session.posargs, strict=False))
    files = ("figures", "table") if which else ("figures", "cheats")
    spread = ("--dist", "loadfile") if which else ()  # what is written of a file comes from one process
    names = (f"tests/checks/test_economy_{name}.py" for name in files)
    in_default_set(session, "pytest", "-n", "2", *spread, *names, env=which)


@nox.session(venv_backend="none", requires=["default-set"])
def collapse(session: nox.Session) -> None:
    """A thousand collapsed encoders, and an honest one that is trained here; ``-- 5``: five, and what was found."""
    which = {"SOMA_CHECKPOINTS": session.posargs[0]} if session.posargs else {}
    in_default_set(session, "pytest", "tests/checks/test_collapse_cases.py", env=which)


@nox.session(venv_backend="none", default=False, requires=["default-set"])
def interop(session: nox.Session) -> None:
    """A peer of another make, on js-libp2p, visits a node of ours and is visited. Wants npm and Node 20 or newer."""
    if shutil.which("npm") is None:
        session.skip("npm is not installed; it comes with Node.js")
    with session.chdir("tests/interop"):
        session.run("npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", external=True)
    pytest_in_default_set(session, "tests/interop/test_js_peer.py", *session.posargs)


@nox.session(venv_backend="none", default=False, requires=["default-set"])
def abuse(session: nox.Session) -> None:
    """Every attack that the transport guards against, on a real node; writes ``specs/results/transport.json``."""
    pytest_in_default_set(session, "tests/checks/test_transport_abuse.py", *session.posargs)


@nox.session(venv_backend="none", default=False, requires=["default-set"])
def power(session: nox.Session) -> None:
    """Faults of the disk and losses of power, by the thousand, of ledgers and of nodes; writes ``specs/results``."""
    trials = ("tests/checks/test_power_trials.py", "tests/checks/test_crash_trials.py")
    pytest_in_default_set(session, *(session.posargs or trials))


@nox.session(venv_backend="none", default=False, requires=["default-set"])
def kill(session: nox.Session) -> None:
    """SIGKILL of any process of a network under load, 200 times; writes ``specs/results/kill.json``. About 20 min."""
    pytest_in_default_set(session, "-s", "tests/checks/test_kill_loop.py", *session.posargs)


@nox.session(venv_backend="none", default=False, requires=["default-set"])
def committee(session: nox.Session) -> None:
    """One of four validators killed, frozen or cut off, 50 times; writes ``specs/results/committee.json``. 10 min."""
    pytest_in_default_set(session, "-s", "tests/checks/test_committee_faults.py", *session.posargs)


@nox.session(venv_backend="none", default=False, requires=["default-set"])
def dag(session: nox.Session) -> None:
    """`consensus-dag` against a slow reference and with mutants planted; writes ``specs/results``. About 15 min."""
    path = "--override-ini=pythonpath=tests plugins/soma-consensus-dag/tests"
    checks = ("tests/checks/test_dag_comparison.py", "tests/checks/test_dag_mutants.py")
    pytest_in_default_set(session, "-s", path, *(session.posargs or checks))


@nox.session(default=False, requires=["build", "default-set"])
def turmoil(session: nox.Session) -> None:
    """A hundred thousand random transactions, here and under an older NumPy; writes ``specs/results``."""
    install(session, "soma-scoring")
    session.install("-q", OLDER_NUMPY)
    other = {"SOMA_OTHER_PYTHON": str(Path(session.bin, "python").absolute())}
    in_default_set(session, "pytest", "tests/checks/test_turmoil_trials.py", *session.posargs, env=other)


@nox.session(default=False, requires=["build", "default-set"])
def bench(session: nox.Session) -> None:
    """How fast, as ratios to something bare measured in the same run: ``-- NAME…``, ``-- --write`` keeps them."""
    # Engines in an environment of their own: Torch is nobody's default, and `soma-models` is only here to be compared.
    install(session, *(entry_points("encoder")[engine] for engine in ("jax", "torch", "onnx")))
    session.install("-q", "-c", "constraints.txt", "soma-models==0.1.7")
    session.install("-q", "--no-deps", "somaya==1.0.5")  # the older tokenizer; only one module of it is loaded
    environment = {"PYTHONPATH": "tests", "SOMA_BENCH_ENGINES": str(Path(session.bin, "python").absolute())}
    in_default_set(session, "benchmarks", *session.posargs, env=environment)


@nox.session(default=False, requires=["build"])
def indexes(session: nox.Session) -> None:
    """Recall and speed of every index side by side; writes ``specs/results/indexes.json``. About 20 min."""
    install(session, *entry_points("index").values())
    session.run("python", "-m", "benchmarks.index_table", *session.posargs, env={**ENVIRONMENT, "PYTHONPATH": "tests"})


@nox.session(venv_backend="none", default=False, requires=["default-set"])
def compression(session: nox.Session) -> None:
    """Every method of coder-soma beside xz -9e; writes ``specs/results/compression.json``. About 15 min."""
    in_default_set(session, "benchmarks.compression_table", env={"PYTHONPATH": "tests"})


@nox.session(venv_backend="none", default=False, requires=["default-set"])
def latency(session: nox.Session) -> None:
    """How long an embedding takes on the demo network, stage by stage: ``-- JOBS --write``."""
    in_default_set(session, "benchmarks.latency", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(venv_backend="none", default=False, requires=["default-set"])
def report(session: nox.Session) -> None:
    """How good the bundled encoders are; writes ``specs/results/report.json``. About 5 min."""
    in_default_set(session, "make_report", env={"PYTHONPATH": "tests"})


@nox.session(default=False, requires=["build"])
def symbols(session: nox.Session) -> None:
    """Tokens of random bytes, and of the older system: ``-- 1000``: of a gigabyte, about an hour, and kept."""
    install(session, "soma-symbols", tools=TEST_TOOLS)
    session.install("-q", "--no-deps", "somaya==1.0.5")
    which = {"SOMA_TOKEN_MB": session.posargs[0]} if session.posargs else {}
    checks = (f"tests/checks/test_tokens_{name}.py" for name in ("older", "reversible"))
    session.run("pytest", *checks, env={**ENVIRONMENT, **which})


@nox.session(venv_backend="none", name="symbols-quality", default=False, requires=["default-set"])
def symbols_quality(session: nox.Session) -> None:
    """What vectors learned from symbols alone find; writes ``specs/results/symbols.json``. About 2 min."""
    in_default_set(session, "pytest", "tests/checks/test_symbols_quality.py", *session.posargs, env={"SOMA_WRITE": "1"})


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Every decoder, guided by coverage: ``-- SECONDS NAME…``, else 20 s of all, which writes ``specs/results``."""
    session.install("-q", "-r", "requirements.txt", "-r", "requirements-dev.txt", "atheris")
    session.run("python", "tests/fuzz/coverage_guided.py", *session.posargs, env=ENVIRONMENT)


@nox.session(default=False, requires=["build"])
def full(session: nox.Session) -> None:
    """What takes long. Each run writes its figures to ``specs/results``, to be committed with them."""
    install(session, "soma-encoders", tools=("pillow",))
    recipe = ROOT / "plugins" / "soma-encoders" / "recipe" / "build.py"
    session.run("python", str(recipe), session.create_tmp(), "measure", silent=True, env=ENVIRONMENT)


if __name__ == "__main__":
    nox.main()
