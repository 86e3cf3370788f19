"""How long it takes to start, as ratios to a bare interpreter measured in the same run.

Medians of ten warm runs; bare and measured runs alternate, so that a busy machine slows both.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from fake_distributions import GOOD_ENCODER, install

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
def thirty_others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path with thirty distributions of others, five of them broken, each in its own way."""
    root = tmp_path_factory.mktemp("others")
    broken: dict[str, dict[str, Any]] = {
        "broken0": {"modules": {"broken0": "raise SystemError('imported')"}},
        "broken1": {"modules": {"broken1": GOOD_ENCODER.replace("soma_encoder()", "soma_encodr()")}},
        "broken2": {"entries": {"encoder-broken2": "broken2:soma_encoder"}},
        "broken3": {"requires": ()},
        "broken4": {"entries": {"Oracle_broken4": "broken4"}},
    }
    for number in range(25):
        kind = "command" if number % 3 == 0 else "encoder"
        install(root, f"other{number}", {f"{kind}-other{number}": f"other{number}"}, {f"other{number}": GOOD_ENCODER})
    for name, fault in broken.items():
        install(root, name, fault.pop("entries", {f"encoder-{name}": name}), **fault)
    (root / "broken4-0.3.dist-info" / "entry_points.txt").write_bytes(b"[soma.plugins]\nwithout a value\n\xff")
    return root


def test_thirty_others_are_there_and_five_of_them_are_broken(thirty_others: Path) -> None:
    assert len(list(thirty_others.glob("*.dist-info"))) == 30
    environment = {**os.environ, "PYTHONPATH": str(thirty_others)}

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *SOMA, *arguments], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == (3 if "check" in arguments else 0)
        return done.stdout + done.stderr

    listed = said("plugins", "list")
    assert sum(f"-other{number} " in listed for number in range(25)) == 25
    for name, fault in {
        "encoder-broken0": "import of broken0 failed: SystemError: imported",
        "encoder-broken1": "there is no hook soma_encodr",
        "encoder-broken2": "which is not a module",
        "encoder-broken3": "does not require soma-core",
        "encoder-broken4": "no such plugin",  # a distribution whose entry points nobody can read has none
    }.items():
        assert fault in said("plugins", "check", name)


@pytest.mark.parametrize("among_others", [False, True], ids=["", "thirty other plugins, five broken"])
@pytest.mark.parametrize(
    ("arguments", "most"),
    [(("-c", "import soma_core"), 5), ((*SOMA, "--help"), 12), ((*SOMA, "plugins"), 18)],
    ids=["import", "help", "plugins"],
)
def test_startup_budget(arguments: tuple[str, ...], most: float, *, among_others: bool, thirty_others: Path) -> None:
    measured = ratio(*arguments, path=thirty_others if among_others else None)
    assert measured <= most, f"{measured:.1f} times a bare interpreter"


def test_importing_the_core_brings_nothing_heavy() -> None:
    code = f"import sys, soma_core; sys.exit(', '.join(sorted({set(HEAVY)!r} & sys.modules.keys())) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("plugins",)])
def test_listing_brings_nothing_heavy(arguments: tuple[str, ...], thirty_others: Path) -> None:
    heavy = {"trio", "numpy", "jax", "torch", "onnxruntime", "libp2p", "cattrs", "cbor2", "coincurve"}
    heavy |= {f"other{number}" for number in range(25)} | {f"broken{number}" for number in range(5)}
    code = (
        "import sys; from soma_core.cli import main; main(sys.argv[1:]);"
        f"sys.exit(', '.join(sorted({heavy!r} & sys.modules.keys())) or None)"
    )
    environment = {**os.environ, "PYTHONPATH": str(thirty_others)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert "other0" in done.stdout
    assert done.returncode == 0, done.stderr


def test_the_api_brings_nothing_heavy() -> None:
    heavy = {"trio", "numpy", "jax", "torch", "onnxruntime", "libp2p", "click", "sqlite3"}
    code = f"import sys, soma_core.api; sys.exit(', '.join(sorted({heavy!r} & sys.modules.keys())) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
