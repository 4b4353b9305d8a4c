"""From a stored array to the image shown: axes of size 1 left out, orientation applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.axes import Calibration, NamedAxes
from pixelwise.images.orientation import UPRIGHT, find_stored_region, swaps_sides, turn

Array = npt.NDArray[Any]
Region = tuple[slice, ...]


@dataclass(frozen=True)
class View:
    """Maps a stored array to an image.

    Attributes
    ----------
    stored : tuple of int
        Shape of the stored array.
    kept : tuple of int
        Positions of the axes that are kept; the others have size 1.
    orientation : int
        EXIF orientation, 1 to 8.
    rows, columns : int
        Positions of Y and X among the kept axes.
    """

    stored: tuple[int, ...]
    kept: tuple[int, ...]
    orientation: int
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image."""
        sizes = [self.stored[i] for i in self.kept]
        if swaps_sides(self.orientation):
            sizes[self.rows], sizes[self.columns] = sizes[self.columns], sizes[self.rows]
        return tuple(sizes)

    def see(self, pixels: Array) -> Array:
        """Convert stored pixels, of the whole image or a region, to those of the image."""
        if self.is_plain:
            return pixels
        shape = [pixels.shape[i] for i in self.kept]
        turned = turn(pixels.reshape(shape), self.orientation, rows=self.rows, columns=self.columns)
        return np.ascontiguousarray(turned)

    def find_stored(self, region: Region) -> Region:
        """Region of the stored array that holds a region of the image."""
        if self.is_plain:
            return region
        turned = find_stored_region(
            region, self.shape, orientation=self.orientation, rows=self.rows, columns=self.columns
        )
        parts = dict(zip(self.kept, turned, strict=True))
        return tuple(parts.get(i, slice(0, 1)) for i in range(len(self.stored)))

    def see_calibration(self, stored: Calibration | None) -> Calibration | None:
        """Calibration of the image, from that of the stored array."""
        if stored is None or self.is_plain or len(stored.scale) != len(self.stored):
            return stored
        order = list(self.kept)
        if swaps_sides(self.orientation):
            order[self.rows], order[self.columns] = order[self.columns], order[self.rows]
        return Calibration(
            tuple(stored.scale[i] for i in order),
            tuple(stored.units[i] for i in order),
            tuple(stored.translation[i] for i in order),
        )

    @property
    def is_plain(self) -> bool:
        """Whether the image is the stored array."""
        return self.orientation == UPRIGHT and len(self.kept) == len(self.stored)


def create_view(
    shape: tuple[int, ...], axes: NamedAxes, *, ndim: int, orientation: int = UPRIGHT
) -> View:
    """Create the view of a stored array.

    Parameters
    ----------
    shape : tuple of int
        Of the stored array.
    axes : NamedAxes
        Of the stored array; without names, Y and X are the last two.
    ndim : int
        Number of axes wanted: axes of size 1 are left out from the front if that gives `ndim`;
        otherwise all are kept.
    orientation : int
        EXIF orientation.
    """
    known = len(axes.names) == len(shape)
    rows, columns = (axes.names.index(x) if known else "YX".index(x) - 2 for x in "YX")
    rows, columns = rows % len(shape), columns % len(shape)
    if ndim == len(shape):
        return View(shape, tuple(range(ndim)), orientation, rows, columns)
    ones = [i for i, size in enumerate(shape) if size == 1 and i not in (rows, columns)]
    ones += [i for i in (rows, columns) if shape[i] == 1 and orientation == UPRIGHT]
    surplus = len(shape) - ndim
    dropped = ones[:surplus] if 0 < surplus <= len(ones) else []
    kept = tuple(i for i in range(len(shape)) if i not in dropped)
    places = [kept.index(i) if i in kept else 0 for i in (rows, columns)]
    return View(shape, kept, orientation, *places)
