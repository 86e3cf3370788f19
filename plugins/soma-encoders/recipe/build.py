"""The bundled encoders from nothing: gather data, train, align, pack, measure. Read README.md beside this file first.

python build.py WORK [gather|train|pack|measure]...     all four without a name
"""

import hashlib
import json
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import _gather
import _measure
import _samples
import numpy as np
from numpy.typing import NDArray

from soma_core.fixed import quantise, vector_bytes
from soma_core.model import (
    Item,
    ReferenceTransformer,
    fit_frame,
    load_weights,
    read_tensors,
    unit,
    whiten,
    write_pack,
    write_tensors,
)

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "src/soma_encoders/data"
KINDS = ("text", "code", "image", "audio")


def gather(work: Path, recipe: dict[str, Any]) -> None:
    """``WORK/{train,heldout,anchors}``."""
    _gather.gather(work, recipe["seed"], [Path(sysconfig.get_path("purelib")) / name for name in recipe["libraries"]])


def train(work: Path, recipe: dict[str, Any]) -> None:
    """``WORK/NAME.safetensors`` and ``.json`` for each encoder, by ``soma train``, one thread each."""
    for name, plan in recipe["encoders"].items():
        sources = [f"--data={work / 'train' / source}" for source in plan["data"]]
        shape = [f"--{key}={value}" for key, value in (recipe["model"] | recipe["training"]).items()]
        subprocess.run(
            [
                *("soma", "train", *sources, *shape, f"--out={work / name}.safetensors", "--overwrite"),
                *(f"--steps={plan['steps']}", f"--seed={plan['seed']}", "--threads=1"),
            ],
            check=True,
        )


def pack(work: Path, recipe: dict[str, Any]) -> None:
    """The data folder of the package: weights, frames, packs, references, samples, catalogue."""
    DATA.mkdir(parents=True, exist_ok=True)
    items = {part: _items(work / part) for part in ("anchors", "heldout")}
    for part, chosen in items.items():
        (DATA / f"{part}.pack").write_bytes(write_pack(chosen))
    outputs = {}
    for name in recipe["encoders"]:
        (DATA / f"{name}.safetensors").write_bytes(write_tensors(_lowered(read_tensors(work / f"{name}.safetensors"))))
        shutil.copyfile(work / f"{name}.json", DATA / f"{name}.json")
        (DATA / f"{name}.frame").unlink(missing_ok=True)
        weights = load_weights(DATA / f"{name}.safetensors")
        model = ReferenceTransformer(weights.config, weights.tensors)
        outputs[name] = weights.digest, np.stack([model.read(item.data).vector for item in items["anchors"]])
    mean, white = whiten(outputs["generalist"][1])
    reference = [quantise(row) for row in unit((outputs["generalist"][1] - mean) @ white)]
    (DATA / "references.i16").write_bytes(b"".join(vector_bytes(row) for row in reference))
    for name, (digest, table) in outputs.items():
        (DATA / f"{name}.frame").write_bytes(fit_frame(digest, table, np.stack(reference)).encoded())
    _samples.write(DATA / "samples", work / "packages", recipe["seed"])
    _catalogue(work, recipe)


def _lowered(tensors: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The same model with raw vectors a quarter as long, so that engines agree within 1e-6 even on single bytes.

    Powers of two round nothing: every logit and every loss stays the same to the last bit.
    """
    factors = {"final_norm.gamma": 0.25, "final_norm.beta": 0.25, "predictor.weight": 4.0}
    return {name: tensor * np.float32(factors.get(name, 1.0)) for name, tensor in tensors.items()}


def _items(folder: Path) -> list[Item]:
    return [
        Item(kind, path.name.split("-", 1)[1], path.read_bytes())
        for kind in KINDS
        for path in sorted((folder / kind).iterdir())
    ]


def _catalogue(work: Path, recipe: dict[str, Any]) -> None:
    """``catalogue.json``: every file with its size and plain BLAKE2b-256, each encoder with its own digests."""
    files = sorted(p for p in DATA.rglob("*") if p.is_file() and p.name != "catalogue.json")
    encoders = {}
    for name, plan in recipe["encoders"].items():
        weights = load_weights(DATA / f"{name}.safetensors")
        encoders[name] = {"weights_digest": weights.digest.hex(), **plan}
    listing = {
        path.relative_to(DATA).as_posix(): {
            "bytes": path.stat().st_size,
            "blake2b": hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest(),
        }
        for path in files
    }
    gathered = json.loads((work / "gathered.json").read_text("utf-8"))
    whole = {"seed": recipe["seed"], "training_data": gathered, "encoders": encoders, "files": listing}
    text = json.dumps(whole, indent=2)
    (DATA / "catalogue.json").write_text(text + "\n", "utf-8")


def measure(work: Path, recipe: dict[str, Any]) -> None:
    """``specs/results/encoders.json``: who wins what by how much on held-out data, and whether the frames agree."""
    del work
    _measure.write(HERE.parents[2] / "specs/results/encoders.json", recipe)


def main() -> None:
    """Run the stages that are named, or all."""
    stages = {"gather": gather, "train": train, "pack": pack, "measure": measure}
    work, *chosen = sys.argv[1:]
    recipe = tomllib.loads((HERE / "recipe.toml").read_text("utf-8"))
    for name in chosen or stages:
        print(f"{name} …", flush=True)
        stages[name](Path(work).resolve(), recipe)


if __name__ == "__main__":
    main()
