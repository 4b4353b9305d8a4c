"""The reader protocol: what a module does that reads one image format.

`formats` lists the readers. `source.open_image` makes of each an `ImageFile`, which turns, names
axes, keeps to the budget, and judges what is damaged; a reader does none of that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pixelwise.axes import Calibration, NamedAxes
from pixelwise.images.colors import Colormap
from pixelwise.images.orientation import UPRIGHT

Array = npt.NDArray[Any]
Palette = Literal["color", "index", "alpha"]
"""What is taken from a file: its colours as a person sees them (images), values and palette indices
as they are stored (masks), or its alpha channel (masks that have nothing else)."""


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels before they are decoded.

    Attributes
    ----------
    shape, dtype : tuple of int, dtype
        As stored, after colours were taken from a palette and alpha was dropped.
    axes : NamedAxes
        With a doubt, if the file does not name them and a guess may be wrong.
    calibration : Calibration or None
        Size and place of the pixels, where the file tells.
    regions : bool
        Whether parts of the image can be read faster than the whole.
    notes : tuple of str
        What was understood or left out, for a person to know.
    orientation : int
        EXIF orientation, 1 to 8: `open_image` turns the stored pixels.
    colormap : tuple of int
        Palette 0xRRGGBBAA; empty if there is none.
    white : int or None
        Value of white, where it is not the greatest of the dtype: grey of few bits.
    alpha : bool
        Whether there is an alpha channel, or a transparent entry in the palette.
    directions : str
        Where the stored X, Y and Z point, e.g. LAS: left, anterior, superior; empty if the file
        does not tell. Masks must point where their images do.
    ambiguous : str
        Why it is not clear which part of the file is meant; masks are refused then.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: NamedAxes
    calibration: Calibration | None = None
    regions: bool = True
    notes: tuple[str, ...] = ()
    orientation: int = UPRIGHT
    colormap: Colormap = ()
    white: int | None = None
    alpha: bool = False
    directions: str = ""
    ambiguous: str = ""


Region = tuple[slice, ...]
"""One slice per axis, of step 1."""
RegionReader = Callable[[Region], Array]


@runtime_checkable
class Reader(Protocol):
    """A module that reads a format.

    It may have ``reading_regions(path, palette)`` as well: a context manager that gives a
    `RegionReader` of the stored array, and ``describe_gaps(path)``: what is missing in a file that
    can be read all the same, as text, or None.
    """

    def read_header(self, path: Path, palette: Palette) -> Header:
        """Read what the file says of its pixels; raises `ReadError` if it is damaged."""
        ...

    def decode(self, path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
        """Decode all pixels as they are stored, and give notes on what was found meanwhile."""
        ...


RegionOpener = Callable[[Path, Palette], AbstractContextManager[RegionReader]]
