"""EXIF orientation: how a stored image is turned upright, whole or by regions.

Cameras store the rows of their sensor and say in a tag (274, values 1 to 8) how a viewer should
turn them. Browsers, LabelMe and CVAT do, so masks are drawn on the upright image.
"""

from __future__ import annotations

from typing import Any, Final

import numpy.typing as npt

Array = npt.NDArray[Any]
Region = tuple[slice, ...]

UPRIGHT: Final = 1
TAG: Final = 0x0112
_TRANSPOSED: Final = (5, 6, 7, 8)
_ROWS_FLIPPED: Final = (3, 4, 7, 8)
_COLUMNS_FLIPPED: Final = (2, 3, 6, 7)
_PILLOW: Final = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def parse_orientation(value: object) -> int:
    """Parse a tag's value, 1 to 8; anything else counts as upright."""
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Whether height and width are swapped."""
    return orientation in _TRANSPOSED


def turn(pixels: Array, orientation: int, *, rows: int, columns: int) -> Array:
    """Turn stored pixels upright.

    Parameters
    ----------
    pixels : ndarray
        Any dtype and any number of axes.
    orientation : int
        1 to 8.
    rows, columns : int
        Positions of the axes Y and X.

    Returns
    -------
    ndarray
        A view; orientations 5 to 8 swap the sizes at `rows` and `columns`.
    """
    turned = pixels.swapaxes(rows, columns) if swaps_sides(orientation) else pixels
    steps = [slice(None)] * pixels.ndim
    if orientation in _ROWS_FLIPPED:
        steps[rows] = slice(None, None, -1)
    if orientation in _COLUMNS_FLIPPED:
        steps[columns] = slice(None, None, -1)
    return turned[tuple(steps)]


def find_stored_region(
    region: Region, shape: tuple[int, ...], *, orientation: int, rows: int, columns: int
) -> Region:
    """Region of the stored image that `turn` turns into `region` of the upright one.

    `shape` is that of the upright image.
    """
    wanted = list(region)
    if orientation in _ROWS_FLIPPED:
        wanted[rows] = _mirror(region[rows], shape[rows])
    if orientation in _COLUMNS_FLIPPED:
        wanted[columns] = _mirror(region[columns], shape[columns])
    if swaps_sides(orientation):
        wanted[rows], wanted[columns] = wanted[columns], wanted[rows]
    return tuple(wanted)


def _mirror(part: slice, size: int) -> slice:
    """Mirror a slice of step 1: count it from the other end."""
    span = range(size)[part]
    return slice(size - span.stop, size - span.start)


def name_pillow_turn(orientation: int) -> str:
    """Name of the `PIL.Image.Transpose` that turns a stored image upright."""
    return _PILLOW[orientation]


def describe_orientation(orientation: int) -> tuple[str, ...]:
    """Note that an image was turned; empty if it was stored upright."""
    if orientation == UPRIGHT:
        return ()
    return (f"turned upright (EXIF orientation {orientation})",)
