"""Headers of images and masks, known before decoding, and the protocols of their readers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pixelwise.axes import NamedAxes
from pixelwise.images.budget import require_budget
from pixelwise.images.orientation import UPRIGHT

Array = npt.NDArray[Any]
PlanesShape = tuple[int, int, int, int]


@dataclass(frozen=True)
class PlanesHeader:
    """Properties of an image before it is decoded.

    Attributes
    ----------
    shape : tuple of int
        (N, C, Y, X), upright.
    dtype : str
    axes : NamedAxes
        As stored.
    orientation : int
        EXIF orientation that was applied to the stored pixels; 1 for none.
    notes : tuple of str
        Interpretations and omissions.
    directions : str
        Where the stored axes point, if known, see `pixelwise.images.reader.Header`.
    """

    shape: PlanesShape
    dtype: str
    axes: NamedAxes
    orientation: int = UPRIGHT
    notes: tuple[str, ...] = ()
    directions: str = ""


@dataclass(frozen=True)
class MaskFacts:
    """Properties of a mask file that decide how it is read.

    Attributes
    ----------
    path : Path
    channels : int
        1, or 3 for colours.
    colormap : tuple of int
        Palette 0xRRGGBBAA; empty if there is none.
    white : int or None
        Value of white in grey of few bits; None for whole bytes.
    alpha : bool
        Whether there is transparency.
    notes : tuple of str
        Interpretations and omissions.
    """

    path: Path
    channels: int
    colormap: tuple[int, ...] = ()
    white: int | None = None
    alpha: bool = False
    notes: tuple[str, ...] = ()


def create_mask(path: Path, image: PlanesHeader, value: int) -> npt.NDArray[np.uint8]:
    """Create the mask (N, Y, X) that an annotation is drawn onto, filled with one value.

    Raises
    ------
    BudgetError
        It would exceed the memory budget, e.g. because of a damaged image header.
    """
    shape = (image.shape[0], *image.shape[2:])
    require_budget(path, shape, dtype=np.dtype(np.uint8), budget_bytes=None)
    return np.full(shape, value, np.uint8)


class ImageReader(Protocol):
    """Reads the image of a sample."""

    @property
    def path(self) -> Path:
        """File that holds the image."""
        ...

    def read_header(self) -> PlanesHeader:
        """Shape, dtype and axes, without decoding."""
        ...

    def read(self) -> tuple[Array, tuple[str, ...]]:
        """Planes (N, C, Y, X) in the stored dtype, and notes on what was left out."""
        ...


class MaskReader(Protocol):
    """Reads the raw mask of a sample."""

    @property
    def path(self) -> Path:
        """File or folder that holds the mask."""
        ...

    def require_match(self, image: PlanesHeader) -> tuple[MaskFacts, ...] | None:
        """Raise `DataError` if the headers of mask and image differ in size.

        Returns the facts of each file that can be read in several ways.
        """
        ...

    def read(self, image: PlanesHeader) -> Array:
        """Raw values (N, C, Y, X) of a mask for an image with this header; C is 1 or 3."""
        ...
