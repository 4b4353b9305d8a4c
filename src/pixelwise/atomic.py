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
    """Give a temp path to write to; it takes the place of `path` when the block ends well.

    The temp name keeps the suffix of `path`, starts with a dot, and is removed after an error.
    An old file under `path` stays untouched until the new one is complete on the disk; then it
    takes the name `keep`, in the same folder, if one is given. `check` is called right before that;
    what it raises leaves the old file.

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
    """Give a temp name for a file or folder, which the block makes and renames to `path`.

    What is left of it is removed, and what the disk refused is explained.
    """
    temp = path.with_name(f".{path.stem}-{token_hex(4)}.tmp{path.suffix}")
    try:
        yield temp
        flush_folder(path.parent)
    except PixelwiseError:
        raise
    except OSError as error:
        raise WriteError(_explain(path, error)) from error
    finally:
        if temp.is_dir():
            shutil.rmtree(temp, ignore_errors=True)
        with suppress(OSError):
            temp.unlink(missing_ok=True)


@contextmanager
def creating_folder(path: Path) -> Iterator[Path]:
    """Give a temp folder to fill; it takes the name `path` when the block ends well.

    The block flushes what it writes (`replacing` does). After an error nothing is left.

    Raises
    ------
    WriteError
        `path` is a file or holds something, or its parent cannot be written.
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
    """Give a temp folder to fill; it takes the place of the folder `path` when the block ends well.

    The caller has made sure that an old folder may go. It stays until the new one is complete on
    the disk and `check` has raised nothing, then moves to a temp name and is removed. After an
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
    """Make a folder, and those above it, so that they outlast a power cut; it may exist.

    Raises
    ------
    WriteError
        A folder cannot be made.
    """
    path = Path(path).absolute()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            flush_folder(folder.parent)
    except OSError as error:
        raise WriteError(_explain(path, error)) from error


def append_lines(path: Path, lines: str) -> None:
    """Add whole lines to the end of a file, or none of them.

    Raises
    ------
    WriteError
        The file cannot be written; what was written of the lines is taken back.
    """
    data = lines.encode()
    try:
        with path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                while data:
                    data = data[os.write(file.fileno(), data) :]
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise WriteError(_explain(path, error)) from error


def is_temporary(path: Path) -> bool:
    """Whether a name is that of a file or folder that is being written, or was when it ended."""
    return bool(_TEMPORARY.fullmatch(path.name))


def remove_temps(path: Path) -> None:
    """Remove what a killed process has left of a file or folder that it was making of this name.

    Nobody else may be making it now.
    """
    path = Path(path).absolute()
    token = "-" + "[0-9a-f]" * 8 + ".tmp"
    stem = f".{escape(path.stem)}{token}"
    if not path.exists():  # the old one had gone, and the new one not yet come
        for old in path.parent.glob(f"{stem}.old{path.suffix}"):
            if not is_link(old):
                old.rename(path)
    patterns = (f".{escape(path.name)}{token}", f"{stem}{path.suffix}", f"{stem}.old{path.suffix}")
    for pattern in patterns:
        for temp in path.parent.glob(pattern):
            if is_link(temp):  # nothing here makes one
                continue
            if temp.is_dir():
                shutil.rmtree(temp, ignore_errors=True)
            else:
                temp.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left in a folder; links are not ours."""
    for path in filter(is_temporary, list_folder(folder)):
        if path.is_file() and not is_link(path):
            with suppress(OSError):
                path.unlink()


def is_link(path: Path) -> bool:
    """Whether a name stands for a file or folder elsewhere: a symbolic link or a junction."""
    return path.is_symlink() or getattr(os.path, "isjunction", lambda _: False)(path)


def list_folder(folder: Path) -> list[Path]:
    """List what is in a folder; nothing where it is not there or cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def require_own(path: Path, *, folder: bool = False) -> None:
    """Raise if what is under a name of ours is a link, or no plain file; nothing there is fine.

    Parameters
    ----------
    path : path
        What is going to be written, emptied or removed. Folders above it may be links.
    folder : bool
        Whether it is a folder; then nothing in it may be a link either.

    Raises
    ------
    WriteError
        It is a link, a pipe or a device, or a file where a folder is expected.
    """
    if is_link(path):
        raise WriteError(
            f"{path} is a link to {path.readlink()}, and nothing is written through one. Nothing "
            "was changed: put a copy in the place of the link, or remove it."
        )
    if path.exists() and not (path.is_dir() if folder else path.is_file()):
        wanted = "a folder" if folder else "a file"
        raise WriteError(
            f"Expected {wanted} at {path}, found something else. Nothing was changed: remove it or "
            "give it another name."
        )
    for entry in list_folder(path) if folder else ():
        require_own(entry, folder=entry.is_dir())


def require_free_folder(path: Path) -> None:
    """Raise `WriteError` if `path` is a link, a file, or a folder that holds anything."""
    if path.is_symlink():
        raise WriteError(f"{path} is a link: name the folder that it leads to, or a new one.")
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        found = "a folder that is not empty" if path.is_dir() else "a file"
        raise WriteError(
            f"Expected a new or empty folder to write to, found {found}: {path}. "
            "Nothing was changed; name another folder or remove this one."
        )


def write_text(path: Path, text: str) -> None:
    """Write a whole text file in UTF-8, see `replacing`."""
    with replacing(path) as temp:
        temp.write_text(text, encoding="utf-8")


def create_array(
    path: Path, *, dtype: npt.DTypeLike, shape: tuple[int, ...]
) -> npt.NDArray[np.generic]:
    """Make a NumPy file of zeros, mapped into memory, and take its room on the disk at once.

    A disk that fills up later would end the process at the first page that it cannot write.

    Raises
    ------
    WriteError
        The folder is missing or read-only, or the disk has not enough room.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
        if hasattr(os, "posix_fallocate") and array.nbytes:
            with path.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise WriteError(_explain(path, error)) from error
    return array


def flush_file(path: Path) -> None:
    """Wait until the file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        if sys.platform == "darwin":  # where fsync leaves them in the drive's cache
            fcntl.fcntl(file.fileno(), fcntl.F_FULLFSYNC)


def forget_cached(path: Path) -> None:
    """Have the next reader of a flushed file ask the disk, where the system can be told so."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError), path.open("rb") as file:  # it is advice
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def flush_folder(path: Path) -> None:
    """Wait until the folder's names are on the disk; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explain(path: Path, error: OSError) -> str:
    """Say what could not be written, why, and what to do."""
    reason = error.strerror or str(error) or type(error).__name__
    return (
        f"Cannot write {path}: {reason}. "
        "Check that the folder exists, that you may write to it, and that the disk has room."
    )
