"""Naming a plugin imports its module. That brings no framework: `open` does."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    module: path.parent / "src"
    for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))
    for module in tomllib.loads(path.read_text("utf-8"))["project"]
    .get("entry-points", {})
    .get("soma.plugins", {})
    .values()
}
"""Module → where its sources are: those that are not in the default set need not be installed to be imported."""
HEAVY = (
    "numpy",
    "jax",
    "torch",
    "onnxruntime",
    "trio",
    "sqlite3",
    "libp2p",
    "faiss",
    "apsw",
    "chromadb",
    "qdrant_client",
)


@pytest.mark.parametrize("module", MODULES)
def test_a_plugin_module_brings_nothing_heavy(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted({set(HEAVY)!r} & sys.modules.keys())))"
    path = os.pathsep.join([str(MODULES[module]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == []
