"""NIfTI 1 and 2, also gzipped, through nibabel.

Axes X, Y, Z, T are read as T, Z, Y, X, in their stored direction: nothing is rotated or mirrored,
and a note says which way the stored axes point.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, ImageDataError

from pixelwise.axes import Calibration, NamedAxes
from pixelwise.errors import DataError
from pixelwise.images.damage import explaining_damage
from pixelwise.images.pixel_size import calibrate
from pixelwise.images.reader import Header, Palette, Region, RegionReader

Array = npt.NDArray[Any]

_FOREIGN: Final = (ImageFileError, HeaderDataError, ImageDataError)
_LETTERS: Final = "XYZTC"
_SCALES: Final = {"mm": 1000.0, "micron": 1.0, "meter": 1e6, "sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_WIDEST: Final = 8


def read_header(path: Path, palette: Palette) -> Header:  # noqa: ARG001  the Reader protocol
    """Shape, dtype, axes and calibration."""
    with explaining_damage(path, *_FOREIGN):
        image = _open_image(path)
        letters = _name_letters(image)
        shape = tuple(n for n, x in zip(image.shape, _LETTERS, strict=False) if x in letters)[::-1]
        axes = NamedAxes(letters, "NIfTI's order of axes")
        is_plain = not path.name.lower().endswith(".gz")
        calibration = _calibrate(image, letters)
        dtype = _find_dtype(image)
        with np.errstate(all="ignore"):
            codes = "".join(code or "?" for code in nibabel.aff2axcodes(image.affine))
        return Header(
            shape,
            dtype,
            axes,
            calibration,
            regions=is_plain,
            notes=_describe(image, codes),
            directions=codes,
        )


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:  # noqa: ARG001
    """Read all pixels."""
    with explaining_damage(path, *_FOREIGN):
        image = _open_image(path)
        return _read(image, (slice(None),) * len(_name_letters(image))), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Yield a function that reads regions of an uncompressed file."""
    with explaining_damage(path, *_FOREIGN):
        image = _open_image(path)

    def read(region: Region) -> Array:
        with explaining_damage(path, *_FOREIGN):
            return _read(image, region)

    yield read


def _open_image(path: Path) -> Any:
    """Read the header.

    Raises
    ------
    DataError
        Too many axes, or values that are not real numbers.
    """
    image = nibabel.load(path)
    dtype = image.get_data_dtype()
    if dtype.kind not in "uif" or dtype.itemsize > _WIDEST:
        raise DataError(
            f"{path} holds values of {dtype.fields or dtype}; expected real numbers. Save one "
            "component, as float32."
        )
    if not 2 <= len(image.shape) <= len(_LETTERS):
        raise DataError(f"{path} has {len(image.shape)} axes; expected 2 to {len(_LETTERS)}.")
    return image


def _name_letters(image: Any) -> str:
    """Axes letters, slowest first; time is left out if it is only a placeholder before C."""
    letters = _LETTERS[: len(image.shape)]
    if len(image.shape) == len(_LETTERS) and image.shape[3] == 1:
        letters = letters.replace("T", "")
    return letters[::-1]


def _find_dtype(image: Any) -> np.dtype[Any]:
    """Find the number format: float32 where the file scales its values."""
    if _is_scaled(image):
        return np.dtype("float32")
    dtype: np.dtype[Any] = image.get_data_dtype().newbyteorder("=")
    return dtype


def _is_scaled(image: Any) -> bool:
    """Whether stored values must be scaled or shifted."""
    return (float(image.dataobj.slope), float(image.dataobj.inter)) != (1.0, 0.0)


def _read(image: Any, region: Region) -> Array:
    """Read a region, given with the slowest axis first."""
    parts = list(region[::-1])
    if len(parts) < len(image.shape):  # the time axis was left out
        parts.insert(3, 0)  # type: ignore[arg-type]
    pixels = np.asarray(image.dataobj[tuple(parts)]).T
    return np.ascontiguousarray(pixels.astype(_find_dtype(image), copy=False))


def _describe(image: Any, codes: str) -> tuple[str, ...]:
    """Note the direction of the stored axes, and scaling."""
    notes = [f"read as stored, not rotated: X, Y and Z point to {codes} in the patient"]
    if _is_scaled(image):
        slope, shift = float(image.dataobj.slope), float(image.dataobj.inter)
        notes.append(f"values were rescaled as recorded: {slope:g} x stored {shift:+g}")
    return tuple(notes)


def _calibrate(image: Any, letters: str) -> Calibration | None:
    """Size of a voxel, if the header states the unit."""
    length, duration = image.header.get_xyzt_units()
    sizes = {}
    for letter, zoom in zip(_LETTERS, image.header.get_zooms(), strict=False):
        unit = duration if letter == "T" else length
        if letter in "XYZT" and unit in _SCALES:
            sizes[letter] = float(zoom) * _SCALES[unit], "s" if letter == "T" else "µm"
    return calibrate(sizes, letters)
