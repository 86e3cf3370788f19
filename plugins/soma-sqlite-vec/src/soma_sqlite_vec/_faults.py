"""What SQLite reports, as the errors that an index promises: what happened, to which file, what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from soma_core.errors import CorruptionError


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """SQLite's errors about `path` become `CorruptionError` or `OSError`, of one line."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise CorruptionError(
            f"{path}: damaged, or no database ({error})", "restore a copy of it, or move it away; nothing was changed"
        ) from error
    except apsw.FullError as error:
        raise OSError(
            errno.ENOSPC, f"the disk is full ({error}); free space: nothing of this call was kept", str(path)
        ) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise OSError(errno.EBUSY, f"another program holds the database ({error}); close it", str(path)) from error
    except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError) as error:
        what = f"the file cannot be opened or written ({error}); check its permissions and those of its directory"
        raise OSError(errno.EACCES, what, str(path)) from error
    except apsw.Error as error:
        raise OSError(
            errno.EIO, f"the disk or the database failed ({error}); look at the system log", str(path)
        ) from error
