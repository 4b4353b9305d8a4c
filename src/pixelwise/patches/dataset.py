"""Patches of decoded images, cut on the fly in their stored dtype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.classes import VOID
from pixelwise.config import PatchConfig
from pixelwise.normalization import Normalization
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.patches.sampling import find_shown, share_axes
from pixelwise.patches.windows import Window, iter_windows, require_all_fit

Array = npt.NDArray[Any]
Position = tuple[int, Window]
"""Number of an image, and a window on it."""
_ATTEMPTS = 8


class PatchDataset:
    """Patches by number, from images in memory or mapped from a file.

    Parameters
    ----------
    images : sequence of DecodedImage
        All with the same number of channels.
    patches : PatchConfig
        Size, step, edge and minimal foreground.
    normalization : Normalization
    background : int or None
        Class that is not foreground.
    skip_void : bool
        Whether to skip patches without annotated pixels, on the grid and at random positions.
    once : bool
        Whether masks are passed to `hide_shown`: patches without pixels afterwards are skipped too.
    """

    def __init__(
        self,
        images: Sequence[DecodedImage],
        patches: PatchConfig,
        normalization: Normalization,
        *,
        background: int | None = 0,
        skip_void: bool = False,
        once: bool = False,
    ) -> None:
        self.images = images
        self._least, self._background = patches.min_foreground, background
        self._skip_void = skip_void
        shapes = [(decoded.mask.shape[0], decoded.mask.shape[1]) for decoded in images]
        names = [decoded.name for decoded in images]
        require_all_fit(zip(names, shapes, strict=True), patches.size_px)
        grids = [list(iter_windows(shape, patches)) for shape in shapes]
        self._shown = [find_shown(grid) for grid in grids]
        self._shares = [share_axes(*each) for each in zip(grids, shapes, strict=True)]
        self._positions = [
            (number, window)
            for number, grid in enumerate(grids)
            for window in grid
            if self._is_wanted(number, self._first_shown(number, window) if once else window.slices)
        ]
        self._normalization = [normalization.parameters(decoded.image) for decoded in images]

    def __len__(self) -> int:
        return len(self._positions)

    def count_from(self, image: int) -> int:
        """Count the patches of the images from this number on; they are the last ones."""
        return sum(number >= image for number, _ in self._positions)

    @property
    def nbytes(self) -> int:
        """Bytes of all images and masks."""
        return sum(decoded.image.nbytes + decoded.mask.nbytes for decoded in self.images)

    def place(
        self, numbers: Sequence[int], rng: np.random.Generator | None = None
    ) -> list[Position]:
        """Positions of the patches with these numbers.

        With `rng` every patch is moved randomly within its share of the image, to a position that
        is not skipped.
        """
        positions = [self._positions[number] for number in numbers]
        return positions if rng is None else [self._move(*each, rng) for each in positions]

    def cut(self, positions: Sequence[Position]) -> tuple[Array, Array]:
        """Images (N, C, Y, X) and masks (N, Y, X) at these positions."""
        found = [(self.images[number], window.slices) for number, window in positions]
        images = np.stack([decoded.image[:, *area] for decoded, area in found])
        return images, np.stack([decoded.mask[area] for decoded, area in found])

    def find_normalization(self, positions: Sequence[Position]) -> tuple[Array, Array]:
        """Offset and scale (N, C, 1, 1) that normalise the images at these positions."""
        found = zip(*(self._normalization[number] for number, _ in positions), strict=True)
        offset, scale = (np.stack(each)[..., None, None] for each in found)
        return offset, scale

    def hide_shown(self, masks: Any, numbers: Sequence[int]) -> None:
        """Set pixels of earlier grid patches to void in masks (N, Y, X), for scoring."""
        for mask, number in zip(masks, numbers, strict=True):
            image, window = self._positions[number]
            rows, columns = self._shown[image]
            mask[: rows[window.y]] = VOID
            mask[:, : columns[window.x]] = VOID

    def _first_shown(self, number: int, window: Window) -> tuple[slice, slice]:
        """Area of an image that a window shows and no earlier window does."""
        rows, columns = self._shown[number]
        y, x = window.slices
        return slice(y.start + rows[window.y], y.stop), slice(x.start + columns[window.x], x.stop)

    def _move(self, number: int, window: Window, rng: np.random.Generator) -> Position:
        """Move a window randomly within its share of each axis, or keep it after a few attempts."""
        rows, columns = self._shares[number]
        for _ in range(_ATTEMPTS):
            moved = replace(window, y=rows[window.y].draw(rng), x=columns[window.x].draw(rng))
            if self._is_wanted(number, moved.slices):
                return number, moved
        return number, window

    def _is_wanted(self, number: int, area: tuple[slice, slice]) -> bool:
        """Whether an area has enough foreground and annotation for a patch."""
        mask = self.images[number].mask[area]
        return _has_foreground(mask, self._least, self._background) and not (
            self._skip_void and bool((mask == VOID).all())
        )


def _has_foreground(mask: Array, share: float, background: int | None) -> bool:
    """Whether at least this fraction of a mask is annotated and not background."""
    empty = VOID if background is None else background
    return share == 0 or bool(np.mean((mask != VOID) & (mask != empty)) >= share)
