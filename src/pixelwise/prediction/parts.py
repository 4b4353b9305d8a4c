"""Rows of a result that are final, kept beside the output until the result is whole.

A hidden folder ``.NAME.part`` holds them as a Zarr array (N, Y, X) or (N, classes, Y, X), with a
line in ``done`` for each block of rows that is on the disk, and the CRC-32 of its files. A
prediction that was cancelled or killed goes on after those; a block that is damaged is computed
again. Several processes can fill different blocks.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import (
    append_lines,
    flush_file,
    is_temporary,
    list_folder,
    remove_temps,
    require_own,
    write_text,
)
from pixelwise.errors import DataError, PixelwiseError, ReadError, WriteError
from pixelwise.locks import take_lock

Array = npt.NDArray[Any]

BLOCK_ROWS: Final = 256
SMALL_BYTES: Final = 2 << 20
"""Results up to this size are kept in memory until they are whole: they take moments."""
_ROWS: Final = "rows"
_DONE: Final = "done"
_ABOUT: Final = "about.json"
_LOCK: Final = "lock"
_COPY: Final = "changed"
MODEL: Final = "model.safetensors"
"""Where other processes find the model."""
_OURS: Final = {_ROWS, _DONE, _ABOUT, _LOCK, _COPY, MODEL}
_CHUNK_COLUMNS: Final = 4096
_DONE_LINE: Final = re.compile(rb"([0-9]{1,9}) ([0-9]{1,9}) ([0-9a-f]{8}) \.")


class Part:
    """Rows of one result.

    Attributes
    ----------
    shape : tuple of int
        (N, Y, X) or (N, classes, Y, X).
    folder : Path or None
        Where the rows are; None: in memory.
    done : dict of (int, int) to int
        Plane and first row of each block that is there, with the checksum of its files.
    """

    def __init__(self, array: Any, folder: Path | None = None) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.folder = folder
        self.done = {} if folder is None else _read_done(folder / _DONE)
        self._sound: set[tuple[int, int]] = set()

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

    def forget_damaged(self) -> None:
        """Have those blocks computed again whose files are not what was written."""
        self.done = {at: check for at, check in self.done.items() if check == self._count(at)}

    def read(self, plane: int, rows: slice, channel: int | None = None) -> Array:
        """Rows of a plane: a `RowReader`.

        Raises
        ------
        WriteError
            They have changed on the disk since they were written.
        """
        for block in list_blocks(self.shape[-2]) if self.folder is not None else ():
            place = plane, block.start
            if block.start < rows.stop and block.stop > rows.start and not self._is_sound(place):
                raise WriteError(
                    f"Rows {block.start} to {block.stop} that were kept in {self.folder} have "
                    "changed since they were written: the disk may be failing. Start the "
                    "prediction again: these rows are computed again."
                )
        between = () if len(self.shape) == 3 else (slice(None) if channel is None else channel,)
        return np.asarray(self._array[(plane, *between, rows)])

    def write(self, plane: int, start: int, values: Array) -> list[int]:
        """Write a block of rows, or several, from `start`; gives the checksum of each block.

        They are on the disk afterwards.
        """
        stop = start + values.shape[-2]
        self._array[plane, ..., start:stop, :] = values
        blocks = [(plane, at) for at in range(start, stop, BLOCK_ROWS)]
        if self.folder is None:
            return [0] * len(blocks)
        for file in itertools.chain(*map(self._list_files, blocks)):
            if file.exists():  # there is none for zeros only
                flush_file(file)
        return [self._count(block) for block in blocks]

    def mark(self, plane: int, start: int, checks: Sequence[int]) -> None:
        """Note that blocks from `start` which were written, here or elsewhere, are final."""
        blocks = {(plane, start + n * BLOCK_ROWS): check for n, check in enumerate(checks)}
        if self.folder is not None:
            lines = [f"\n{plane} {at} {check:08x} ." for (_, at), check in blocks.items()]
            append_lines(self.folder / _DONE, "".join(lines))
        self.done |= blocks

    def _list_files(self, block: tuple[int, int]) -> Iterator[Path]:
        """Files of a block, whether they are there or not."""
        assert self.folder is not None  # noqa: S101  asked for where there is one
        plane, start = block
        classes = [[str(n)] for n in range(self.shape[1])] if len(self.shape) == 4 else [[]]
        for between in classes:
            for column in range(-(-self.shape[-1] // _CHUNK_COLUMNS)):
                place = "c", str(plane), *between, str(start // BLOCK_ROWS), str(column)
                yield self.folder.joinpath(_ROWS, *place)

    def _count(self, block: tuple[int, int]) -> int:
        """Checksum of a block's files and of its place."""
        check = crc32(repr(block).encode())
        for number, file in enumerate(self._list_files(block)):
            with suppress(FileNotFoundError):
                check = crc32(file.read_bytes(), crc32(str(number).encode(), check))
        return check

    def _is_sound(self, block: tuple[int, int]) -> bool:
        """Whether a block's files are what was written; asked of the disk once."""
        if block not in self._sound and self.done.get(block) == self._count(block):
            self._sound.add(block)
        return block in self._sound

    def create_copy(self) -> Part:
        """Make a second part of the same rows, to change them; this one stays as it is."""
        import zarr

        if self.folder is None:
            return Part(self._array.copy())
        folder = self.folder / _COPY
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
        The folder cannot be written, something in it is a link or not of this program, or another
        process predicts into the same output.
    """
    if int(np.prod(shape)) * dtype.itemsize <= SMALL_BYTES:
        yield Part(np.zeros(shape, dtype))
        return
    folder = name_part(output)
    _require_ours(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise WriteError(f"Cannot write {output}: {error.strerror}. Check the folder.") from error
    lock = take_lock(folder / _LOCK)
    if lock is None:
        raise WriteError(f"Another process is writing {output}: wait for it or stop it.")
    keep = about is not None
    try:
        remove_temps(output)
        _prepare(folder, about, shape=shape, dtype=dtype)
        part = Part.open(folder)
        part.forget_damaged()
        yield part
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


def _require_ours(folder: Path) -> None:
    """Refuse a folder of a part that holds anything that was not put there by a prediction."""
    require_own(folder, folder=True)
    strangers = [
        path.name
        for path in list_folder(folder)
        if path.name not in _OURS and not is_temporary(path) and not path.name.startswith(".nfs")
    ]
    if strangers:
        raise WriteError(
            f"{folder} is where the rows of a prediction are kept until it is done, but holds "
            f"{strangers[0]!r}, which is none of them. Nothing was changed: move what you need "
            "out of it, and remove it."
        )


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

    if about is not None and read_about(folder) == _tell(folder, about, shape=shape, dtype=dtype):
        return
    _clear(folder)
    zarr.create_array(folder / _ROWS, **_describe(shape, dtype))
    write_text(folder / _ABOUT, _tell(folder, about, shape=shape, dtype=dtype))


def _tell(
    folder: Path, about: Mapping[str, Any] | None, *, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> str:
    """Say what a part holds rows of, and how its array is laid out."""
    layout = folder / _ROWS / "zarr.json"
    check = crc32(layout.read_bytes()) if layout.is_file() else None
    return json.dumps([about, shape, str(dtype), check], sort_keys=True)


def read_about(folder: Path) -> str | None:
    """Read what a part holds rows of; None if that is not known."""
    try:
        return (folder / _ABOUT).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _describe(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Zarr's arguments for an array of rows: a chunk is of one plane, one class and one block."""
    *leading, height, width = shape
    size = (min(BLOCK_ROWS, height), min(_CHUNK_COLUMNS, width))
    return {"shape": shape, "dtype": dtype, "chunks": (*[1] * len(leading), *size)}


def _read_done(path: Path) -> dict[tuple[int, int], int]:
    """Blocks that are noted; a line that a power cut has torn, or an old one, does not count."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    whole = [found for found in map(_DONE_LINE.fullmatch, lines) if found]
    return {(int(line[1]), int(line[2])): int(line[3], 16) for line in whole}
