"""Rows of a result that are final, kept beside the output until the result is whole.

A hidden folder ``.NAME.part`` holds them as a Zarr array (N, Y, X) or (N, classes, Y, X), with a
line in ``done`` for each block of rows that is on the disk. A prediction that was cancelled or
killed goes on after those; several processes can fill different blocks.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from pixelwise.atomic import append_lines, flush_file, remove_temps, write_text
from pixelwise.errors import DataError, PixelwiseError, ReadError, WriteError

Array = npt.NDArray[Any]

BLOCK_ROWS: Final = 256
SMALL_BYTES: Final = 2 << 20
"""Results up to this size are kept in memory until they are whole: they take moments."""
_ROWS: Final = "rows"
_DONE: Final = "done"
_ABOUT: Final = "about.json"
_LOCK: Final = "lock"
_CHUNK_COLUMNS: Final = 4096


class Part:
    """Rows of one result.

    Attributes
    ----------
    shape : tuple of int
        (N, Y, X) or (N, classes, Y, X).
    folder : Path or None
        Where the rows are; None: in memory.
    done : set of (int, int)
        Plane and first row of each block that is there.
    """

    def __init__(self, array: Any, folder: Path | None = None) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.folder = folder
        self.done = set() if folder is None else _read_done(folder / _DONE)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the part in a folder that `opening_part` has made."""
        import zarr

        return cls(zarr.open_array(folder / _ROWS, mode="r+"), folder)

    @property
    def share(self) -> float:
        """Share of the blocks that are there."""
        return len(self.done) / (self.shape[0] * len(list_blocks(self.shape[-2])))

    def missing(self, plane: int) -> Iterator[range]:
        """List the runs of rows of one plane that are not there, whole blocks each."""
        start: int | None = None
        for block in list_blocks(self.shape[-2]):
            is_done = (plane, block.start) in self.done
            if start is None and not is_done:
                start = block.start
            elif start is not None and is_done:
                yield range(start, block.start)
                start = None
        if start is not None:
            yield range(start, self.shape[-2])

    def read(self, plane: int, rows: slice, channel: int | None = None) -> Array:
        """Rows of a plane: a `RowReader`."""
        between = () if len(self.shape) == 3 else (slice(None) if channel is None else channel,)
        return np.asarray(self._array[(plane, *between, rows)])

    def write(self, plane: int, start: int, values: Array) -> None:
        """Write a block of rows, or several, from `start`; they are on the disk afterwards."""
        stop = start + values.shape[-2]
        self._array[plane, ..., start:stop, :] = values
        if self.folder is None:
            return
        between = [] if len(self.shape) == 3 else ["*"]
        for block in range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)):
            pattern = "/".join([_ROWS, "c", str(plane), *between, str(block), "*"])
            for file in self.folder.glob(pattern):
                flush_file(file)

    def mark(self, plane: int, start: int, rows: int) -> None:
        """Note that rows which were written, here or elsewhere, are final."""
        blocks = [start + at for at in range(0, rows, BLOCK_ROWS)]
        if self.folder is not None:
            append_lines(self.folder / _DONE, "".join(f"\n{plane} {at} ." for at in blocks))
        self.done |= {(plane, at) for at in blocks}

    def create_copy(self) -> Part:
        """Make a second part of the same rows, to change them; this one stays as it is."""
        import zarr

        if self.folder is None:
            return Part(self._array.copy())
        folder = self.folder / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        array = zarr.create_array(folder, **_describe(self.shape, self._array.dtype))
        copy = Part(array)
        for plane in range(self.shape[0]):
            for rows in list_blocks(self.shape[-2]):
                copy.write(plane, rows.start, self.read(plane, rows))
        return copy


class PartPlane:
    """A plane of labels in a part: a `LabelPlane`."""

    def __init__(self, part: Part, plane: int) -> None:
        self._part = part
        self._plane = plane
        self.blocks = list_blocks(part.shape[-2])

    def read(self, rows: slice) -> Array:
        """Labels (rows, X)."""
        return self._part.read(self._plane, rows)

    def write(self, rows: slice, labels: Array) -> None:
        """Put labels in the place of those that are there."""
        self._part.write(self._plane, rows.start, labels)


