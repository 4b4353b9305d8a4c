"""Files and folders that appear whole or not at all: temp name, flush to disk, rename.

The temp name lies in the same folder, because a rename across file systems is a copy.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from secrets import token_hex

import numpy as np
import numpy.typing as npt

from pixelwise.errors import PixelwiseError, WriteError

if sys.platform == "darwin":
    import fcntl

_TEMPORARY = re.compile(r"\..*-[0-9a-f]{8}\.tmp(\..*)?", re.DOTALL)


@contextmanager
def replacing(
    path: Path, *, keep: Path | None = None, check: Callable[[], None] | None = None
) -> Iterator[Path]:
    """Yield a temp path to write to; it replaces `path` if the block succeeds.

    The temp name keeps the suffix of `path`, starts with a dot, and is removed after an error.
    An existing file at `path` is untouched until the new one is complete on disk; it is then
    renamed to `keep`, in the same folder, if given. `check` is called right before that; if it
    raises, the old file stays.

    Raises
    ------
    WriteError
        The folder is missing or read-only, the disk is full, or the block wrote nothing.
    """
    path = Path(path)
    with _making(path) as temp:
        yield temp
        flush_file(temp)
        if check is not None:
            check()
        if keep is not None and path.exists():
            path.replace(keep)
        temp.replace(path)


@contextmanager
def _making(path: Path) -> Iterator[Path]:
    """Yield a temp path for the block to create and rename to `path`; leftovers are removed."""
    temp = path.with_name(f".{path.stem}-{token_hex(4)}.tmp{path.suffix}")
    try:
        with _explaining(path):
            yield temp
            flush_folder(path.parent)
    finally:
        if temp.is_dir():
            shutil.rmtree(temp, ignore_errors=True)
        with suppress(OSError):
            temp.unlink(missing_ok=True)


@contextmanager
def creating_folder(path: Path) -> Iterator[Path]:
    """Yield a temp folder to fill; it is renamed to `path` if the block succeeds.

    The block must flush what it writes (`replacing` does). After an error nothing is left.

    Raises
    ------
    WriteError
        `path` is a file or a folder that is not empty, or its parent cannot be written.
    """
    path = Path(path).absolute()
    require_free_folder(path)
    with _making(path) as temp:
        temp.mkdir(parents=True)
        yield temp
        flush_folder(temp)
        with suppress(FileNotFoundError):
            path.rmdir()
        temp.rename(path)


@contextmanager
def replacing_folder(path: Path, *, check: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield a temp folder to fill; it replaces the folder `path` if the block succeeds.

    The caller must have checked that an old folder may be removed. It stays until the new one is
    complete on disk and `check` has passed, then moves to a temp name and is removed. After an
    error nothing new is left.

    Raises
    ------
    WriteError
        The parent is missing or read-only, or the disk is full.
    """
    path = Path(path).absolute()
    with _making(path) as temp:
        temp.mkdir()
        yield temp
        for entry in temp.rglob("*"):
            flush_folder(entry) if entry.is_dir() else flush_file(entry)
        flush_folder(temp)
        if check is not None:
            check()
        old = temp.with_suffix(f".old{path.suffix}")
        try:
            with suppress(FileNotFoundError):
                path.rename(old)
            temp.rename(path)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            shutil.rmtree(old, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Create a folder and its parents, flushed to disk so that they survive a power cut.

    Raises
    ------
    WriteError
        A folder cannot be created.
    """
    path = Path(path).absolute()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    with _explaining(path):
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            flush_folder(folder.parent)


def append_lines(path: Path, lines: str) -> None:
    """Append lines to a file: all of them or none.

    Raises
    ------
    WriteError
        The file cannot be written; it is truncated to its former size.
    """
    data = lines.encode()
    with _explaining(path), path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while data:
                data = data[os.write(file.fileno(), data) :]
        except OSError:
            file.truncate(size)
            raise


def is_temporary(path: Path) -> bool:
    """Whether a name is one of the temp names made here, in use or left by a killed process."""
    return bool(_TEMPORARY.fullmatch(path.name))


def remove_temps(path: Path) -> None:
    """Remove the temp files and folders that a killed process left while writing `path`.

    No other process may be writing it now.
    """
    path = Path(path).absolute()
    token = "-" + "[0-9a-f]" * 8 + ".tmp"
    stem = f".{escape(path.stem)}{token}"
    if not path.exists():  # killed between the two renames of `replacing_folder`
        for old in path.parent.glob(f"{stem}.old{path.suffix}"):
            if not is_link(old):
                old.rename(path)
    patterns = (f".{escape(path.name)}{token}", f"{stem}{path.suffix}", f"{stem}.old{path.suffix}")
    for pattern in patterns:
        for temp in path.parent.glob(pattern):
            if is_link(temp):  # not ours: this module creates no links
                continue
            if temp.is_dir():
                shutil.rmtree(temp, ignore_errors=True)
            else:
                temp.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temp files that a killed process left in a folder; links are left alone."""
    for path in filter(is_temporary, list_folder(folder)):
        if path.is_file() and not is_link(path):
            with suppress(OSError):
                path.unlink()


def is_link(path: Path) -> bool:
    """Whether a path is a symbolic link or a Windows junction."""
    return path.is_symlink() or getattr(os.path, "isjunction", lambda _: False)(path)


def list_folder(folder: Path) -> list[Path]:
    """List the entries of a folder, sorted; empty if it is missing or cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def require_own(path: Path, *, folder: bool = False) -> None:
    """Raise unless `path` is missing, or a plain file or folder rather than a link.

    Parameters
    ----------
    path : path
        About to be written, emptied or removed. Its parent folders may be links.
    folder : bool
        Whether a folder is expected; nothing inside it may be a link either.

    Raises
    ------
    WriteError
        It is a link, a pipe or a device, or a file where a folder is expected.
    """
    if is_link(path):
        raise WriteError(
            f"{path} is a link to {path.readlink()}; links are never written through. Nothing was "
            "changed: replace the link with a copy, or remove it."
        )
    if path.exists() and not (path.is_dir() if folder else path.is_file()):
        wanted = "a folder" if folder else "a file"
        raise WriteError(
            f"Expected {wanted} at {path}, found something else. Nothing was changed: remove or "
            "rename it."
        )
    for entry in list_folder(path) if folder else ():
        require_own(entry, folder=entry.is_dir())


def require_free_folder(path: Path) -> None:
    """Raise `WriteError` if `path` is a link, a file, or a folder that holds anything."""
    if path.is_symlink():
        raise WriteError(f"{path} is a link: name its target folder, or a new folder.")
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        found = "a folder that is not empty" if path.is_dir() else "a file"
        raise WriteError(
            f"Expected a new or empty folder to write to, found {found}: {path}. "
            "Nothing was changed; name another folder or remove this one."
        )


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file through `replacing`."""
    with replacing(path) as temp:
        temp.write_text(text, encoding="utf-8")


def create_array(
    path: Path, *, dtype: npt.DTypeLike, shape: tuple[int, ...]
) -> npt.NDArray[np.generic]:
    """Create a memory-mapped NumPy file of zeros, with its disk space allocated at once.

    Otherwise a disk that fills up later would kill the process at the first page it cannot write.

    Raises
    ------
    WriteError
        The folder is missing or read-only, or the disk is too full.
    """
    with _explaining(path):
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
        if hasattr(os, "posix_fallocate") and array.nbytes:
            with path.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def flush_file(path: Path) -> None:
    """Wait until the file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        if sys.platform == "darwin":  # where fsync leaves them in the drive's cache
            fcntl.fcntl(file.fileno(), fcntl.F_FULLFSYNC)


def forget_cached(path: Path) -> None:
    """Drop a flushed file from the page cache, so that the next read comes from the disk."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError), path.open("rb") as file:  # a failure does no harm
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def flush_folder(path: Path) -> None:
    """Wait until the folder's entries are on the disk; not needed on Windows."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `WriteError` that says what to check."""
    try:
        yield
    except PixelwiseError:
        raise
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise WriteError(
            f"Cannot write {path}: {reason}. "
            "Check that the folder exists, that you may write to it, and that the disk has room."
        ) from error
