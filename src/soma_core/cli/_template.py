"""What `soma encoder new` writes: a package of one encoder whose answers anybody can compute again."""

from pathlib import Path
from string import Template
from typing import Final

from soma_core.errors import UsageError

_FILES: Final = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "soma-encoder-$name"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["soma-core>=0.1", "soma-encoders>=0.1", "numpy>=2"]

[project.entry-points."soma.plugins"]
encoder-$name = "$module"

[tool.hatch.build.targets.wheel]
packages = ["src/$module"]
""",
    "src/$module/__init__.py": '''\
"""A byte transformer on NumPy. Make it faster as you like: auditors compute with the weights, not with this code."""

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from soma_core.api import EncoderContext, EncoderInfo, EncoderSpec, Evaluation, hookimpl, option

WEIGHTS = str(Path(__file__).with_name("weights.safetensors"))


@frozen
class Config:
    weights: str = option(WEIGHTS, "a bundled name or the path of a .safetensors file")


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """A byte transformer on NumPy."""
    return EncoderSpec(api=1, config=Config, open=Transformer, features=frozenset({"loss"}))


class Transformer:
    def __init__(self, config: Config, context: EncoderContext) -> None:
        from soma_core.model import ARCHITECTURE, ReferenceTransformer, load_weights

        weights = load_weights(config.weights)
        self.go_on = context.go_on
        self.model = ReferenceTransformer(weights.config, weights.tensors)
        self.info = EncoderInfo(
            dim=weights.config.dim, weights=weights.digest, frame=weights.frame, architecture=ARCHITECTURE
        )

    def encode(self, batch: Sequence[bytes]):
        return self.evaluate(batch, b"").vectors

    def evaluate(self, batch: Sequence[bytes], _seed: bytes) -> Evaluation:
        from soma_core.model import evaluate

        return evaluate(self.model, batch, self.info.dim, self.go_on)
''',
    "tests/test_conformance.py": """\
from soma_core.testing import EncoderSuite


class TestEncoder(EncoderSuite):
    plugin = "encoder-$name"
    bad = (b"",)
""",
    "README.md": """\
# soma-encoder-$name

An encoder of a Soma network. What makes it good is its training; what makes it comparable is its alignment.

1. `python3 -m pip install -e .`
2. `soma train --data DIR --out src/$module/weights.safetensors`: the data that it shall be good at
3. `soma encoder align src/$module/weights.safetensors`: its map into the network's frame, and what it is best at
4. `soma conformance encoder-$name`
5. `soma encoder serve encoder-$name --beside DIR --data-dir MINE`: a node of its own, which joins the network of the
   node in DIR on this machine (elsewhere: `--genesis FILE --peer KEY@ADDRESS`)
6. `soma send ADDRESS 500`: from an account that has SOMA; `soma keys --data-dir MINE` says the encoder's address
7. `soma encoder register encoder-$name 200 --data-dir MINE`: it is drawn from the next epoch on
""",
}


def write(folder: Path, name: str) -> tuple[Path, ...]:
    """Write the package into the new `folder`. Raises `UsageError` if there is one."""
    module = f"soma_encoder_{name.replace('-', '_')}"
    written = []
    try:
        folder.mkdir(parents=True)
        for path, text in _FILES.items():
            file = folder / Template(path).substitute(module=module)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(text).substitute(name=name, module=module), "utf-8")
            written.append(file)
    except FileExistsError as error:
        raise UsageError(f"{folder} is there already", "choose another name or --into") from error
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}", "choose another --into") from error
    return tuple(written)
