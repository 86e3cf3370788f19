"""Who a plugin knows: the core's public face, and no other plugin. Read from the sources of every distribution."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = [path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))]
CASES = ("soma_core.testing.cases", "soma_core.testing.chain_cases")
PUBLIC = ("soma_core.api", "soma_core.errors", "soma_core.model", "soma_core.vectors", *CASES)
"""What a plugin may import of the core, vector cases included; its tests may import all of ``soma_core.testing``."""

HOMES = {
    "libp2p": "soma_libp2p",
    "multiaddr": "soma_libp2p",
    "jax": "soma_jax",
    "torch": "soma_torch",
    "onnxruntime": "soma_onnx",
    "faiss": "soma_faiss",
    "chromadb": "soma_chroma",
    "sqlite_vec": "soma_sqlite_vec",
    "qdrant_client": "soma_qdrant",
    "weaviate": "soma_weaviate",
}
"""Foreign packages that stay in one of ours, so that they can be replaced there."""


def imported(source: Path) -> Iterator[str]:
    """Absolute names of the modules that `source` imports, anywhere in it."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module == "soma_core":
                yield from (f"soma_core.{alias.name}" for alias in node.names)
            else:
                yield node.module


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def is_data(package: str) -> bool:
    """Whether `package` is a distribution of this repository that holds no plugin."""
    path = ROOT / "plugins" / package.replace("_", "-") / "pyproject.toml"
    return path.is_file() and "entry-points" not in tomllib.loads(path.read_text("utf-8"))["project"]


def is_declared(folder: Path, package: str) -> bool:
    needs = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    return package.replace("_", "-") in {re.split(r"[^\w-]", need)[0] for need in needs}


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_a_plugin_imports_only_what_it_may(folder: Path) -> None:
    own = folder.name.replace("-", "_")
    wrong = []
    for source in folder.glob("src/**/*.py"):
        for module in imported(source):
            package = module.partition(".")[0]
            if package == "soma_core":
                allowed = any(is_within(module, public) for public in PUBLIC)
            elif package.startswith("soma_"):
                allowed = package == own or (is_data(package) and is_declared(folder, package))
            else:
                allowed = HOMES.get(package, own) == own
            if not allowed:
                wrong.append(f"{source.relative_to(ROOT)}: {module}")
    assert wrong == []


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_tests_of_a_plugin_need_no_other_plugin(folder: Path) -> None:
    own = folder.name.replace("-", "_")
    wrong = [
        f"{source.relative_to(ROOT)}: {module}"
        for source in folder.glob("tests/**/*.py")
        for module in imported(source)
        if module.startswith("soma_")
        and (package := module.partition(".")[0]) not in {"soma_core", own}
        and not is_declared(folder, package)
    ]
    assert wrong == []


def test_the_core_names_no_plugin_and_no_framework() -> None:
    foreign = {*HOMES, "torch", "onnxruntime"} | {folder.name.replace("-", "_") for folder in DISTRIBUTIONS}
    wrong = [
        f"{source.relative_to(ROOT)}: {module}"
        for source in (ROOT / "src").rglob("*.py")
        for module in imported(source)
        if (package := module.partition(".")[0]) in foreign and not is_data(package)
    ]
    assert wrong == []
