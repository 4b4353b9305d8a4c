"""Decides whether files look like masks, from a few of them, if their names do not say so."""

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
"""An image with at most this many values is flat; one with more than twice as many is not."""
_LEVELS: Final = 4
_CLEAN: Final = 0.95
"""After lossy compression, at least this fraction of a mask is near a few levels."""
_MOST_BYTES: Final = 1 << 28


def are_flat(files: Sequence[Path]) -> bool | None:
    """Whether a sample of files all look like masks; None if they differ or are unreadable."""
    step = max(len(files) // _LOOKED_AT, 1)
    found = {_is_flat(file) for file in files[::step][:_LOOKED_AT]}
    return found.pop() if len(found) == 1 else None


def _is_flat(path: Path) -> bool | None:
    """Whether one file looks like a mask, with few different values; None if unclear."""
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
    """Pack 8-bit colours into one number per pixel; keep other values."""
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[-1] == 3:
        weights = np.array([1 << 16, 1 << 8, 1], np.int64)
        packed: npt.NDArray[Any] = pixels @ weights
        return packed
    return pixels
