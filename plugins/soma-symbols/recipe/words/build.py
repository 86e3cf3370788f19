"""The model that comes with encoder-symbols, from nothing: gather data, learn, align. Read README.md beside this first.

python build.py WORK [gather|learn|pack]...     all three without a name
"""

import gzip
import hashlib
import html
import json
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from soma_core.model import load_model
from soma_core.quality.corpora import documented, functions

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "src/soma_symbols/learning/data"
NAME = "words"
TRIED = 1000
"""Functions of the standard library that the model is tried on: nothing of theirs may be in what it learns from."""

_TAG = re.compile(r"<(script|style)[^>]*>.*?</\1>|<[^>]+>", re.DOTALL)


def gather(work: Path, recipe: dict[str, Any]) -> None:
    """``WORK/data``: prose and dictionaries out of Debian packages, source code of installed Python packages."""
    packages = work / "packages"
    for name in recipe["debian"]:
        if not (packages / name).exists():
            fetched = work / "fetched"
            fetched.mkdir(parents=True, exist_ok=True)
            subprocess.run(["apt-get", "download", "-qq", name], cwd=fetched, check=True)
            (package,) = fetched.glob(f"{name}_*.deb")
            subprocess.run(["dpkg-deb", "-x", package, packages / name], check=True)
    for name, text in _prose(packages):
        _write(work / "data" / "prose" / name, text)
    seen, left_out = _tried(), []
    for package in recipe["python"]:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            sys.exit(f"{package} is not installed")
        folder = Path(spec.submodule_search_locations[0])
        for path in sorted(folder.rglob("*.py")):
            relative = path.relative_to(folder.parent)
            source = path.read_bytes()
            if "tests" in relative.parts or not 1024 <= len(source) <= 300_000:
                continue
            if seen & {part for pair in documented(source) for part in pair}:
                left_out.append(relative.as_posix())
                continue
            _write(work / "data" / "code" / relative, source)
    made = {folder: _digest_of(work / "data" / folder) for folder in ("prose", "code")}
    versions = {name: version(name) for name in ("numpy", *recipe["distributions"])}
    about = {**made, "left out": left_out, "made with": {"python": platform.python_version(), **versions}}
    (work / "gathered.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")


def learn(work: Path, recipe: dict[str, Any]) -> None:
    """``WORK/words.safetensors``, by ``soma symbols train``."""
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in recipe["training"].items()]
    source = [f"--data={work / 'data' / name}" for name in ("prose", "code")]
    subprocess.run(
        ["soma", "symbols", "train", *source, *settings, f"--out={work / NAME}.safetensors", "--overwrite"], check=True
    )


def pack(work: Path, recipe: dict[str, Any]) -> None:
    """The data folder of the plugin: weights, config, frame map, what it is good at, and a catalogue."""
    DATA.mkdir(exist_ok=True)
    weights = DATA / f"{NAME}.safetensors"
    for suffix in (".safetensors", ".json"):
        weights.with_suffix(suffix).write_bytes((work / NAME).with_suffix(suffix).read_bytes())
    subprocess.run(["soma", "encoder", "align", weights, "--overwrite"], check=True)
    listing = {
        path.name: {
            "bytes": path.stat().st_size,
            "blake2b": hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest(),
        }
        for path in sorted(DATA.glob(f"{NAME}.*"))
    }
    whole = {
        "weights_digest": load_model(weights).digest.hex(),
        "recipe": recipe,
        "training_data": json.loads((work / "gathered.json").read_text("utf-8")),
        "files": listing,
    }
    (DATA / "catalogue.json").write_text(json.dumps(whole, indent=2) + "\n", "utf-8")


def _prose(packages: Path) -> Iterator[tuple[str, bytes]]:
    """Name and text of everything that is read of the Debian packages."""
    for part in ("noun", "verb", "adj", "adv"):
        lines = (packages / "wordnet-base/usr/share/wordnet" / f"data.{part}").read_text("latin-1").splitlines()
        text = "\n".join(_synset(line) for line in lines if not line.startswith("  "))
        yield f"wordnet-{part}", text.encode()
    jargon = next((packages / "jargon-text").rglob("jargon.txt.gz")).read_bytes()
    yield "jargon", gzip.decompress(jargon).decode("latin-1").encode()
    for path in sorted((packages / "anarchism").rglob("*.html")):
        page = html.unescape(_TAG.sub("", path.read_text("utf-8", "replace")))
        yield f"essay-{path.stem}", (re.sub(r"\n\s*\n+", "\n\n", page).strip() + "\n").encode()
    for package in ("debian-policy", "developers-reference"):
        for path in sorted((packages / package).rglob("*.txt.gz")):
            yield f"{package}-{path.stem}", gzip.decompress(path.read_bytes())
    for path in sorted((packages / "dict-foldoc").rglob("*.dict.dz")):
        yield path.stem, gzip.decompress(path.read_bytes())


def _synset(line: str) -> str:
    """Words that mean the same, and what they mean, as a line of prose."""
    head, _, gloss = line.partition(" | ")
    fields = head.split(" ")
    words = [re.sub(r"\(\w+\)$", "", fields[4 + 2 * i]).replace("_", " ") for i in range(int(fields[3], 16))]
    return f"{', '.join(words)}: {gloss.strip()}"


def _tried() -> set[bytes]:
    """Docstrings and bodies of the functions that the model is tried on."""
    found = functions(TRIED, 1 << 16)
    return {*found.docstrings, *found.bodies}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _digest_of(folder: Path) -> dict[str, int | str]:
    """Files, bytes and one BLAKE2b-256 over names and contents of all files under `folder`, in the order of names."""
    state, count, size = hashlib.blake2b(digest_size=32), 0, 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        state.update(f"{path.relative_to(folder).as_posix()} {len(data)}\n".encode() + data)
        count, size = count + 1, size + len(data)
    return {"files": count, "bytes": size, "blake2b": state.hexdigest()}


def main() -> None:
    """Run the stages that are named, or all."""
    stages = {"gather": gather, "learn": learn, "pack": pack}
    work, *chosen = sys.argv[1:]
    recipe = tomllib.loads((HERE / "recipe.toml").read_text("utf-8"))
    for name in chosen or stages:
        stages[name](Path(work), recipe)


if __name__ == "__main__":
    main()
