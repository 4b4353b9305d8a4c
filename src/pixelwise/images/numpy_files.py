"""NumPy's .npy and .npz, never with pickle: .npy is memory-mapped, .npz is decoded whole."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from pixelwise.axes import guess_axes
from pixelwise.errors import DataError, ReadError, quote_value
from pixelwise.images.containers import list_inner, split_inner
from pixelwise.images.damage import explaining_damage
from pixelwise.images.reader import Header, Palette, Region, RegionReader

Array = npt.NDArray[Any]

_LONGEST_HEADER: Final = 10_000
_WIDEST_FLOAT: Final = 8
_CELLPOSE: Final = "_seg.npy"


@dataclass(frozen=True)
class _Layout:
    """Contents of an array's header, offset of its pixels, and size of the file."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    offset: int
    stored: int

    @property
    def promised(self) -> int:
        """Bytes of header and pixels together."""
        return self.offset + prod(self.shape) * self.dtype.itemsize


def read_header(path: Path, palette: Palette) -> Header:  # noqa: ARG001  the Reader protocol
    """Shape, dtype and guessed axes of an array."""
    with _opening(path) as (file, layout):
        dtype = np.dtype("uint8") if layout.dtype == bool else layout.dtype.newbyteorder("=")
        is_more = layout.stored > layout.promised
        more = "holds more than one array; the first was read" if is_more else ""
        return Header(
            layout.shape,
            dtype,
            guess_axes(layout.shape),
            regions=not isinstance(file, zipfile.ZipExtFile),
            notes=(more,) if more else (),
            ambiguous=more,
        )


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:  # noqa: ARG001
    """Read all pixels."""
    with _opening(path) as (file, layout), explaining_damage(path):
        file.seek(layout.offset)
        data = bytearray(layout.promised - layout.offset)
        view, at = memoryview(data), 0
        while at < len(data) and (count := cast("Any", file).readinto(view[at:])):
            at += count
        if at < len(data):
            raise _truncated(path, layout, found=layout.offset + at)
        order: Any = "F" if layout.is_fortran else "C"
        pixels: Array = np.ndarray(layout.shape, layout.dtype, data, order=order)
        return _finish(pixels), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Yield a function that reads regions of the memory-mapped file."""
    with _opening(path) as (_, layout), explaining_damage(path):
        order: Any = "F" if layout.is_fortran else "C"
        stored = np.memmap(path, layout.dtype, "r", layout.offset, layout.shape, order)

    def read(region: Region) -> Array:
        return _finish(np.array(stored[region]))

    yield read


def _finish(pixels: Array) -> Array:
    """Convert to native byte order and contiguous rows; bool becomes uint8."""
    dtype = np.dtype("uint8") if pixels.dtype == bool else pixels.dtype.newbyteorder("=")
    return np.ascontiguousarray(pixels.astype(dtype, copy=False))


@contextmanager
def _opening(path: Path) -> Iterator[tuple[IO[bytes], _Layout]]:
    """Open an array, in its own file or in an archive, and check its header."""
    file, key = split_inner(path)
    with ExitStack() as stack:
        with explaining_damage(file, TokenError):
            opened: IO[bytes] = stack.enter_context(file.open("rb"))
            stored = file.stat().st_size
            if opened.read(2) == b"PK":
                archive = stack.enter_context(zipfile.ZipFile(opened))
                member = _choose_member(file, archive, key)
                opened, stored = stack.enter_context(archive.open(member)), member.file_size
            elif key:
                raise DataError(
                    f"{file} holds one array, but {path} asks for {quote_value(key)} in it."
                )
            else:
                opened.seek(0)
            layout = _read_layout(path, opened, stored=stored)
        yield opened, layout


def _choose_member(file: Path, archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
    """Find the array named by `key`, or the only one."""
    members = {item.filename.removesuffix(".npy"): item for item in archive.infolist()}
    if not key and len(members) == 1:
        return next(iter(members.values()))
    if key not in members:
        found = f"no array {quote_value(key)}" if key else f"{len(members)} arrays"
        raise DataError(
            f"{file} has {found}: name one by its path, "
            f"{list_inner(file, [*members]) or 'but it is empty'}."
        )
    return members[key]


def _read_layout(path: Path, file: IO[bytes], *, stored: int) -> _Layout:
    """Read the header of an array.

    Raises
    ------
    DataError
        It holds Python objects, or records with fields.
    ReadError
        The header is damaged, or the file is truncated.
    """
    shape, is_fortran, dtype = _parse_header(file)
    if not all(type(n) is int and n >= 0 for n in shape):  # True counts as 1 elsewhere
        raise ReadError(f"{path} is damaged: its header says shape {shape}. Save it again.")
    layout = _Layout(shape, is_fortran, dtype, file.tell(), stored)
    if dtype.hasobject:
        raise DataError(_refuse_objects(path))
    if dtype.fields is not None:
        field = next(iter(dtype.fields))
        raise DataError(
            f"{path} holds records with the fields {', '.join(dtype.fields)}; expected one number "
            f"per pixel. Save one of them: numpy.save('{field}.npy', array['{field}'])."
        )
    if dtype.kind == "f" and dtype.itemsize > _WIDEST_FLOAT:
        raise DataError(f"{path} holds {dtype} values; save them as float32 or float64.")
    if layout.promised > stored:
        raise _truncated(path, layout, found=stored)
    return layout


def _parse_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype; NumPy parses them without running code."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # files of Python 2
        return read(file, max_header_size=_LONGEST_HEADER)


def _refuse_objects(path: Path) -> str:
    """Explain why an array of Python objects is not read, and what to do."""
    if path.name.lower().endswith(_CELLPOSE):
        return (
            f"{path} is Cellpose's own file, a pickle, which is not read: unpickling runs code "
            "from the file. In Cellpose, open the image and choose File > Save masks as PNG/tif."
        )
    return (
        f"{path} holds Python objects (a pickle), which are not read: unpickling runs code from "
        "the file. Save numbers instead: numpy.save('image.npy', numpy.asarray(image, float))."
    )


def _truncated(path: Path, layout: _Layout, *, found: int) -> ReadError:
    return ReadError(
        f"{path} is truncated: its header says shape {layout.shape} of {layout.dtype}, "
        f"{layout.promised} bytes in all, but there are {found}. Copy or save it again."
    )
