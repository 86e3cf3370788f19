"""The recipe's data: ``WORK/{train,heldout,anchors}/KIND/…``, a file an item, made from ordinary packages and seeds."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import _pictures
import _sounds
import _words
import numpy as np

PACKAGES = (
    "debian-policy",
    "developers-reference",
    "python3.11-doc",
    "jargon-text",
    "anarchism",
    "sonic-pi-samples",
    "mate-backgrounds",
    "python-matplotlib-data",
)
ANCHORS = 144
"""Items a modality. Four of them make 576, more than max(512, 4 · 128)."""
HELD_OUT = 60


def unpack(work: Path) -> Path:
    """The Debian packages of `PACKAGES`, unpacked under ``work/packages`` without installing them."""
    packages = work / "packages"
    for name in PACKAGES:
        if (packages / name).exists():
            continue
        fetched = work / "fetched"
        fetched.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", name], cwd=fetched, check=True)
        (package,) = fetched.glob(f"{name}_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, packages / name], check=True)
    return packages


def gather(work: Path, seed: int, extra: Sequence[Path]) -> None:
    """All three parts of all four modalities under `work`. `extra`: folders of Python packages to train on."""
    packages = unpack(work)
    _gather_words(work, "text", _words.prose(packages), np.random.default_rng([seed, 1]))
    _gather_words(work, "code", _words.source_code(extra), np.random.default_rng([seed, 2]))
    _gather_pictures(work, packages, seed)
    _gather_sounds(work, packages, seed)
    made = {folder: _digest_of(work / "train" / folder) for folder in ("text", "code", "image", "audio")}
    versions = {name: version(name) for name in ("numpy", "pillow", "scikit-learn", "scipy", "soundfile")}
    made["made with"] = {"python": platform.python_version(), **versions}
    (work / "gathered.json").write_text(json.dumps(made, indent=2) + "\n", "utf-8")


def _digest_of(folder: Path) -> dict[str, int | str]:
    """Files, bytes and one BLAKE2b-256 over names and contents of all files under `folder`, in the order of names."""
    state, count, size = hashlib.blake2b(digest_size=32), 0, 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        state.update(f"{path.relative_to(folder).as_posix()} {len(data)}\n".encode() + data)
        count, size = count + 1, size + len(data)
    return {"files": count, "bytes": size, "blake2b": state.hexdigest()}


def _gather_words(work: Path, kind: str, sources: Iterable[tuple[str, str, bytes]], rng: np.random.Generator) -> None:
    parts: dict[str, list[tuple[str, bytes]]] = {"train": [], "heldout": [], "anchors": []}
    for part, name, data in sources:
        parts[part].append((name, data))
    for number, (name, data) in enumerate(parts["train"]):
        _write(work / "train" / kind, number, name, data)
    for part, count in (("heldout", HELD_OUT), ("anchors", ANCHORS)):
        for number in range(count):
            name, data = parts[part][number % len(parts[part])]
            _write(work / part / kind, number, name, excerpt(rng, data, int(rng.integers(500, 1500))))


def excerpt(rng: np.random.Generator, data: bytes, size: int) -> bytes:
    """About `size` bytes of `data` from the start of a line."""
    start = int(rng.integers(0, max(1, len(data) - size)))
    start = data.find(b"\n", start) + 1
    return data[start : start + size] if start + 200 < len(data) else data[-size:]


def _gather_pictures(work: Path, packages: Path, seed: int) -> None:
    photos = _pictures.photographs(packages)
    for place, form in enumerate(_pictures.FORMS):
        raw = form in ("ppm", "pgm", "bmp")
        rng = np.random.default_rng([seed, 3, place])
        sides = (16, 96) if raw else (24, 160)
        for number, (name, data) in enumerate(_pictures.pictures(rng, photos, form, 1500, sides, (0, 1200))):
            folder = work / "train" / "image" / ("raw" if raw else form)
            _write(folder, place * 1500 + number, f"{form}-{name}", data)
        for part, count, ink, pool, key in (
            ("heldout", HELD_OUT, (1200, 1500), _pictures.unseen_photographs("upper"), 4),
            ("anchors", ANCHORS, (1500, 1797), _pictures.unseen_photographs("lower"), 5),
        ):
            rng = np.random.default_rng([seed, key, place])
            sides = (14, 30) if raw else (32, 96) if part == "heldout" else (20, 48)
            share = -(-count // len(_pictures.FORMS))
            for number, (name, data) in enumerate(_pictures.pictures(rng, pool, form, share, sides, ink)):
                if place * share + number < count:
                    _write(work / part / "image", place * share + number, f"{form}-{name}", data)


def _gather_sounds(work: Path, packages: Path, seed: int) -> None:
    recorded = _sounds.recordings(packages)
    for part, count, sizes, key in (
        ("train", 6000, (600, 9000), 6),
        ("heldout", HELD_OUT, (800, 3000), 7),
        ("anchors", ANCHORS, (500, 1500), 8),
    ):
        rng = np.random.default_rng([seed, key])
        for number, (name, data) in enumerate(_sounds.clips(rng, recorded[part], count, sizes)):
            _write(work / part / "audio", number, name, data)


def _write(folder: Path, number: int, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{number:05}-{name.replace('/', '_')[:80]}").write_bytes(data)
