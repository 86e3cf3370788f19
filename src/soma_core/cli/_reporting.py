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


@frozen
class _Chosen:
    """An encoder that is to be opened. `title`: what the report calls it."""

    title: str
    plugin: str
    settings: Mapping[str, Any]


def read(
    corpora: "Corpora", plugin: str | None, weights: Sequence[str], settings: Mapping[str, Any], beside: Sequence[str]
) -> dict[str, Read]:
    """Every encoder over every item, by what it is called: `weights` under `plugin`, `beside` under an engine of ours.

    Raises `SomaError`.
    """
    import soma_core

    from ._aligning import engine_installed

    chosen = [*_encoders(plugin or engine_installed(), weights, settings)]
    if beside:
        chosen += _encoders(engine_installed(), beside, {})
    titles = [each.title for each in chosen]
    if twice := {title for title in titles if titles.count(title) > 1}:
        raise UsageError(f"{min(twice)}: named twice", "name each encoder once")
    out: dict[str, Read] = {}
    count = sum(map(len, corpora.parts().values()))
    for each in chosen:
        with (
            soma_core.load(each.plugin, **each.settings) as loaded,
            click.progressbar(length=count, label=each.title, file=sys.stderr) as bar,
        ):
            out[each.title] = Read(each.plugin, loaded.info, _everything(loaded, corpora, bar.update))
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


def _encoders(name: str, weights: Sequence[str], settings: Mapping[str, Any]) -> Iterator[_Chosen]:
    """One for each of `weights`; without any the bundled ones, or the one that the settings name."""
    from soma_core.model import bundled
    from soma_core.plugins import Plugins

    plugins = Plugins()
    if plugins.find(name).kind != "encoder":
        raise UsageError(f"{name}: only encoders are reported on", "name one, such as encoder-jax")
    config: Any = plugins.spec("encoder", name).config
    key = next((key for key in ("weights", "file") if key in fields_dict(config)), None)
    if weights and key is None:
        raise UsageError(f"{name}: it takes no weights", "leave --weights out")
    named = weights or ()
    if not weights and key == "weights" and key not in settings and fields_dict(config)[key].default in bundled():
        named = bundled()
    if not named or key is None:
        yield _Chosen(name.partition("-")[2], name, settings)
        return
    stems = [Path(each).stem for each in named]
    for stem, each in zip(stems, named, strict=True):
        yield _Chosen(stem if stems.count(stem) == 1 else each, name, {**settings, key: each})


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
