"""How long it takes to start, as ratios to a bare interpreter measured in the same run.

Medians of ten warm runs; bare and measured runs alternate, so that a busy machine slows both.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest
from fake_distributions import install

RUNS = 10
SOMA = ("-c", "import sys; from soma_core.cli import main; sys.exit(main(sys.argv[1:]))")
HEAVY = ("trio", "numpy", "jax", "torch", "onnxruntime", "libp2p", "click", "pluggy", "attrs", "cattrs", "cbor2")


def run(*arguments: str, path: Path | None = None) -> float:
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def ratio(*arguments: str, path: Path | None = None) -> float:
    """Median time of `arguments` over that of ``python -c pass``."""
    run("-c", "pass", path=path), run(*arguments, path=path)  # warm
    pairs = [(run("-c", "pass", path=path), run(*arguments, path=path)) for _ in range(RUNS)]
    return median(measured for _, measured in pairs) / median(bare for bare, _ in pairs)


@pytest.fixture(scope="module")
def thirty_broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path with thirty distributions whose plugins cannot be imported."""
    root = tmp_path_factory.mktemp("broken")
    for number in range(30):
        name = f"broken{number}"
        kind = "command" if number % 3 == 0 else "encoder"
        install(root, name, {f"{kind}-{name}": name}, {name: "raise SystemError('imported')"})
    return root


@pytest.mark.parametrize("broken", [False, True], ids=["", "thirty broken plugins"])
@pytest.mark.parametrize(
    ("arguments", "most"),
    [(("-c", "import soma_core"), 5), ((*SOMA, "--help"), 12), ((*SOMA, "plugins"), 18)],
    ids=["import", "help", "plugins"],
)
def test_startup_budget(arguments: tuple[str, ...], most: float, *, broken: bool, thirty_broken: Path) -> None:
    measured = ratio(*arguments, path=thirty_broken if broken else None)
    assert measured <= most, f"{measured:.1f} times a bare interpreter"


def test_importing_the_core_brings_nothing_heavy() -> None:
    code = f"import sys, soma_core; sys.exit(', '.join(sorted({set(HEAVY)!r} & sys.modules.keys())) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("plugins",)])
def test_listing_brings_nothing_heavy(arguments: tuple[str, ...], thirty_broken: Path) -> None:
    heavy = {"trio", "numpy", "jax", "torch", "onnxruntime", "libp2p", "cattrs", "cbor2", "coincurve"}
    code = (
        "import sys; from soma_core.cli import main; main(sys.argv[1:]);"
        f"sys.exit(', '.join(sorted(({heavy!r} | {{f'broken{{n}}' for n in range(30)}}) & sys.modules.keys())) or None)"
    )
    environment = {**os.environ, "PYTHONPATH": str(thirty_broken)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert "broken0" in done.stdout
    assert done.returncode == 0, done.stderr


def test_the_api_brings_nothing_heavy() -> None:
    heavy = {"trio", "numpy", "jax", "torch", "onnxruntime", "libp2p", "click", "sqlite3"}
    code = f"import sys, soma_core.api; sys.exit(', '.join(sorted({heavy!r} & sys.modules.keys())) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
