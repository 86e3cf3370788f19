"""``index-exact``: every vector is looked at; what is kept is on disk before `add` returns."""

from soma_core.api import Context, Index, IndexSpec, NoConfig, hookimpl

__all__ = ["soma_index"]


@hookimpl
def soma_index() -> IndexSpec[NoConfig]:
    """``index-exact``: durable, and nothing is approximate."""
    return IndexSpec(api=1, config=NoConfig, open=open_index, features=frozenset({"durable"}))


def open_index(_config: NoConfig, context: Context) -> Index:
    """The index in ``<directory>/vectors.log``. Raises `OSError` if in use, `CorruptionError` if damaged."""
    from ._index import ExactIndex

    return ExactIndex(context.directory)
