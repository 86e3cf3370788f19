"""``soma search``: what the network embedded that is nearest to a file, a text, a job or a vector."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from soma_core.errors import RefusedError, UsageError

from ._data import data_dir_option
from ._options import json_option
from ._print import data, data_json, talk

if TYPE_CHECKING:
    from soma_core.api import searching

    from ._client import Node

INPUT_MOST: Final = 64 << 20
"""Bytes of standard input: what the largest network takes."""


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--text", metavar="TEXT", help="Look near this text.")
@click.option("--job", metavar="ID", help="Look near a settled job: 8 of its first digits, or more.")
@click.option(
    "--vector", type=click.Path(path_type=Path), metavar="FILE.npy", help="Look for what is near to a vector."
)
@click.option(
    "-k", "--most", type=click.IntRange(1, 1000), default=10, show_default=True, metavar="N", help="How many to find."
)
@click.option(
    "--where",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only jobs with this winner, epoch, size, blob or requester; repeat for several.",
)
@click.option("--dry-run", is_flag=True, help="Say what embedding FILE or TEXT would cost, and do nothing.")
@json_option
@data_dir_option
def search(
    file: Path | None,
    text: str | None,
    job: str | None,
    vector: Path | None,
    most: int,
    where: tuple[str, ...],
    dry_run: bool,  # noqa: FBT001  # flags of the command line
    as_json: bool,  # noqa: FBT001
    data_dir: Path,
) -> None:
    """Find what the network embedded that is nearest to FILE (- is standard input), through a running node.

    FILE or TEXT is embedded for that, as by `soma embed`: the same bytes are paid once. A job or vector costs nothing.
    """
    from soma_core.api import searching

    from ._client import Node
    from ._finding import need_index

    given = [name for name, value in _named(file, text, job, vector).items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"{' and '.join(given) or 'nothing'} to look for", "give one of FILE, --text, --job and --vector"
        )
    if dry_run and (job is not None or vector is not None):
        raise UsageError(f"{given[0]} costs nothing", "leave out --dry-run")
    wanted = _wanted(where)
    asked = searching.Search(vector=b"" if vector is None else _vector(vector), job=_job(job), most=most, where=wanted)
    with _as_file(file, text) as query, Node(data_dir) as node:
        need_index(node)
        if query is not None:
            _look_for_data(node, *query, asked, data_dir, dry_run=dry_run, as_json=as_json)
        else:
            _show(node, asked, {"job": job, "vector": str(vector) if vector else None}, data_dir, as_json=as_json)


def _named(file: Path | None, text: str | None, job: str | None, vector: Path | None) -> dict[str, object]:
    return {"FILE": file, "--text": text, "--job": job, "--vector": vector}


def _look_for_data(
    node: "Node", path: Path, name: str, asked: "searching.Search", data_dir: Path, *, dry_run: bool, as_json: bool
) -> None:
    """Embed what lies at `path`, and look for what is near to it."""
    from attrs import evolve

    from ._embedding import embed_file, receipts_dir, size_of, teller
    from ._prices import print_prices
    from ._receipts import as_json as entry

    size = size_of(path)
    if dry_run:
        print_prices(node, [name], [size], as_json=as_json)
        return
    kept_name = "" if name == str(path) else name
    embedded = embed_file(node, path, 0, receipts_dir(data_dir), teller(name), name=kept_name)
    if not embedded.receipt.vector:
        raise RefusedError(f"{name} was not embedded: {embedded.receipt.why}", "the fee came back; ask again later")
    query = entry(name, embedded.receipt, str(embedded.saved))
    _show(node, evolve(asked, job=embedded.receipt.job), query, data_dir, as_json=as_json)


def _show(node: "Node", asked: "searching.Search", query: object, data_dir: Path, *, as_json: bool) -> None:
    from soma_core.api import control

    from . import _finding
    from ._embedding import receipts_dir

    found = node.ask(control.SEARCH, asked)
    keep = receipts_dir(data_dir)
    if as_json:
        data_json({"query": query, **_finding.as_json(found, keep)})
        return
    for line in _finding.lines(found, keep):
        data(line)
    late = f"; {found.behind} commits are not looked at yet" if found.behind else ""
    talk(f"{len(found.found)} of {found.among} vectors{late}")


def _wanted(where: tuple[str, ...]) -> "tuple[searching.Wanted, ...]":
    """``winner=text`` and its like. Raises `UsageError`."""
    from soma_core.api import searching

    wanted = []
    for each in where:
        name, mark, value = each.partition("=")
        if not mark or len(name) > 64 or len(value) > 256:
            raise UsageError(f"--where {each!r:.60} is not NAME=VALUE", f"names are {', '.join(searching.LABELS)}")
        wanted.append(searching.Wanted(name=name, value=value))
    searching.typed(wanted)
    return tuple(wanted)


def _job(text: str | None) -> bytes:
    """The beginning of a job's key."""
    if text is None:
        return b""
    from soma_core.api.searching import SHORTEST

    try:
        job = bytes.fromhex(text)
    except ValueError:
        job = b""
    if not SHORTEST <= len(job) <= 32:
        raise UsageError(
            f"--job {text!r:.80} names no job", f"give {2 * SHORTEST} to 64 of its hexadecimal digits, an even number"
        )
    return job


def _vector(path: Path) -> bytes:
    """The one vector in an ``.npy`` file, float32, little endian."""
    import numpy as np

    from soma_core.api.searching import VECTOR_MOST

    remedy = "write one with numpy.save"
    try:
        stored = np.lib.format.open_memmap(path, mode="r")  # mapped: what its header says is not believed
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or 'cannot be read'}", "name an .npy file") from error
    except (ValueError, TypeError, OverflowError, EOFError, SyntaxError) as error:
        raise UsageError(f"{path}: no .npy file: {' '.join(str(error).split())[:200]}", remedy) from error
    if stored.dtype.kind not in "fiu" or not 0 < 4 * stored.size <= VECTOR_MOST:
        raise UsageError(f"{path}: an array of {stored.size} × {stored.dtype} is no vector", remedy)
    with np.errstate(over="ignore"):  # the node refuses what is not finite
        return np.asarray(stored, dtype="<f4").tobytes()


@contextmanager
def _as_file(file: Path | None, text: str | None) -> Iterator[tuple[Path, str] | None]:
    """What is to be embedded, as a file, and how it is called. Standard input and text are one while this lasts."""
    if file is not None and str(file) != "-":
        yield file, str(file)
    elif file is None and text is None:
        yield None
    else:
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="soma-search-") as directory:
            path = Path(directory) / "query"
            name = "standard input" if text is None else f'"{text[:60]}"'
            path.write_bytes(_standard_input() if text is None else text.encode("utf-8", "surrogateescape"))
            if not path.stat().st_size:
                raise UsageError(f"{name} is empty", "there is nothing to look for")
            yield path, name


def _standard_input() -> bytes:
    read = sys.stdin.buffer.read(INPUT_MOST + 1)
    if len(read) > INPUT_MOST:
        raise UsageError(f"standard input: more than {INPUT_MOST} bytes", "no network takes so much")
    return read