def list_blocks(height: int) -> list[slice]:
    """Rows of each block of a plane."""
    return [slice(y, min(y + BLOCK_ROWS, height)) for y in range(0, height, BLOCK_ROWS)]


def name_part(output: Path) -> Path:
    """Folder of the part of an output."""
    return output.with_name(f".{output.name}.part")


@contextmanager
def opening_part(
    output: Path, about: Mapping[str, Any] | None, *, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Iterator[Part]:
    """Give the part of an output: what is there of it, if it is of the same prediction.

    It is removed when the block ends well, and when the image is bad; it stays when the process is
    stopped or killed, the disk is full or a share does not answer. A small one is in memory.

    Parameters
    ----------
    output : path
        File or folder that the result will be; its parent must exist.
    about : mapping or None
        What the rows depend on, fit for JSON; None: nothing can be taken up later.
    shape : tuple of int
        (N, Y, X) or (N, classes, Y, X).
    dtype : dtype

    Raises
    ------
    WriteError
        The folder cannot be written, or another process predicts into the same output.
    """
    if int(np.prod(shape)) * dtype.itemsize <= SMALL_BYTES:
        yield Part(np.zeros(shape, dtype))
        return
    folder = name_part(output)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise WriteError(f"Cannot write {output}: {error.strerror}. Check the folder.") from error
    lock = FileLock(folder / _LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise WriteError(f"Another process is writing {output}: wait for it or stop it.") from None
    except OSError as error:
        raise WriteError(f"Cannot write {output}: {error.strerror}. Check the folder.") from error
    keep = about is not None
    try:
        remove_temps(output)
        _prepare(folder, about, shape=shape, dtype=dtype)
        yield Part.open(folder)
        keep = False
    except PixelwiseError as error:
        keep = keep and _may_pass(error)
        raise
    except OSError as error:
        raise WriteError(
            f"Cannot write {output}: {error.strerror or error}. Make room, and start the "
            "prediction again: it goes on where it ended."
        ) from error
    finally:
        if not keep:
            with suppress(OSError):
                _clear(folder)
            if os.name != "nt":  # a lock whose file is gone is taken by nobody
                shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        if not keep:
            with suppress(OSError):
                folder.rmdir()


def _may_pass(error: BaseException) -> bool:
    """Whether the same prediction may succeed later: not with a bad image."""
    if isinstance(error, ReadError):
        causes = [error.__cause__, getattr(error.__cause__, "__cause__", None)]
        return any(isinstance(cause, OSError) and cause.errno for cause in causes)
    return not isinstance(error, DataError)


def _clear(folder: Path) -> None:
    """Empty the folder of a part: first what tells whose rows they are, lest a rest is used."""
    (folder / _ABOUT).unlink(missing_ok=True)
    (folder / _DONE).unlink(missing_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != _LOCK:
            entry.unlink()


def _prepare(
    folder: Path, about: Mapping[str, Any] | None, *, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    """Keep what a folder holds of the same prediction, or start anew."""
    import zarr

    text = json.dumps([about, shape, str(dtype)], sort_keys=True)
    if about is not None and read_about(folder) == text and (folder / _ROWS).is_dir():
        return
    _clear(folder)
    zarr.create_array(folder / _ROWS, **_describe(shape, dtype))
    write_text(folder / _ABOUT, text)


def read_about(folder: Path) -> str | None:
    """Read what a part holds rows of; None if that is not known."""
    try:
        return (folder / _ABOUT).read_text("utf-8")
    except OSError:
        return None


def _describe(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Zarr's arguments for an array of rows: a chunk is of one plane, one class and one block."""
    *leading, height, width = shape
    size = (min(BLOCK_ROWS, height), min(_CHUNK_COLUMNS, width))
    return {"shape": shape, "dtype": dtype, "chunks": (*[1] * len(leading), *size)}


def _read_done(path: Path) -> set[tuple[int, int]]:
    """Blocks that are noted; a line that a power cut has torn lacks its dot and does not count."""
    try:
        lines = [line.split() for line in path.read_text("ascii").splitlines()]
    except FileNotFoundError:
        return set()
    whole = [line for line in lines if len(line) == 3 and line[2] == "."]
    return {(int(plane), int(start)) for plane, start, _ in whole}
