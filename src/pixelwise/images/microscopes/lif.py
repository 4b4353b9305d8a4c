"""Leica LIF, plane by plane, through the package liffile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import liffile
import numpy as np
import numpy.typing as npt

from pixelwise.axes import AXES, Calibration, NamedAxes
from pixelwise.errors import DataError
from pixelwise.images.containers import choose_inner, split_inner
from pixelwise.images.damage import explaining_damage
from pixelwise.images.frames import Frames
from pixelwise.images.pixel_size import calibrate
from pixelwise.images.reader import Header, Palette, RegionReader

Array = npt.NDArray[Any]

_SPECTRUM: Final = "λΛ"
"""Emission and excitation wavelengths, which are channels if there are no others."""


@dataclass(frozen=True)
class _Series:
    """One series of an open file: its liffile image, axes letters and notes."""

    image: Any
    letters: str
    notes: tuple[str, ...]
    ambiguous: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes in the order of the letters."""
        return tuple(self.image.shape)

    @property
    def outer(self) -> int:
        """Number of axes before those of a frame."""
        return len(self.shape) - len(self.image.frames.frame_shape)

    def read_frame(self, index: tuple[int, ...]) -> Array:
        """Decode one frame."""
        frame: Array = self.image.frames[index] if index else self.image.frames[0]
        return frame


def read_header(path: Path, palette: Palette) -> Header:  # noqa: ARG001  the Reader protocol
    """Shape, dtype, axes and calibration of a series."""
    with _opening(path) as series, explaining_damage(path):
        axes = NamedAxes(series.letters, "LIF metadata")
        calibration = _calibrate(series)
        dtype = np.dtype(series.image.dtype).newbyteorder("=")
        notes, ambiguous = series.notes, series.ambiguous
        return Header(series.shape, dtype, axes, calibration, notes=notes, ambiguous=ambiguous)


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Read all planes of a series."""
    with reading_regions(path, palette) as read, _opening(path) as series:
        return read(tuple(slice(0, n) for n in series.shape)), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Yield a function that reads only the planes a region touches."""
    with _opening(path) as series:
        with explaining_damage(path):
            dtype, outer = np.dtype(series.image.dtype).newbyteorder("="), series.outer
        yield Frames(path, series.shape, dtype, outer=outer, read=series.read_frame).read_region


@contextmanager
def _opening(path: Path) -> Iterator[_Series]:
    """Open the series that a path names, or the largest one."""
    file = split_inner(path)[0]
    with ExitStack() as stack:
        with explaining_damage(file):
            opened = stack.enter_context(liffile.LifFile(file))
            images = [image for image in opened.images if not image.is_flim]
            if not images:
                raise DataError(f"{file} holds no image that can be read. Export it as TIFF.")
            sizes = [prod(image.shape) for image in images]
            names = [image.path for image in images]
            choice = choose_inner(path, names, sizes, kind="series")
            image = images[choice.number]
            letters, notes = _name_axes(path, image)
        yield _Series(image, letters, (*choice.notes, *notes), choice.ambiguous)


def _name_axes(path: Path, image: Any) -> tuple[str, tuple[str, ...]]:
    """Letters for the axes of a series, and notes on axes that were reinterpreted."""
    letters = "".join("C" if name == "S" else name for name in image.dims)
    notes: tuple[str, ...] = ()
    spectrum = [letter for letter in letters if letter in _SPECTRUM]
    if len(spectrum) == 1 and "C" not in letters:
        letters, notes = letters.replace(spectrum[0], "C"), ("wavelengths were read as channels",)
    if "Y" not in letters and "Z" in letters:
        letters = letters.replace("Z", "Y")
        notes = (*notes, "a section along Z, read as Y")
    if not {"Y", "X"} <= set(letters) <= set(AXES) or len(set(letters)) < len(letters):
        raise DataError(
            f"{path} has the axes {', '.join(image.dims)}, some of which are not supported: "
            f"expected some of {', '.join(AXES)}. Merge tiles and export it as TIFF in LAS X."
        )
    return letters, notes


def _calibrate(series: _Series) -> Calibration | None:
    """Distance from one pixel to the next along each axis with a length or a duration."""
    found = {}
    for label, places in series.image.coords.items():
        letter = series.letters[series.image.dims.index(label)]
        if letter in "TZYX" and places.dtype.kind == "f" and len(places) > 1:
            found[letter] = abs(float(places[1] - places[0])), "s" if letter == "T" else "m"
    sizes = {x: (n * 1e6, "µm") if unit == "m" else (n, unit) for x, (n, unit) in found.items()}
    return calibrate(sizes, series.letters)
