"""Lock files: only one process writes to a folder."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from pixelwise.atomic import require_own
from pixelwise.errors import WriteError

_WITHOUT: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


def take_lock(path: Path, *, seconds: float = 0) -> FileLock | None:
    """Lock a file, created if missing; the system releases it when the process ends.

    Parameters
    ----------
    path : path
        A file used for nothing else.
    seconds : float
        How long to wait for another process.

    Returns
    -------
    FileLock or None
        The caller must release it; None if another process holds it.

    Raises
    ------
    WriteError
        The file is a link or cannot be created, or the disk does not support locks.
    """
    require_own(path)
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return None
    except NotImplementedError as error:
        raise WriteError(_explain(path)) from error
    except OSError as error:
        if error.errno in _WITHOUT:
            raise WriteError(_explain(path)) from error
        raise WriteError(f"Cannot write {path}: {error.strerror}. Check the folder.") from error
    return lock


def _explain(path: Path) -> str:
    return (
        f"The disk of {path.parent} cannot lock files, so two programs could write there at the "
        "same time. Have it mounted with locks (Lustre: flock; NFS: its lock service), or write to "
        "another disk and move the folder afterwards."
    )
