"""Several masks of one image, read as one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.datasets.readers import FileMask, MaskFacts, PlanesHeader
from pixelwise.errors import DataError
from pixelwise.images.source import Palette

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class JoinedMask:
    """Several masks of one image, as one: every pixel has the value of the mask that marks it.

    `path` stands for them all. 0 marks nothing in each of them.
    """

    path: Path
    masks: tuple[FileMask, ...]

    def require_match(self, image: PlanesHeader) -> MaskFacts:
        """Compare the headers of all masks with the image's; give what the first one's shows."""
        first, *_ = [mask.require_match(image) for mask in self.masks]
        return first

    def read_as(self, palette: Palette) -> JoinedMask:
        """Give the same masks, read in another way."""
        masks = tuple(replace(mask, palette=palette) for mask in self.masks)
        return replace(self, masks=masks)

    def read(self, image: PlanesHeader) -> Array:
        """Raw values (N, C, Y, X).

        Raises
        ------
        DataError
            Two masks mark one pixel with different values, or one is grey and the other is not.
        """
        joined = self.masks[0].read(image)
        for mask in self.masks[1:]:
            other = mask.read(image)
            if other.shape != joined.shape:
                raise DataError(
                    f"{mask.path} and {self.masks[0].path} belong to one image, but have "
                    f"{other.shape[1]} and {joined.shape[1]} channels: save both alike."
                )
            marked = (joined != 0).any(axis=1, keepdims=True)
            clash = marked & (other != 0).any(axis=1, keepdims=True)
            if (clash & (joined != other).any(axis=1, keepdims=True)).any():
                raise DataError(
                    f"{mask.path} and {self.masks[0].path} belong to one image, but give the same "
                    "pixels different values. Say which of them to take by --mask-suffix, or move "
                    "the other one away."
                )
            joined = np.where(marked, joined, other)
        return joined
