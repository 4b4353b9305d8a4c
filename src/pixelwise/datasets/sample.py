"""One image with its mask, the ground truth: the unit of training, evaluation and patches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pixelwise.datasets.mapping import ClassMap
from pixelwise.datasets.readers import ImageReader, MaskReader, PlanesHeader
from pixelwise.errors import DataError

Array = npt.NDArray[Any]
Split = Literal["train", "validation", "test"]

SPLIT_NAMES: Final[dict[str, Split]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""Folder names of the three splits."""


@dataclass(frozen=True)
class Part:
    """A part of an image: first and last plane, row and column, each with the end excluded."""

    planes: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Ranges of planes, rows and columns."""
        return self.planes, self.rows, self.columns

    def cut(self, array: Array) -> Array:
        """Cut (N, Y, X) or (N, C, Y, X)."""
        planes, rows, columns = (slice(*ends) for ends in self.ranges)
        return array[planes, ..., rows, columns]


@dataclass(frozen=True)
class Sample:
    """An image and its mask; cheap to create, pickle and keep, since pixels are read on request.

    Attributes
    ----------
    name : str
        Unique in the data set; patches are named after it.
    group : str
        Source image; samples of one group are never divided by a split.
    split : {"train", "validation", "test"} or None
        Split from the layout, if any.
    header : PlanesHeader
        The image as stored: shape (N, C, Y, X), dtype, axes.
    class_map : ClassMap
        Maps mask values to classes.
    channels : int
        Channels of the data set; a grey image among RGB ones is repeated.
    resize : tuple of int or None
        Height and width to resize to.
    part : Part or None
        What is taken of the image, after resizing; None for all of it.
    """

    name: str
    group: str
    split: Split | None
    image: ImageReader
    mask: MaskReader
    header: PlanesHeader
    class_map: ClassMap
    channels: int
    resize: tuple[int, int] | None = None
    part: Part | None = None

    @property
    def image_path(self) -> Path:
        """File of the image."""
        return self.image.path

    @property
    def mask_path(self) -> Path:
        """File or folder of the mask."""
        return self.mask.path

    @property
    def files(self) -> frozenset[Path]:
        """All files, or folders, of the image and the mask."""
        readers = (self.image, self.mask, *getattr(self.mask, "masks", ()))
        return frozenset(
            path for reader in readers for path in (reader.path, *getattr(reader, "files", ()))
        )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (N, C, Y, X) that `read_image` returns."""
        planes, _, height, width = self.header.shape
        if self.part is not None:
            planes, height, width = (stop - start for start, stop in self.part.ranges)
            return planes, self.channels, height, width
        return (planes, self.channels, *(self.resize or (height, width)))

    def read_image(self) -> Array:
        """Planes (N, C, Y, X) in the stored dtype.

        Raises
        ------
        ReadError
            The file is missing or damaged.
        BudgetError
            The image would take too much memory.
        """
        return self.read_image_and_notes()[0]

    def read_image_and_notes(self) -> tuple[Array, tuple[str, ...]]:
        """Planes as in `read_image`, and notes on what was left out, such as alpha."""
        planes, notes = self.image.read()
        if planes.shape[1] < self.channels:
            planes = planes.repeat(self.channels, axis=1)
        if self.resize:
            planes = resize_planes(planes, self.resize)
        return (self.part.cut(planes) if self.part else planes), notes

    def read_finite_image(self) -> Array:
        """Planes as in `read_image`, refused if a pixel is NaN or infinite.

        Raises
        ------
        DataError
            The message counts the pixels.
        """
        planes = self.read_image()
        if planes.dtype.kind == "f" and not np.isfinite(planes).all():
            count = int((~np.isfinite(planes)).sum())
            raise DataError(
                f"{self.name}: {count} pixels of {self.image_path} are NaN or infinite; expected "
                "finite intensities. Replace them, e.g. by 0, or leave the image out."
            )
        return planes

    def read_mask(self) -> npt.NDArray[np.uint8]:
        """Class indices (N, Y, X), 255 where void.

        Raises
        ------
        ReadError
            The file is missing or damaged.
        DataError
            The size of the mask differs from the image's, or values are not mapped to a class.
        """
        raw = self.mask.read(self.header)
        try:
            labels = self.class_map.apply(raw)
        except DataError as error:
            raise type(error)(f"{self.mask_path}: {error}") from error
        if self.resize:
            labels = resize_labels(labels, self.resize)
        return self.part.cut(labels) if self.part else labels


def resize_planes(planes: Array, size: tuple[int, int]) -> Array:
    """Resize (N, C, Y, X) to `size` (height, width), in the same dtype.

    Bilinear, with antialiasing when downscaling (Pillow's filter widens with the scale).
    """
    from PIL import Image

    if planes.shape[2:] == size:
        return planes
    resized = np.empty((*planes.shape[:2], *size), np.float32)
    for index in np.ndindex(planes.shape[:2]):
        plane = Image.fromarray(np.ascontiguousarray(planes[index], np.float32))
        resized[index] = plane.resize(size[::-1], Image.Resampling.BILINEAR)
    if planes.dtype.kind not in "ui":
        return resized.astype(planes.dtype)
    limits = np.iinfo(planes.dtype)
    wide = resized.astype(np.float64)  # float32 cannot represent 2^32 - 1
    return wide.round().clip(limits.min, limits.max).astype(planes.dtype)


def resize_labels(labels: Array, size: tuple[int, int]) -> Array:
    """Resize (..., Y, X) labels to `size` (height, width) by nearest neighbour: no new values."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for new, old in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[..., rows[:, None], columns]
