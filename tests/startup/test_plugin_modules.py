"""Naming a plugin imports its module. That brings no framework: `open` does."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    {
        module
        for path in ROOT.glob("plugins/*/pyproject.toml")
        for module in tomllib.loads(path.read_text("utf-8"))["project"]
        .get("entry-points", {})
        .get("soma.plugins", {})
        .values()
    }
)
HEAVY = ("numpy", "jax", "torch", "onnxruntime", "trio", "sqlite3", "libp2p")


@pytest.mark.parametrize("module", MODULES)
def test_a_plugin_module_brings_nothing_heavy(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted({set(HEAVY)!r} & sys.modules.keys())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []
