"""``soma index``: vectors kept in a folder, and the nearest of them found, without a node."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soma_core.errors import UsageError

from ._options import json_option
from ._print import columns, data, data_json, printable, talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from soma_core.api import Hit, Index, Label

    from ._vectors_in import Part

_PATH = click.Path(path_type=Path)
_DASH = click.Path(path_type=Path, allow_dash=True)


def folder_options(function: "Callable[..., Any]") -> "Callable[..., Any]":
    """``--dir``, and ``--set`` for the plugin that made it."""
    function = click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting: index.faiss.ef_search=64."
    )(function)
    return click.option("--dir", "folder", required=True, type=_PATH, metavar="DIR", help="The folder of the index.")(
        function
    )


@click.group()
def index() -> None:
    """Keep vectors in a folder and find the nearest, without a node. What the network embedded: `soma search`."""


@index.command()
@click.argument("vectors", required=False, type=_DASH)
@folder_options
@click.option("--plugin", metavar="NAME", help="What makes a new index.  [default: index-exact]")
@click.option("--ids", type=_PATH, metavar="FILE", help="An id a line; else a row's number is its id.")
@click.option("--labels", type=_PATH, metavar="JSONL", help='A JSON object a line, such as {"kind": "text"}.')
@json_option
def add(
    *,
    vectors: Path | None,
    folder: Path,
    assignments: tuple[str, ...],
    plugin: str | None,
    ids: Path | None,
    labels: Path | None,
    as_json: bool,
) -> None:
    """Add VECTORS, an .npy file [n, dim], or JSON lines {"id", "vector", "labels"} from standard input.

    An id that is there is replaced. A folder that is new becomes an index. An id whose bytes are no text is written
    hex: and its digits.
    """
    from . import _vectors_in
    from ._index_folder import opened

    file = None if str(vectors or "-") == "-" else vectors
    if file is not None:
        count, parts = _vectors_in.parts_of_array(file, ids, labels)
    elif ids or labels:
        raise UsageError("--ids and --labels go with an .npy file", "JSON lines have ids and labels of their own")
    else:
        count, parts = None, _vectors_in.parts_of_lines()
    with opened(folder, plugin, assignments, new=True) as found:
        if file is not None and ids is None and len(found.index):
            raise UsageError(
                f"{folder}: numbers of rows would replace the vectors that have them", "give --ids, or another --dir"
            )
        done = 0
        for part in parts:
            _add(found.index, part, done)
            done += len(part.ids)
            talk(f"{done:,}{'' if count is None else f' of {count:,}'} vectors added")
        held = len(found.index)
    if as_json:
        data_json({"folder": str(folder), "plugin": found.plugin, "added": done, "vectors": held})
    else:
        data(f"{folder} · {found.plugin} · {done:,} added, {held:,} there")


@index.command()
@click.argument("names", nargs=-1, metavar="ID…")
@folder_options
@click.option("--ids", type=_DASH, metavar="FILE", help="An id a line; - is standard input.")
@json_option
def remove(
    *, names: tuple[str, ...], folder: Path, assignments: tuple[str, ...], ids: Path | None, as_json: bool
) -> None:
    """Forget the vectors with these IDs."""
    from . import _vectors_in
    from ._index_folder import opened

    if bool(names) == (ids is not None):
        raise UsageError("which ids?", "give them as arguments, or in a file by --ids")
    with opened(folder, None, assignments) as found:
        given = [[_vectors_in.id_of(name) for name in names]] if ids is None else _vectors_in.ids_in(ids)
        gone = sum(found.index.remove(some) for some in given)
        held = len(found.index)
    if as_json:
        data_json({"folder": str(folder), "plugin": found.plugin, "removed": gone, "vectors": held})
    else:
        data(f"{folder} · {found.plugin} · {gone:,} removed, {held:,} there")


@index.command()
@click.argument("queries", required=False, type=_DASH)
@folder_options
@click.option("-k", "--most", type=click.IntRange(1, 4096), default=10, show_default=True, help="How many to find.")
@click.option("--where", multiple=True, metavar="NAME=VALUE", help="Only vectors with this label; repeat for several.")
@json_option
def search(
    *,
    queries: Path | None,
    folder: Path,
    assignments: tuple[str, ...],
    most: int,
    where: tuple[str, ...],
    as_json: bool,
) -> None:
    """Find what is nearest to QUERIES, an .npy file [m, dim], or JSON lines from standard input.

    A line is {"vector": […]} or the bare list. A VALUE that is a whole number is one; text that looks like it stands in
    quotes, as in n='"7"'.
    """
    from . import _vectors_in
    from ._index_folder import opened

    labels = dict(_label(each) for each in where)
    answers: list[list[Hit]] = []
    with opened(folder, None, assignments) as found:
        for some in _vectors_in.queries(queries):
            answers += found.index.search(some, most, labels)
    if as_json:
        data_json({"folder": str(folder), "plugin": found.plugin, "answers": [_as_json(hits) for hits in answers]})
        return
    for place, hits in enumerate(answers):
        if len(answers) > 1:
            data(f"query {place}")
        for line in _lines(hits):
            data(line)
    if not answers:
        talk("no queries")


@index.command()
@folder_options
@json_option
def info(*, folder: Path, assignments: tuple[str, ...], as_json: bool) -> None:
    """Say what an index holds, and how much of what is near it finds: measured, on what it holds."""
    from attrs import asdict

    from ._index_folder import opened, size_of

    with opened(folder, None, assignments) as found:
        stats = found.index.stats()
    told = {"folder": str(folder), "plugin": found.plugin, "features": sorted(found.features), "bytes": size_of(folder)}
    if as_json:
        data_json(told | asdict(stats))
        return
    recall = f"{stats.recall:.4f}, measured on {stats.sampled} vectors" if stats.sampled else "1, by what it is"
    if "approximate" in found.features and not stats.sampled:
        recall = "too few vectors to say"
    data(f"{folder} · {found.plugin} · {', '.join(sorted(found.features)) or 'no features'}")
    data(f"vectors  {stats.count:,} of length {stats.dim:,}")
    data(f"recall   {recall}")
    data(f"disk     {told['bytes']:,} bytes")
    data(f"about    {stats.about}")


@index.command("list")
@click.option("--dir", "folder", type=_PATH, default=Path(), metavar="DIR", help="Where to look.  [default: .]")
@json_option
def list_(*, folder: Path, as_json: bool) -> None:
    """List the indexes in a folder: itself, and the folders in it."""
    from ._index_folder import plugin_of, size_of

    if not folder.is_dir():
        raise UsageError(f"{folder}: no folder", "name one")
    places = [folder, *sorted(one for one in folder.iterdir() if one.is_dir())]
    found = [(place, plugin) for place in places if (plugin := plugin_of(place)) is not None]
    if as_json:
        data_json([{"folder": str(place), "plugin": name, "bytes": size_of(place)} for place, name in found])
    elif found:
        for line in columns([(str(place), name, f"{size_of(place):,} bytes") for place, name in found]):
            data(line)
    else:
        talk(f"no index in {folder}")


def _add(to: "Index", part: "Part", done: int) -> None:
    try:
        to.add(part.ids, part.vectors, part.labels)
    except ValueError as error:
        raise UsageError(
            f"from {part.first} on: {error}", f"the {done:,} before were added; mend it and add all again"
        ) from error


def _label(text: str) -> "tuple[str, Label]":
    from soma_core.config import toml_or_text

    name, mark, value = text.partition("=")
    if not mark:
        raise UsageError(f"--where {text!r:.60} is not NAME=VALUE", "such as kind=text")
    found = toml_or_text(value)
    return name, found if type(found) in (int, str) else value


def _as_json(hits: "list[Hit]") -> list[dict[str, Any]]:
    from ._vectors_in import text_of

    return [{"id": text_of(hit.id), "similarity": hit.similarity, "labels": dict(hit.labels)} for hit in hits]


def _lines(hits: "list[Hit]") -> list[str]:
    from ._vectors_in import text_of

    rows = [
        (
            f"{hit.similarity:+.4f}",
            text_of(hit.id),
            printable("  ".join(f"{name}={value}" for name, value in hit.labels.items())),
        )
        for hit in hits
    ]
    return columns(rows) if rows else ["nothing"]
