"""Distributions written into a folder, as pip would leave them: metadata, entry points, modules."""

import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

GOOD_ENCODER = """
    from attrs import frozen
    from soma_core.api import Encoder, EncoderContext, EncoderSpec, hookimpl, option

    @frozen
    class Config:
        dim: int = option(128, "length of a vector", min=1, max=4096)
        layers: int = option(2, "layers")

    @hookimpl
    def soma_encoder() -> EncoderSpec[Config]:
        return EncoderSpec(api=1, config=Config, open=open_encoder)

    def open_encoder(config, context):
        raise OSError("weights.safetensors not found")
"""


def install(
    root: Path,
    distribution: str,
    entries: Mapping[str, str],
    modules: Mapping[str, str] | None = None,
    *,
    version: str = "0.3",
    requires: tuple[str, ...] = ("soma-core>=0.1",),
) -> None:
    """Write `distribution` under `root`: entry points of the group ``soma.plugins``, modules as source."""
    info = root / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n", "utf-8")
    points = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[soma.plugins]", *points]) + "\n", "utf-8")
    for name, source in (modules or {}).items():
        (root / f"{name}.py").write_text(dedent(source), "utf-8")


def forget(root: Path) -> None:
    """Drop what was imported from `root`, so that the next test imports its own."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(root)):
            del sys.modules[name]
