"""Running encoders over everything that ``soma encoder report`` tries them on."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from attrs import fields_dict, frozen

from soma_core.errors import EncoderError, UsageError

if TYPE_CHECKING:
    from soma_core.api import EncoderInfo
    from soma_core.loading import LoadedEncoder
    from soma_core.quality import Corpora, Reading

AT_ONCE: Final = 16
"""Items given to an encoder at a time."""


@frozen(eq=False)
class Read:
    """An encoder, and what it answered to each part of the corpora."""

    plugin: str
    info: "EncoderInfo"
    readings: "Mapping[str, Reading]"


def read(
    corpora: "Corpora", plugin: str | None, weights: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Read]:
    """Every encoder over every item, by the encoder's name. Raises `SomaError`."""
    import soma_core

    from ._aligning import engine_installed

    name = plugin or engine_installed()
    out: dict[str, Read] = {}
    count = sum(map(len, corpora.parts().values()))
    for title, chosen in _encoders(name, weights):
        with (
            soma_core.load(name, **chosen, **settings) as loaded,
            click.progressbar(length=count, label=title, file=sys.stderr) as bar,
        ):
            out[title] = Read(name, loaded.info, _everything(loaded, corpora, bar.update))
    return out


def about(opened: Mapping[str, Read], sizes: Mapping[str, int]) -> dict[str, Any]:
    """What was tried, as JSON."""
    return {
        "sizes": dict(sizes),
        "encoders": {
            title: {
                "plugin": each.plugin,
                "weights": each.info.weights.hex(),
                "frame": bool(each.info.frame),
                "numeric": each.info.numeric,
                "dim": each.info.dim,
            }
            for title, each in opened.items()
        },
    }


def _encoders(name: str, weights: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """What each encoder is called, and the setting that names its weights."""
    from soma_core.model import bundled
    from soma_core.plugins import Plugins

    plugins = Plugins()
    if plugins.find(name).kind != "encoder":
        raise UsageError(f"{name}: only encoders are reported on", "name one, such as encoder-jax")
    config: Any = plugins.spec("encoder", name).config
    key = next((key for key in ("weights", "file") if key in fields_dict(config)), None)
    if weights and key is None:
        raise UsageError(f"{name}: it takes no weights", "leave --weights out")
    named = weights or (bundled() if key == "weights" else ())
    if not named or key is None:
        yield name.partition("-")[2], {}
        return
    titles = [Path(each).stem for each in named]
    for title, each in zip(titles, named, strict=True):
        yield each if titles.count(title) > 1 else title, {key: each}


def _everything(loaded: "LoadedEncoder", corpora: "Corpora", told: Callable[[int], None]) -> "dict[str, Reading]":
    readings = {part: _part(loaded, items, told) for part, items in corpora.parts().items()}
    if not any(each.taken.any() for each in readings.values()):
        raise EncoderError(f"{loaded!r} takes none of the items", "see what it takes: soma plugins info NAME")
    return readings


def _part(loaded: "LoadedEncoder", items: Sequence[bytes], told: Callable[[int], None]) -> "Reading":
    """All items of a part; those that the encoder refuses are left out."""
    import numpy as np

    from soma_core.quality import Reading

    taken, given = np.zeros(len(items), bool), [loaded.answers([])]
    for start in range(0, len(items), AT_ONCE):
        batch = items[start : start + AT_ONCE]
        try:
            given.append(loaded.answers(batch))
            taken[start : start + len(batch)] = True
        except ValueError:  # it names one, and there may be more: each by itself
            for place, item in enumerate(batch, start):
                try:
                    given.append(loaded.answers([item]))
                    taken[place] = True
                except ValueError:
                    continue
        told(len(batch))
    return Reading(
        taken=taken,
        raw=np.concatenate([each.raw for each in given]),
        framed=np.concatenate([each.directions for each in given]),
        bits=np.concatenate([each.bits_per_byte for each in given if each.bits_per_byte is not None])
        if loaded.has_loss
        else None,
    )
