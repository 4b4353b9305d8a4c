"""The reader protocol: the interface of a module that reads one image format.

`formats` lists the readers. `source.open_image` wraps them in an `ImageFile`, which applies the
orientation, names axes, keeps to the budget and checks shapes; a reader does none of that.
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
"""What to read: visible colours (images), stored values and palette indices (masks), or the alpha
channel (masks that have nothing else)."""


@dataclass(frozen=True)
class Header:
    """What a file's header says about its pixels.

    Attributes
    ----------
    shape, dtype : tuple of int, dtype
        As stored, after applying the palette and dropping alpha.
    axes : NamedAxes
        With a doubt, if the file does not name them and a guess may be wrong.
    calibration : Calibration or None
        Size and position of the pixels, if known.
    regions : bool
        Whether parts of the image can be read faster than the whole.
    notes : tuple of str
        Interpretations and omissions that the user should know.
    orientation : int
        EXIF orientation, 1 to 8: `open_image` turns the stored pixels.
    colormap : tuple of int
        Palette 0xRRGGBBAA; empty if there is none.
    white : int or None
        Value of white if it is not the dtype's largest: grey of few bits.
    alpha : bool
        Whether there is an alpha channel, or a transparent entry in the palette.
    directions : str
        Where the stored X, Y and Z point, e.g. LAS: left, anterior, superior; empty if unknown.
        Masks must have the same directions as their images.
    ambiguous : str
        Why it is unclear which image of the file is meant; such masks are refused.
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

    It may also have ``reading_regions(path, palette)``, a context manager that yields a
    `RegionReader` of the stored array, and ``describe_gaps(path)``, which describes what is missing
    in a readable file, or returns None.
    """

    def read_header(self, path: Path, palette: Palette) -> Header:
        """Read the header; raises `ReadError` if the file is damaged."""
        ...

    def decode(self, path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
        """Decode all pixels as stored, and return notes on what was found."""
        ...


RegionOpener = Callable[[Path, Palette], AbstractContextManager[RegionReader]]
