"""Sounds for the recipe: recordings (CC0) and synthetic tones, as PCM WAV of several rates, widths and channels."""

import io
import re
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATES = (8000, 11025, 16000, 22050, 44100)
FULL = 44100

_CC0 = re.compile(r"^Files: etc/samples/(\S+)\n(?:[A-Z].*\n)*?License: CC0$", re.MULTILINE)

Signal = NDArray[np.float64]
"""[samples, channels] at 44.1 kHz, within -1..1."""


def recordings(packages: Path) -> dict[str, list[tuple[str, Signal]]]:
    """Recordings of the Sonic Pi samples by part, whole files to one part.

    Only files that their package declares CC0 are held out or serve as anchors: those parts are in the repository.
    """
    import soundfile

    terms = next((packages / "sonic-pi-samples").rglob("copyright")).read_text("utf-8")
    free = set(_CC0.findall(terms))

    parts: dict[str, list[tuple[str, Signal]]] = {"train": [], "heldout": [], "anchors": []}
    for number, path in enumerate(sorted((packages / "sonic-pi-samples").rglob("*.flac"))):
        signal, rate = soundfile.read(path, always_2d=True, dtype="float64", stop=30 * FULL)
        part = {3: "heldout", 7: "anchors"}.get(number % 10, "train")
        if rate == FULL and len(signal) > 4000 and (part == "train" or path.name in free):
            parts[part].append((path.stem, signal))
    return parts


def synthetic(rng: np.random.Generator) -> tuple[str, Signal]:
    """Two seconds of one of: harmonic tone, chirp, plucked string, frequency modulation, coloured noise."""
    t = np.arange(2 * FULL) / FULL
    kind = str(rng.choice(["tone", "chirp", "pluck", "fm", "noise"]))
    pitch = float(np.exp(rng.uniform(np.log(60), np.log(2000))))
    if kind == "tone":
        partials = rng.integers(1, 8)
        wave_ = sum(
            np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) * rng.uniform(0, 1) / k
            for k in range(1, partials + 1)
        )
    elif kind == "chirp":
        wave_ = np.sin(2 * np.pi * (pitch * t + rng.uniform(-1, 3) * pitch * t**2 / 2))
    elif kind == "pluck":
        wave_ = _pluck(rng, pitch, len(t))
    elif kind == "fm":
        ratio = rng.choice([0.5, 1, 1.5, 2, 3])
        wave_ = np.sin(2 * np.pi * pitch * t + rng.uniform(0.5, 6) * np.sin(2 * np.pi * pitch * ratio * t))
    else:
        spectrum = np.fft.rfft(rng.normal(size=len(t))) / (1 + np.arange(len(t) // 2 + 1) / pitch) ** rng.uniform(
            0.5, 2
        )
        wave_ = np.fft.irfft(spectrum, len(t))
    decay = np.exp(-t * rng.choice([0, 0.5, 3, 8]))
    mono = np.asarray(wave_) * decay
    return kind, (mono / max(np.abs(mono).max(), 1e-9) * rng.uniform(0.2, 0.95))[:, None]


def clip(rng: np.random.Generator, signal: Signal, size: int) -> bytes:
    """About `size` bytes of `signal` as a WAV file: a random rate, 8 or 16 bit, mono or stereo, any start."""
    rate = int(rng.choice(RATES))
    width = int(rng.choice([1, 2, 2, 2]))
    channels = 2 if rng.random() < 0.25 else 1
    count = max(64, (size - 44) // (width * channels))
    start = int(rng.integers(0, max(1, len(signal) - count * FULL // rate)))
    places = start + np.arange(count) * FULL / rate
    places = places[places < len(signal) - 1]
    left = _at(signal[:, 0], places)
    right = _at(signal[:, -1], places) if signal.shape[1] > 1 else left * rng.uniform(0.5, 1)
    sound = np.stack([left, right][:channels], 1)
    if width == 1:
        samples = np.clip(np.rint(sound * 127 + 128), 0, 255).astype(np.uint8)
    else:
        samples = np.clip(np.rint(sound * 32767), -32768, 32767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return out.getvalue()


def clips(
    rng: np.random.Generator, recorded: list[tuple[str, Signal]], count: int, sizes: tuple[int, int]
) -> Iterator[tuple[str, bytes]]:
    """`count` WAV files of `sizes` bytes: two thirds recorded, one third synthetic."""
    for number in range(count):
        size = int(rng.integers(sizes[0], sizes[1]))
        if number % 3:
            name, signal = recorded[int(rng.integers(len(recorded)))]
            yield f"recorded-{name}", clip(rng, signal, size)
        else:
            name, signal = synthetic(rng)
            yield f"synthetic-{name}", clip(rng, signal, size)


def _at(signal: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    low = places.astype(np.int64)
    share = places - low
    return signal[low] * (1 - share) + signal[low + 1] * share


def _pluck(rng: np.random.Generator, pitch: float, length: int) -> NDArray[np.float64]:
    """Karplus and Strong's string: a burst of noise in a loop that averages neighbours."""
    period = max(2, int(FULL / pitch))
    loop = rng.uniform(-1, 1, period)
    out = np.empty(length)
    for start in range(0, length, period):
        stop = min(start + period, length)
        out[start:stop] = loop[: stop - start]
        loop = 0.498 * (loop + np.roll(loop, 1))
    return out
