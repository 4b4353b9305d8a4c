"""Whether a file looks like a mask: asked of a few files, and only where no name says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.datasets.layouts.words import is_lossy
from pixelwise.errors import PixelwiseError
from pixelwise.images import open_image

_LOOKED_AT: Final = 3
_FLAT_VALUES: Final = 32
"""A picture with so few different values is flat; one with twice as many is not."""
_LEVELS: Final = 4
_CLEAN: Final = 0.95
"""Compression with loss leaves nearly all pixels of a mask near a few levels."""
_MOST_BYTES: Final = 1 << 28


def are_flat(files: Sequence[Path]) -> bool | None:
    """Whether a few files out of many all look like masks; None if they differ, or cannot be read.

    A mask has few different values, in large areas.
    """
    step = max(len(files) // _LOOKED_AT, 1)
    found = {_is_flat(file) for file in files[::step][:_LOOKED_AT]}
    return found.pop() if len(found) == 1 else None


def _is_flat(path: Path) -> bool | None:
    """Whether one file looks like a mask; None if that is not clear."""
    try:
        pixels = open_image(path, palette="index", budget_bytes=_MOST_BYTES).read()
    except PixelwiseError:
        return None
    if pixels.dtype.kind not in "ui":
        return False
    if is_lossy(path):
        counts = np.bincount((pixels >> 4).ravel())
        return bool(np.sort(counts)[-_LEVELS:].sum() > _CLEAN * counts.sum())
    count = np.unique(_pack(pixels)).size
    return None if _FLAT_VALUES < count <= 2 * _FLAT_VALUES else bool(count <= _FLAT_VALUES)


def _pack(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One number per pixel of 8-bit colours; other values as they are."""
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[-1] == 3:
        weights = np.array([1 << 16, 1 << 8, 1], np.int64)
        packed: npt.NDArray[Any] = pixels @ weights
        return packed
    return pixels
