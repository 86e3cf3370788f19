"""What the bundled encoders can do on data that none of them was trained on, as one JSON file."""

import json
import platform
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import soma_encoders
from soma_core.fixed import quantise
from soma_core.model import Item, ReferenceTransformer, agreement, load_weights, read_frame, read_pack

SPECIALISTS = ("text", "code", "image", "audio")


def losses_and_vectors(items: tuple[Item, ...]) -> tuple[dict[str, list[float]], dict[str, NDArray[np.int16]]]:
    """Bits per byte and quantised vectors of all `items` under each bundled encoder, by the NumPy referee."""
    losses: dict[str, list[float]] = {}
    vectors: dict[str, NDArray[np.int16]] = {}
    for name in soma_encoders.names():
        weights = load_weights(name)
        model, frame = ReferenceTransformer(weights.config, weights.tensors), read_frame(weights.frame, weights.digest)
        readings = [model.read(item.data) for item in items]
        losses[name] = [reading.bits_per_byte for reading in readings]
        vectors[name] = np.stack([quantise(frame.apply(reading.vector)) for reading in readings])
    return losses, vectors


def contest(items: tuple[Item, ...], losses: dict[str, list[float]], kind: str, prefix: str = "") -> dict[str, Any]:
    """How the specialist of `kind` fares on its items whose name starts with `prefix`."""
    places = [i for i, item in enumerate(items) if item.kind == kind and item.name.startswith(prefix)]
    margins = [min(losses[name][i] for name in losses if name != kind) - losses[kind][i] for i in places]
    return {
        "items": len(places),
        "wins": sum(margin > 0 for margin in margins),
        "win_share": round(sum(margin > 0 for margin in margins) / len(places), 4),
        "median_margin_to_next": round(median(margins), 4),
        "mean_bits_per_byte": {name: round(float(np.mean([losses[name][i] for i in places])), 4) for name in losses},
    }


def write(path: Path, recipe: dict[str, Any]) -> None:
    """Measure, print and write `path`."""
    items = read_pack(soma_encoders.held_out().read_bytes())
    losses, vectors = losses_and_vectors(items)
    result: dict[str, Any] = {
        "what": "bits per byte and frame agreement of the bundled encoders on the committed held-out items",
        "commit": subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip(),
        "machine": f"2 cores of an x86-64 server, {platform.system()}, Python {platform.python_version()}",
        "python": sys.version.split()[0],
        "seed": recipe["seed"],
        "encoders": {
            name: {"seed": plan["seed"], "steps": plan["steps"], "weights_digest": load_weights(name).digest.hex()}
            for name, plan in recipe["encoders"].items()
        },
        "kinds": {},
        "frames": {},
    }
    for kind in SPECIALISTS:
        entry = contest(items, losses, kind)
        forms = sorted({item.name.split("-")[0] for item in items if item.kind == kind})
        entry["by_form"] = {form: contest(items, losses, kind, form) for form in forms}
        result["kinds"][kind] = entry
    for (name, table), (other, its_table) in combinations(vectors.items(), 2):
        agreed = agreement(table, its_table)
        result["frames"][f"{name} {other}"] = {
            "retrieval_times_chance": round(agreed.retrieval * agreed.items, 2),
            "centred_cosine": round(agreed.cosine, 4),
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result, indent=2))
