"""Result spool: final rows are kept beside the output until the result is complete.

The hidden folder ``.NAME.part`` holds them as a Zarr array (N, Y, X) or (N, classes, Y, X). The
file ``done`` has a line for each block of rows on the disk, with the CRC-32 of the block's files. A
prediction that was cancelled or killed resumes after these blocks; a damaged block is computed
again. Several processes can write different blocks.
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
"""Smaller results are kept in memory: they take moments to compute again."""
_ROWS: Final = "rows"
_DONE: Final = "done"
_ABOUT: Final = "about.json"
_LOCK: Final = "lock"
_COPY: Final = "changed"
MODEL: Final = "model.safetensors"
"""File of the model, for other processes."""
_OURS: Final = {_ROWS, _DONE, _ABOUT, _LOCK, _COPY, MODEL}
_CHUNK_COLUMNS: Final = 4096
_DONE_LINE: Final = re.compile(rb"([0-9]{1,9}) ([0-9]{1,9}) ([0-9a-f]{8}) \.")


class ResultSpool:
    """Rows of one result.

    Attributes
    ----------
    shape : tuple of int
        (N, Y, X) or (N, classes, Y, X).
    folder : Path or None
        Where the rows are; None: in memory.
    done : dict of (int, int) to int
        Plane and first row of each block that was written, with the checksum of its files.
    """

    def __init__(self, array: Any, folder: Path | None = None) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.folder = folder
        self.done = {} if folder is None else _read_done(folder / _DONE)
        self._sound: set[tuple[int, int]] = set()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the spool in a folder that `opening_spool` made."""
        import zarr

        return cls(zarr.open_array(folder / _ROWS, mode="r+"), folder)

    @property
    def fraction(self) -> float:
        """Fraction of the blocks that were written, 0 to 1."""
        return len(self.done) / (self.shape[0] * len(list_blocks(self.shape[-2])))

    def missing(self, plane: int) -> Iterator[range]:
        """List the runs of rows of one plane that are missing, in whole blocks."""
        blocks = list_blocks(self.shape[-2])
        for is_done, group in itertools.groupby(blocks, lambda b: (plane, b.start) in self.done):
            if not is_done:
                run = list(group)
                yield range(run[0].start, run[-1].stop)

    def forget_damaged(self) -> None:
        """Drop the blocks whose files differ from what was written; they are computed again."""
        self.done = {
            at: check for at, check in self.done.items() if check == self._compute_checksum(at)
        }

    def read(self, plane: int, rows: slice, channel: int | None = None) -> Array:
        """Read rows of a plane; a `RowReader`.

        Raises
        ------
        WriteError
            The rows changed on the disk since they were written.
        """
        for block in list_blocks(self.shape[-2]) if self.folder is not None else ():
            place = plane, block.start
            if block.start < rows.stop and block.stop > rows.start and not self._is_sound(place):
                raise WriteError(
                    f"Rows {block.start} to {block.stop} in {self.folder} have changed since they "
                    "were written: the disk may be failing. Start the prediction again: it "
                    "computes these rows again."
                )
        between = () if len(self.shape) == 3 else (slice(None) if channel is None else channel,)
        return np.asarray(self._array[(plane, *between, rows)])

    def write(self, plane: int, start: int, values: Array) -> list[int]:
        """Write one or more whole blocks of rows from `start`, and flush them to the disk.

        Returns
        -------
        list of int
            Checksum of each block.
        """
        stop = start + values.shape[-2]
        self._array[plane, ..., start:stop, :] = values
        blocks = [(plane, at) for at in range(start, stop, BLOCK_ROWS)]
        if self.folder is None:
            return [0] * len(blocks)
        for file in itertools.chain(*map(self._list_files, blocks)):
            if file.exists():  # there is none for zeros only
                flush_file(file)
        return [self._compute_checksum(block) for block in blocks]

    def record(self, plane: int, start: int, checks: Sequence[int]) -> None:
        """Record that the blocks from `start` were written, by this process or another."""
        blocks = {(plane, start + n * BLOCK_ROWS): check for n, check in enumerate(checks)}
        if self.folder is not None:
            lines = [f"\n{plane} {at} {check:08x} ." for (_, at), check in blocks.items()]
            append_lines(self.folder / _DONE, "".join(lines))
        self.done |= blocks

    def _list_files(self, block: tuple[int, int]) -> Iterator[Path]:
        """Files of a block, whether they exist or not."""
        assert self.folder is not None  # noqa: S101  the callers checked
        plane, start = block
        classes = [[str(n)] for n in range(self.shape[1])] if len(self.shape) == 4 else [[]]
        for between in classes:
            for column in range(-(-self.shape[-1] // _CHUNK_COLUMNS)):
                place = "c", str(plane), *between, str(start // BLOCK_ROWS), str(column)
                yield self.folder.joinpath(_ROWS, *place)

    def _compute_checksum(self, block: tuple[int, int]) -> int:
        """Checksum of a block's files and position."""
        check = crc32(repr(block).encode())
        for number, file in enumerate(self._list_files(block)):
            with suppress(FileNotFoundError):
                check = crc32(file.read_bytes(), crc32(str(number).encode(), check))
        return check

    def _is_sound(self, block: tuple[int, int]) -> bool:
        """Whether a block's files are as they were written; each block is checked once."""
        if block not in self._sound and self.done.get(block) == self._compute_checksum(block):
            self._sound.add(block)
        return block in self._sound

    def create_scratch(self) -> ResultSpool:
        """Create an empty spool for changed rows beside this one; in memory it is this one."""
        if self.folder is None:
            return self
        import zarr

        folder = self.folder / _COPY
        shutil.rmtree(folder, ignore_errors=True)
        array = zarr.create_array(folder, **_describe_array(self.shape, self._array.dtype))
        return ResultSpool(array)


class SpoolPlane:
    """A plane of labels (Y, X) in a spool, which is read and written in blocks of rows."""

    def __init__(self, spool: ResultSpool, plane: int) -> None:
        self._spool = spool
        self._plane = plane
        self.blocks = list_blocks(spool.shape[-2])

    def read(self, rows: slice) -> Array:
        """Labels (rows, X)."""
        return self._spool.read(self._plane, rows)

    def write(self, rows: slice, labels: Array) -> None:
        """Replace labels."""
        self._spool.write(self._plane, rows.start, labels)


def list_blocks(height: int) -> list[slice]:
    """Rows of each block of a plane."""
    return [slice(y, min(y + BLOCK_ROWS, height)) for y in range(0, height, BLOCK_ROWS)]


def name_spool(output: Path) -> Path:
    """Name the folder of an output's spool."""
    return output.with_name(f".{output.name}.part")


@contextmanager
def opening_spool(
    output: Path, about: Mapping[str, Any] | None, *, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Iterator[ResultSpool]:
    """Open the spool of an output, with the rows that the same prediction has already written.

    The spool is removed when the block ends without an error, or when the image is bad. It stays
    when the process is stopped or killed, the disk is full or a network drive does not answer.
    Small spools are kept in memory.

    Parameters
    ----------
    output : path
        File or folder of the result; its parent must exist.
    about : mapping or None
        What the rows depend on, as JSON values; None: the prediction cannot be resumed.
    shape : tuple of int
        (N, Y, X) or (N, classes, Y, X).
    dtype : dtype

    Raises
    ------
    WriteError
        The folder cannot be written, holds a link or a file of another program, or is in use by
        another process.
    """
    if int(np.prod(shape)) * dtype.itemsize <= SMALL_BYTES:
        yield ResultSpool(np.zeros(shape, dtype))
        return
    folder = name_spool(output)
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
        spool = ResultSpool.open(folder)
        spool.forget_damaged()
        yield spool
        keep = False
    except PixelwiseError as error:
        keep = keep and _may_pass(error)
        raise
    except OSError as error:
        raise WriteError(
            f"Cannot write {output}: {error.strerror or error}. Make room, and start the "
            "prediction again: it continues where it stopped."
        ) from error
    finally:
        if not keep:
            with suppress(OSError):
                _clear(folder)
            if os.name != "nt":  # nobody takes a lock whose file is gone
                shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        if not keep:
            with suppress(OSError):
                folder.rmdir()


def _require_ours(folder: Path) -> None:
    """Refuse the folder of a spool if it holds anything that no prediction wrote."""
    require_own(folder, folder=True)
    strangers = [
        path.name
        for path in list_folder(folder)
        if path.name not in _OURS and not is_temporary(path) and not path.name.startswith(".nfs")
    ]
    if strangers:
        raise WriteError(
            f"{folder} is the folder for unfinished rows of a prediction, but holds "
            f"{strangers[0]!r}, which no prediction wrote. Nothing was changed: move what you need "
            "out of the folder, and remove it."
        )


def _may_pass(error: BaseException) -> bool:
    """Whether the same prediction may succeed later; it cannot with a bad image."""
    if isinstance(error, ReadError):
        causes = [error.__cause__, getattr(error.__cause__, "__cause__", None)]
        return any(isinstance(cause, OSError) and cause.errno for cause in causes)
    return not isinstance(error, DataError)


def _clear(folder: Path) -> None:
    """Empty the folder of a spool; `_ABOUT` goes first, so that leftover rows are never reused."""
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
    """Keep the rows in a folder if they are of the same prediction; else start over."""
    import zarr

    if about is not None and read_about(folder) == _describe_rows(
        folder, about, shape=shape, dtype=dtype
    ):
        return
    _clear(folder)
    zarr.create_array(folder / _ROWS, **_describe_array(shape, dtype))
    write_text(folder / _ABOUT, _describe_rows(folder, about, shape=shape, dtype=dtype))


def _describe_rows(
    folder: Path, about: Mapping[str, Any] | None, *, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> str:
    """Describe what the rows of a spool depend on, and the layout of their array."""
    layout = folder / _ROWS / "zarr.json"
    check = crc32(layout.read_bytes()) if layout.is_file() else None
    return json.dumps([about, shape, str(dtype), check], sort_keys=True)


def read_about(folder: Path) -> str | None:
    """Read the description of a spool's rows; None if there is none."""
    try:
        return (folder / _ABOUT).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _describe_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Zarr's arguments for the array; a chunk holds one plane, one class and one block of rows."""
    *leading, height, width = shape
    size = (min(BLOCK_ROWS, height), min(_CHUNK_COLUMNS, width))
    return {"shape": shape, "dtype": dtype, "chunks": (*[1] * len(leading), *size)}


def _read_done(path: Path) -> dict[tuple[int, int], int]:
    """Read the recorded blocks; lines torn by a power cut or of older versions do not count."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    whole = [found for found in map(_DONE_LINE.fullmatch, lines) if found]
    return {(int(line[1]), int(line[2])): int(line[3], 16) for line in whole}
