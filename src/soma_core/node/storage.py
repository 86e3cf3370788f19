"""What a failing disk does to a node: it ends, with a line that says what failed, where, and what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from soma_core.errors import StorageError

_OF_A_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})
_REMEDY: Final = "make room or mend the disk, then start again: what was acknowledged is kept"


@contextmanager
def disk_failures(data_dir: Path) -> Iterator[None]:
    """Raise `StorageError` in place of every `OSError` that is the disk's of `data_dir`. Others pass as they are."""
    try:
        yield
    except (OSError, BaseExceptionGroup) as error:
        leaves = list(_leaves(error))
        ours = {str(_said(leaf, data_dir)): _said(leaf, data_dir) for leaf in leaves if _is_storage(leaf, data_dir)}
        if not ours:
            raise
        others = [leaf for leaf in leaves if not _is_storage(leaf, data_dir)]
        raise BaseExceptionGroup("the node's disk failed", [*ours.values(), *others]) from error


def _said(error: BaseException, data_dir: Path) -> StorageError:
    assert isinstance(error, OSError)
    what, _, remedy = (error.strerror or str(error)).partition("; ")  # a ledger says what to do itself
    return StorageError(f"{error.filename or data_dir}: {what}", remedy or _REMEDY)


def _is_storage(error: BaseException, data_dir: Path) -> bool:
    if not isinstance(error, OSError):
        return False
    below = isinstance(error.filename, str) and Path(error.filename).is_relative_to(data_dir)
    return below or error.errno in _OF_A_DISK


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
