"""``soma embed``: files in, vectors and receipts out, through a running node."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._data import data_dir_option
from ._options import json_option
from ._print import data, data_json, talk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._embedding import Embedded


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write vectors as .npz.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost, and do nothing.")
@click.option("--again", is_flag=True, help="Pay for a new job even if these bytes were embedded before.")
@json_option
@data_dir_option
def embed(files: tuple[Path, ...], out: Path | None, dry_run: bool, again: bool, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # flags of the command line
    """Turn FILES into vectors through a running node. Asking twice for the same bytes pays once."""
    from ._client import Node
    from ._embedding import embed_file, receipts_dir, size_of, teller
    from ._prices import print_prices

    sizes = [size_of(path) for path in files]  # a bad file is told before anything is paid
    if out is not None:
        _check_target(out)
    with Node(data_dir) as node:
        if dry_run:
            print_prices(node, list(map(str, files)), sizes, as_json=as_json)
            return
        keep = receipts_dir(data_dir)
        done: list[Embedded] = []
        for path in files:
            done.append(embed_file(node, path, _nonce(again=again), keep, teller(path.name)))
            if not as_json:
                _print_one(done[-1])
    if as_json:
        from ._receipts import as_json as entry

        data_json({"inputs": [entry(str(e.path), e.receipt, str(e.saved)) for e in done]})
    if out is not None:
        _write_vectors(out, done)


def _print_one(embedded: "Embedded") -> None:
    from ._receipts import lines

    for line in lines(str(embedded.path), embedded.receipt, f"{embedded.saved}   soma verify {embedded.saved}"):
        data(line)


def _nonce(*, again: bool) -> int:
    if not again:
        return 0
    import secrets

    return secrets.randbits(62) + 1


def _check_target(out: Path) -> None:
    from soma_core.errors import UsageError

    if out.suffix != ".npz":
        raise UsageError(f"{out}: vectors are written as .npz", f"name it {out.with_suffix('.npz').name}")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: there is no such directory", "make it first")


def _write_vectors(out: Path, done: "Sequence[Embedded]") -> None:
    """`paths` [N], `vectors` int16 [N, D] as the chain has them, `unit` float32 [N, D] of length 1."""
    import numpy as np

    from soma_core import fixed

    settled = [e for e in done if e.receipt.vector]
    if not settled:
        talk(f"{out}: not written; nothing settled")
        return
    vectors = np.stack([fixed.vector_from_bytes(e.receipt.vector, e.receipt.dimension) for e in settled])
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = (vectors / lengths).astype(np.float32)
    np.savez_compressed(out, paths=np.array([str(e.path) for e in settled]), vectors=vectors, unit=unit)
    talk(f"{out}: {len(settled)} vectors")
