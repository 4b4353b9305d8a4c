"""What a sample's image and mask are read from: small frozen objects, one per kind of storage.

All give planes, (N, C, Y, X), where N runs over the T and Z of one file; masks give raw values,
which a `ClassMap` turns into classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pixelwise.axes import NamedAxes, label_axes, parse_axes, planes_shape, to_planes
from pixelwise.errors import DataError, ReadError
from pixelwise.images import ImageFile, open_image

Array = npt.NDArray[Any]
PlanesShape = tuple[int, int, int, int]


@dataclass(frozen=True)
class PlanesHeader:
    """What is known of an image before it is decoded: shape (N, C, Y, X), dtype, axes as stored."""

    shape: PlanesShape
    dtype: str
    axes: NamedAxes


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

    def require_match(self, image: PlanesHeader) -> None:
        """Raise `DataError` if headers already show that mask and image differ in size."""
        ...

    def read(self, image: PlanesHeader) -> Array:
        """Raw values (N, C, Y, X) of a mask for an image with this header; C is 1 or 3."""
        ...


@dataclass(frozen=True)
class FileImage:
    """An image in a file of its own; `axes` override the file's."""

    path: Path
    axes: str | None = None

    def read_header(self) -> PlanesHeader:
        """Shape, dtype and axes, without decoding."""
        source = open_image(self.path, axes=self.axes)
        shape = planes_shape(source.axes.names, source.shape)
        return PlanesHeader(shape, str(source.dtype), source.axes)

    def read(self) -> tuple[Array, tuple[str, ...]]:
        """Planes (N, C, Y, X) and notes."""
        image = open_image(self.path, axes=self.axes).decode()
        return to_planes(image.pixels, image.axes.names), image.notes


@dataclass(frozen=True)
class FileMask:
    """A mask in one file: values, palette indices or colours."""

    path: Path

    def require_match(self, image: PlanesHeader) -> None:
        """Compare the headers of mask and image."""
        self._open(image)

    def read(self, image: PlanesHeader) -> Array:
        """Raw values (N, C, Y, X)."""
        source, axes = self._open(image)
        return to_planes(source.read(), axes)

    def _open(self, image: PlanesHeader) -> tuple[ImageFile, str]:
        """Header of the mask and its axes: the image's without C, or its own."""
        source = open_image(self.path, palette="index")
        axes = _choose_mask_axes(source, image.axes.names)
        shape = planes_shape(axes, source.shape)
        if shape[1] not in (1, 3):
            raise DataError(
                f"The mask {self.path} has {shape[1]} channels ({source.axes}); expected one value "
                "per pixel or RGB colours."
            )
        _require_same_size(self.path, image, found=shape)
        return source, axes


@dataclass(frozen=True)
class MergedMask:
    """A mask in many files, one per object (DSB 2018); 0 is background, 1 any object."""

    path: Path
    files: tuple[Path, ...]

    def require_match(self, image: PlanesHeader) -> None:
        """Compare the header of the first file with the image's."""
        source = open_image(self.files[0], palette="index")
        _require_same_size(source.path, image, found=_flat_shape(source))

    def read(self, image: PlanesHeader) -> Array:
        """Union of all objects, (1, 1, Y, X) of {0, 1}."""
        merged = np.zeros(image.shape[2:], np.uint8)
        for file in self.files:
            source = open_image(file, palette="index")
            _require_same_size(file, image, found=_flat_shape(source))
            pixels = source.read()
            merged |= pixels.any(axis=-1) if pixels.ndim == 3 else pixels != 0
        return merged[None, None]


@dataclass(frozen=True)
class PolygonMask:
    """A mask drawn from the polygons of an annotation file (MoNuSeg's XML); inside is 1."""

    path: Path

    def require_match(self, image: PlanesHeader) -> None:  # noqa: ARG002
        """Nothing to compare: the polygons take the size of the image."""
        if not self.path.is_file():
            raise ReadError(f"The annotation {self.path} is missing.")

    def read(self, image: PlanesHeader) -> Array:
        """Fill the polygons: (1, 1, Y, X) of {0, 1}."""
        from pixelwise.datasets.polygons import draw_polygons, read_polygons

        return draw_polygons(read_polygons(self.path), image.shape[2:])[None, None]


