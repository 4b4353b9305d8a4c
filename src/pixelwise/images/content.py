"""The description of a result to write: axes, shape, classes, calibration, and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from pixelwise.axes import Calibration, parse_axes
from pixelwise.classes import SegmentationClass
from pixelwise.errors import DataError

Array = npt.NDArray[Any]

STORED_AXES: Final = "TCZYX"
"""The order in which axes are stored, required by OME-Zarr."""


@dataclass(frozen=True)
class ImageContent:
    """Contents of a file of labels or probabilities.

    Attributes
    ----------
    axes : str
        Letters of ``TZCYX``; with C: probabilities, one channel per class; else labels.
    shape : tuple of int
        One size per letter.
    dtype : dtype
        An unsigned integer for labels.
    classes : sequence of SegmentationClass
        Names and colours of the values, or of the channels; none for numbered objects.
    calibration : Calibration or None
        Size and position of the pixels, in the order of `axes`.
    sparse : bool
        Whether 0 is 'not annotated', and class values start at 1.
    mark : mapping or None
        Provenance for the file, as JSON values with a `BLANK_CHECKSUM`, see `marks`.

    Raises
    ------
    DataError
        Axes do not fit the shape, or labels are not unsigned integers.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    classes: Sequence[SegmentationClass] = ()
    calibration: Calibration | None = None
    sparse: bool = False
    mark: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        parse_axes(self.axes, len(self.shape))
        if "C" not in self.axes and self.dtype.kind != "u":
            raise DataError(
                f"Labels must be unsigned integers, got {self.dtype}: "
                "convert them, or name a channel axis if they are probabilities."
            )

    @property
    def stored_axes(self) -> str:
        """Axes in the order they are stored in."""
        return "".join(letter for letter in STORED_AXES if letter in self.axes)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape in the order of `stored_axes`."""
        return tuple(self.shape[self.axes.index(letter)] for letter in self.stored_axes)

    @property
    def planes(self) -> int:
        """Number of planes: T * Z, counted in that order."""
        sizes = dict(zip(self.axes, self.shape, strict=True))
        return sizes.get("T", 1) * sizes.get("Z", 1)

    @property
    def height(self) -> int:
        """Rows of a plane."""
        return self.shape[self.axes.index("Y")]


class RowReader(Protocol):
    """Reads rows of a plane: (rows, X), or (classes, rows, X) if `channel` is not given."""

    def __call__(self, plane: int, rows: slice, channel: int | None = None) -> Array:
        """Read rows of one plane (counted as T * Z), and of one channel if given."""
        ...
