"""Images stored as frames: a region is assembled from the frames it touches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.images.budget import require_budget
from pixelwise.images.damage import explaining_damage

Array = npt.NDArray[Any]
FrameReader = Callable[[tuple[int, ...]], Array]
"""Index along the outer axes -> frame, with the inner axes."""

_MOST_KEPT: Final = 16
"""Cached frames, enough for the channels of a plane."""


class Frames:
    """Reads regions of an image whose frames are decoded one at a time.

    The frames of the last region are cached, because the rows of a plane are read in successive
    blocks.

    Parameters
    ----------
    path : path
        Of the file, for messages.
    shape : tuple of int
        Of the image: the outer axes, which count frames, then the axes of a frame.
    dtype : dtype
        Of the image.
    outer : int
        Number of outer axes.
    read : callable
        Decodes one frame.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        outer: int,
        read: FrameReader,
    ) -> None:
        self._path = path
        self._shape = shape
        self._dtype = dtype
        self._outer = outer
        self._read = read
        self._kept: dict[tuple[int, ...], Array] = {}

    def read_region(self, region: tuple[slice, ...]) -> Array:
        """Pixels of a region, one slice of step 1 per axis.

        Raises
        ------
        BudgetError
            A frame would take more memory than the budget.
        ReadError
            A frame is damaged, or its shape differs from the header's.
        """
        spans = [range(n)[part] for n, part in zip(self._shape, region, strict=True)]
        pixels = np.empty([len(span) for span in spans], self._dtype)
        wanted = list(product(*spans[: self._outer]))
        self._kept = {index: frame for index, frame in self._kept.items() if index in wanted}
        for index in wanted:
            frame = self._kept[index] if index in self._kept else self._read_frame(index)
            place = tuple(i - span.start for i, span in zip(index, spans, strict=False))
            pixels[place] = frame[region[self._outer :]]
            if len(wanted) <= _MOST_KEPT:
                self._kept[index] = frame
        return pixels

    def _read_frame(self, index: tuple[int, ...]) -> Array:
        """Decode one frame and check its shape."""
        expected = self._shape[self._outer :]
        require_budget(self._path, expected, dtype=self._dtype, budget_bytes=None)
        with explaining_damage(self._path):
            frame = self._read(index)
            if frame.shape != expected:
                raise ValueError(f"frame {index} has shape {frame.shape}, expected {expected}")
            return frame