@dataclass(frozen=True)
class StackedPatch:
    """Where one patch lies inside an uncompressed TIFF stack.

    Attributes
    ----------
    path : Path
        Stack whose pixels lie in one piece.
    offset : int
        First byte of the patch.
    shape : tuple of int
        Shape of the patch, in the order of `axes`.
    axes : str
        YX, YXC or CYX.
    dtype : str
        NumPy's name with byte order, e.g. ``<u2``.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    axes: str
    dtype: str

    def read_planes(self) -> Array:
        """Pixels as (1, C, Y, X)."""
        count = prod(self.shape)
        try:
            flat = np.fromfile(self.path, self.dtype, count, offset=self.offset)
        except OSError as error:
            raise ReadError(f"Cannot read patches from {self.path}: {error}.") from error
        if flat.size < count:
            raise ReadError(f"{self.path} is cut off. Make the patches again.")
        native = flat.astype(flat.dtype.newbyteorder("="), copy=False)
        return to_planes(native.reshape(self.shape), self.axes)


@dataclass(frozen=True)
class StackedImage:
    """The image of a patch inside a stack."""

    patch: StackedPatch

    @property
    def path(self) -> Path:
        """The stack."""
        return self.patch.path

    def read_header(self) -> PlanesHeader:
        """Shape, dtype and axes, without touching the disk."""
        patch = self.patch
        dtype = np.dtype(patch.dtype).name
        named = NamedAxes(patch.axes, "patch index")
        return PlanesHeader(planes_shape(patch.axes, patch.shape), dtype, named)

    def read(self) -> tuple[Array, tuple[str, ...]]:
        """Planes (1, C, Y, X); there are no notes."""
        return self.patch.read_planes(), ()


@dataclass(frozen=True)
class StackedMask:
    """The class mask of a patch inside a stack."""

    patch: StackedPatch

    @property
    def path(self) -> Path:
        """The stack."""
        return self.patch.path

    def require_match(self, image: PlanesHeader) -> None:
        """Compare the sizes of mask and image."""
        shape = planes_shape(self.patch.axes, self.patch.shape)
        _require_same_size(self.path, image, found=shape)

    def read(self, image: PlanesHeader) -> Array:  # noqa: ARG002
        """Class indices (1, 1, Y, X)."""
        return self.patch.read_planes()


def _choose_mask_axes(source: ImageFile, image_axes: str) -> str:
    """Axes of a mask: the image's without C where the count fits and the file knows no better."""
    wanted = label_axes(image_axes)
    known = source.axes.names
    if len(wanted) == len(known) and "C" not in known:
        return parse_axes(wanted, len(source.shape))
    return known


def _flat_shape(source: ImageFile) -> PlanesShape:
    """Shape of a mask that is one plane, be it grey or RGB."""
    return 1, 1, source.shape[0], source.shape[1]


def _require_same_size(path: Path, image: PlanesHeader, *, found: PlanesShape) -> None:
    """Raise if a mask has not the planes, height and width of its image."""
    size, wanted = (found[0], *found[2:]), (image.shape[0], *image.shape[2:])
    if size != wanted:
        raise DataError(
            f"The mask {path} has {_format_size(size)}, its image has {_format_size(wanted)} "
            "(height x width); they must be equal. Is it the mask of another image?"
        )


def _format_size(size: tuple[int, ...]) -> str:
    """Write (planes, height, width) as '2 planes of 5 x 7'."""
    planes = f"{size[0]} planes of " if size[0] > 1 else ""
    return f"{planes}{size[1]} x {size[2]} pixels"


@dataclass(frozen=True)
class JoinedMask:
    """Several masks of one image, as one: every pixel has the value of the mask that marks it.

    `path` stands for them all. 0 marks nothing in each of them.
    """

    path: Path
    masks: tuple[FileMask, ...]

    def require_match(self, image: PlanesHeader) -> None:
        """Compare the headers of all masks with the image's."""
        for mask in self.masks:
            mask.require_match(image)

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
