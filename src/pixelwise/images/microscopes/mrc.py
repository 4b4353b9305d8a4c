"""MRC and CCP4 maps of electron microscopy, memory-mapped, through mrcfile."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import mrcfile
import numpy as np
import numpy.typing as npt
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import byte_order_from_machine_stamp

from pixelwise.axes import Calibration, NamedAxes
from pixelwise.errors import DataError
from pixelwise.images.damage import explaining_damage
from pixelwise.images.pixel_size import calibrate
from pixelwise.images.reader import Header, Palette, Region, RegionReader

Array = npt.NDArray[Any]

_IMOD: Final = 1146047817
_SIGNED: Final = 1
_STAMP: Final = 152
"""Offset of IMOD's stamp in the header; its flags follow."""
_STANDARD: Final = (1, 2, 3)


def read_header(path: Path, palette: Palette) -> Header:  # noqa: ARG001  the Reader protocol
    """Shape, dtype, axes and calibration of a map, or a stack of images or maps."""
    with _opening(path) as (file, data), explaining_damage(path):
        letters = _name_letters(file, data)
        notes = ["rows as stored: MRC counts them from the bottom"]
        if data.dtype != file.data.dtype:
            notes.append("bytes above 127 were read as positive (IMOD's flag, or the maximum)")
        dtype = data.dtype.newbyteorder("=")
        axes = NamedAxes(letters, "MRC header")
        return Header(data.shape, dtype, axes, _calibrate(file, letters), notes=tuple(notes))


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:  # noqa: ARG001
    """Read all pixels."""
    with _opening(path) as (_, data), explaining_damage(path):
        return np.array(data, data.dtype.newbyteorder("=")), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Yield a function that reads parts of the mapped file."""
    with _opening(path) as (_, data):

        def read(region: Region) -> Array:
            return np.array(data[region], data.dtype.newbyteorder("="))

        yield read


@contextmanager
def _opening(path: Path) -> Iterator[tuple[Any, Array]]:
    """Map a file into memory: the open file, and its values."""
    with ExitStack() as stack:
        with explaining_damage(path, Warning), warnings.catch_warnings():
            warnings.simplefilter("error")
            _require_extended_header(path)
            file = stack.enter_context(mrcfile.mmap(path, "r"))
            if file.data is None or file.data.dtype.kind not in "uif":
                found = "no" if file.data is None else str(file.data.dtype)
                raise DataError(f"{path} holds {found} values; expected real numbers.")
            data = file.data.view("uint8") if _has_unsigned_bytes(file) else file.data
        yield file, data


def _require_extended_header(path: Path) -> None:
    """Raise if the file is shorter than the extended header: mrcfile takes memory for it first."""
    with path.open("rb") as file:
        header = np.frombuffer(file.read(HEADER_DTYPE.itemsize), HEADER_DTYPE)[0]
    order = byte_order_from_machine_stamp(header["machst"])
    promised = int.from_bytes(header["nsymbt"].tobytes(), "little" if order == "<" else "big")
    if promised > path.stat().st_size:
        raise ValueError(f"an extended header of {promised} bytes is longer than the file")


def _has_unsigned_bytes(file: Any) -> bool:
    """Whether bytes are unsigned, as IMOD long wrote them, contrary to the standard."""
    header = file.header
    if file.data.dtype != np.int8:
        return False
    start = header.tobytes()[_STAMP : _STAMP + 8]
    order = "little" if header.mx.dtype.byteorder in "=<|" else "big"
    stamp, flags = (int.from_bytes(start[i : i + 4], order) for i in (0, 4))  # type: ignore[arg-type]
    if stamp == _IMOD:
        return not flags & _SIGNED
    return bool(header.dmax > np.iinfo(np.int8).max and header.dmin >= 0)


def _name_letters(file: Any, data: Array) -> str:
    """Axes letters, slowest first, by the header's map of columns, rows and sections."""
    order = tuple(int(file.header[name]) for name in ("mapc", "mapr", "maps"))
    if sorted(order) != [*_STANDARD]:
        order = _STANDARD
    letters = "".join("XYZ"[i - 1] for i in order[::-1])
    if data.ndim == 2:
        return letters[-2:] if set(letters[-2:]) == {"Y", "X"} else "YX"
    return f"T{letters}" if data.ndim == 4 else letters


def _calibrate(file: Any, letters: str) -> Calibration | None:
    """Size of a voxel, in ångström."""
    with np.errstate(all="ignore"):
        size = file.voxel_size
    found = {x: (float(size[x.lower()]), "angstrom") for x in "XYZ"}
    return calibrate(found, letters)
