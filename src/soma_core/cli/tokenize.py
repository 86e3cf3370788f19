"""``soma tokenize``: files cut into tokens, several ways, with identities."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click
from attrs import evolve, frozen

from ._options import json_option, with_options
from ._print import columns, data, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_core.api import Document, Records, Tokens
    from soma_core.config import Options

    from ._tokenizing import Chosen, Source

FIRST: Final = 8
"""Tokens that are shown of each stream."""
SHOWN: Final = 16
"""Characters of each, at most."""


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…|-")
@click.option("--profile", metavar="NAME", help="strict (Unicode's rules, the default) or compat (an older system's).")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="Only this way to cut; repeat for several.")
@click.option("--records", is_flag=True, help="Give every token its identities.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="The session of the identities; several documents may share one.",
)
@with_options
@json_option
def tokenize(  # as many as the command line has
    options: "Options",
    *,
    files: Sequence[str],
    profile: str | None,
    streams: Sequence[str],
    records: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Cut each FILE, or standard input, into tokens that are exactly its bytes again.

    With --json, all tokens: {"streams": {NAME: [{"text", "index"}…]}}, and with --records also
    {"records": {NAME: [{"text", "uid", "content_id", "global_id"}…]}}; "index" counts code points. Several FILEs give
    {"documents": [{"file", "streams"…}…]}. A byte that is no UTF-8 stands as U+DC00 and its value; tokens of the stream
    byte are numbers.
    """
    from soma_core.errors import UsageError

    from ._tokenizing import STANDARD, choose, opened

    chosen = choose(options, profile)
    if records:
        chosen.identifying()
    known = chosen.tokenizer.streams
    for name in streams:
        if name not in known:
            raise UsageError(f"{chosen.name} has no stream {name!r}", f"there are {', '.join(known)}")
    if sum(file == STANDARD for file in files) > 1:
        raise UsageError("standard input is named twice", "name it once")
    wanted = [name for name in known if name in streams] if streams else list(known)
    session = seed.to_bytes(8, "little")
    if as_json and len(files) > 1:
        _write('{"documents": [')
    for place, file in enumerate(files):
        with opened(file) as source:
            document = _document(source, session) if records else None
            if as_json:
                from ._tokenizing import quoted

                name = f'"file": {quoted(file)}, ' if len(files) > 1 else ""
                _write(f"{', ' if place else ''}{{{name}")
                _write_json(chosen, source, wanted, document)
                _write("}")
            else:
                _summarize(chosen, source, wanted, document)
    if as_json:
        _write("]}\n" if len(files) > 1 else "\n")


def _document(source: "Source", session: bytes) -> "Document":
    from soma_core.api import Document

    return Document.of(session, _telling(source, "digest"))


def _telling(source: "Source", what: str) -> "Iterator[bytes]":
    """The document's pieces; how far they are read is told on stderr every second."""
    from ._progress import Progress

    progress = Progress(f"{printable(source.name)}: {what}", source.size)
    try:
        yield from source.pieces(progress.step)
    finally:
        progress.close()


def _write(text: str) -> None:
    click.echo(text, nl=False)


def _write_json(chosen: "Chosen", source: "Source", streams: Sequence[str], document: "Document | None") -> None:
    """The members of a document's object, streamed: what is held does not grow with the document."""
    from ._tokenizing import Places, Texts, cut, identified, quoted

    _write('"streams": {')
    for place, stream in enumerate(streams):
        _write(f"{', ' if place else ''}{quoted(stream)}: [")
        texts, places = Texts(source, stream), Places(source)
        begun = False
        for tokens in cut(chosen, stream, _telling(source, stream)):
            rows = zip(texts.of(tokens), places.of(tokens), strict=True)
            _write(", " * begun + ", ".join(f'{{"text": {quoted(text)}, "index": {index}}}' for text, index in rows))
            begun = True
        _write("]")
    _write("}")
    if document is None:
        return
    _write(', "records": {')
    for place, stream in enumerate(streams):
        _write(f"{', ' if place else ''}{quoted(stream)}: [")
        texts = Texts(source, stream)
        begun = False
        for found in identified(chosen, stream, _telling(source, f"{stream}, records"), document):
            _write(", " * begun + ", ".join(map(_record, texts.of(found.tokens), *_identities(found))))
            begun = True
        _write("]")
    _write("}")


def _record(text: str, uid: int, content: int, globally: int) -> str:
    from ._tokenizing import quoted

    return f'{{"text": {quoted(text)}, "uid": "{uid}", "content_id": "{content}", "global_id": "{globally}"}}'


def _identities(found: "Records") -> tuple[list[int], list[int], list[int]]:
    """UIDs, content ids and global ids."""
    contents, globals_ = (
        [high << 64 | low for high, low in column.tolist()] for column in (found.contents, found.globals)
    )
    return found.uids.tolist(), contents, globals_


def _summarize(chosen: "Chosen", source: "Source", streams: Sequence[str], document: "Document | None") -> None:
    """A table of the streams, and of the first tokens' identities."""
    data(f"{printable(source.name)}: {source.size:,} bytes, {chosen.name}")
    rows = [("stream", "tokens", "MB/s", "kinds", "first tokens")]
    identities = [("stream", "token", "uid", "content id", "global id")]
    for stream in streams:
        counted = _Count.of(chosen, source, stream, document)
        kinds = sorted(zip(counted.kinds, chosen.tokenizer.streams[stream], strict=True), reverse=True)
        told = ", ".join(f"{name} {count:,}" for count, name in kinds if count)
        rows.append((stream, f"{sum(counted.kinds):,}", f"{counted.speed:.1f}", told, " ".join(counted.first)))
        identities += [(stream, *row) for row in zip(counted.first, *counted.identities, strict=False)]
    for line in columns(rows):
        data(line)
    if document is not None:
        data("")
        for line in columns(identities):
            data(line)


@frozen
class _Count:
    """What is told of a stream. `kinds`: tokens of each kind. `speed`: in megabytes a second."""

    kinds: Sequence[int]
    speed: float
    first: Sequence[str]
    identities: Sequence[Sequence[str]]

    @classmethod
    def of(cls, chosen: "Chosen", source: "Source", stream: str, document: "Document | None") -> "_Count":
        import numpy as np

        from ._tokenizing import Texts, cut, identified, quoted

        kinds = np.zeros(len(chosen.tokenizer.streams[stream]), np.int64)
        first: list[str] = []
        identities: list[list[str]] = []
        begun = time.perf_counter()
        pieces = _telling(source, stream)
        results: Iterator[tuple[Tokens, Records | None]]
        if document is None:
            results = ((tokens, None) for tokens in cut(chosen, stream, pieces))
        else:
            results = ((found.tokens, found) for found in identified(chosen, stream, pieces, document))
        for tokens, found in results:
            if not first:
                head = evolve(tokens, bounds=tokens.bounds[: FIRST + 1], kinds=tokens.kinds[:FIRST])
                first = [quoted(text[:SHOWN]) for text in Texts(source, stream).of(head)]
                identities = [] if found is None else [list(map(str, column[:FIRST])) for column in _identities(found)]
            kinds += np.bincount(tokens.kinds, minlength=len(kinds))
        return cls(kinds.tolist(), source.size / 1e6 / (time.perf_counter() - begun), first, identities)
