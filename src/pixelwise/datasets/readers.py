"""Readers of a sample's image and mask: small immutable objects, one per kind of storage.

All return planes, (N, C, Y, X), where N runs over the T and Z of one file; masks return raw values,
which a `ClassMap` maps to classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.axes import NamedAxes, label_axes, parse_axes, planes_shape, to_planes
from pixelwise.datasets.headers import ImageReader, MaskFacts, MaskReader, PlanesHeader, create_mask
from pixelwise.datasets.sizes import (
    describe_turned_image,
    require_same_directions,
    require_same_size,
)
from pixelwise.datasets.transparency import (
    require_alpha_to_agree,
    require_one_color,
    survey_visibility,
)
from pixelwise.errors import AxesError, DataError, ReadError
from pixelwise.images import ImageFile, open_image
from pixelwise.images.reader import Palette

Array = npt.NDArray[Any]

__all__ = [
    "FileImage",
    "FileMask",
    "ImageReader",
    "JoinedMask",
    "MaskFacts",
    "MaskReader",
    "MergedMask",
    "PlanesHeader",
    "PolygonMask",
    "StackedImage",
    "StackedMask",
    "StackedPatch",
]


@dataclass(frozen=True)
class FileImage:
    """An image in one file; `axes` override the file's."""

    path: Path
    axes: str | None = None

    def read_header(self) -> PlanesHeader:
        """Shape, dtype and axes, without decoding."""
        source = open_image(self.path, axes=self.axes)
        shape = planes_shape(source.axes.names, source.shape)
        dtype, header = str(source.dtype), source.header
        return PlanesHeader(
            shape, dtype, source.axes, header.orientation, source.notes, header.directions
        )

    def read(self) -> tuple[Array, tuple[str, ...]]:
        """Planes (N, C, Y, X), and notes that are not in the header."""
        source = open_image(self.path, axes=self.axes)
        image = source.decode()
        notes = tuple(note for note in image.notes if note not in source.notes)
        return to_planes(image.pixels, image.axes.names), notes


@dataclass(frozen=True)
class FileMask:
    """A mask in one file.

    Attributes
    ----------
    path : Path
    palette : {"index", "color", "alpha"}
        What to read: stored values and palette indices, visible colours, or the alpha channel. All
        masks of a data set are read in the same way, see `palettes`.
    """

    path: Path
    palette: Palette = "index"

    def require_match(self, image: PlanesHeader) -> tuple[MaskFacts, ...]:
        """Compare the headers of mask and image."""
        source, axes = self._open(image)
        header = source.header
        facts = MaskFacts(
            path=self.path,
            channels=planes_shape(axes, source.shape)[1],
            colormap=header.colormap,
            white=header.white,
            alpha=header.alpha,
            notes=(*source.notes, *describe_turned_image(image, header.orientation)),
        )
        return (facts,)

    def read_as(self, palette: Palette) -> FileMask:
        """Return the mask with another reading."""
        return replace(self, palette=palette)

    def read(self, image: PlanesHeader) -> Array:
        """Raw values (N, C, Y, X)."""
        source, axes = self._open(image)
        raw = to_planes(source.read(), axes)
        if self.palette == "alpha":
            require_one_color(self.path, self.read_colors(image), raw)
            return raw
        white = source.header.white
        if source.header.alpha and not (source.header.colormap and self.palette == "index"):
            require_alpha_to_agree(self.path, raw, self.read_alpha(image))
        if self.palette == "color" and white is not None:
            raw = raw * np.uint8(255 // white)
        return raw

    def read_alpha(self, image: PlanesHeader) -> Array:
        """Alpha (N, 1, Y, X) of a file that has it."""
        source, axes = self.read_as("alpha")._open(image)
        return to_planes(source.read(), axes)

    def read_colors(self, image: PlanesHeader) -> Array:
        """Visible colours or grey (N, C, Y, X), ignoring alpha."""
        source, axes = self.read_as("color")._open(image)
        return to_planes(source.read(), axes)

    def _open(self, image: PlanesHeader) -> tuple[ImageFile, str]:
        """Header of the mask and its axes: the image's without C, or its own."""
        wanted = label_axes(image.axes.names)
        try:
            source = open_image(self.path, palette=self.palette, fallback_axes=wanted)
        except AxesError as error:
            raise DataError(
                f"The mask {self.path} does not name its axes, and their number differs from its "
                f"image's ({image.axes}) without channels: expected {wanted}. Save it with one "
                "value per pixel."
            ) from error
        if self.palette == "alpha" and not source.header.alpha:
            raise DataError(
                f"The mask {self.path} has no alpha channel, which holds the objects in the other "
                "masks. Save it with one, or leave it out."
            )
        if source.header.ambiguous:
            raise DataError(
                f"The mask {self.path} {source.header.ambiguous}. Which one is the mask? Save it "
                "as a separate file."
            )
        axes = _choose_mask_axes(source, image.axes.names)
        shape = planes_shape(axes, source.shape)
        if shape[1] not in (1, 3):
            raise DataError(
                f"The mask {self.path} has {shape[1]} channels ({source.axes}); expected one value "
                "per pixel or RGB colours."
            )
        require_same_directions(self.path, image, found=source.header.directions)
        turned = source.header.orientation
        require_same_size(self.path, image, found=shape, orientation=turned)
        return source, axes


@dataclass(frozen=True)
class JoinedMask:
    """Several masks of one image, combined: a pixel has the value of the mask that is not 0 there.

    `path` represents all of them.
    """

    path: Path
    masks: tuple[FileMask, ...]

    def require_match(self, image: PlanesHeader) -> tuple[MaskFacts, ...]:
        """Compare the headers of all masks with the image's."""
        return tuple(facts for mask in self.masks for facts in mask.require_match(image))

    def read_as(self, palette: Palette) -> JoinedMask:
        """Return the mask with all files read in one way."""
        return replace(self, masks=tuple(mask.read_as(palette) for mask in self.masks))

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
                    f"{other.shape[1]} and {joined.shape[1]} channels: save both in the same way."
                )
            marked = (joined != 0).any(axis=1, keepdims=True)
            clash = marked & (other != 0).any(axis=1, keepdims=True)
            if (clash & (joined != other).any(axis=1, keepdims=True)).any():
                raise DataError(
                    f"{mask.path} and {self.masks[0].path} belong to one image, but give the same "
                    "pixels different values. Choose one of them with --mask-suffix, or move the "
                    "other one away."
                )
            self._require_one_white(joined, other, path=mask.path)
            joined = np.where(marked, joined, other)
        return joined

    def _require_one_white(self, joined: Array, other: Array, *, path: Path) -> None:
        """Raise if one mask uses 1 and the other 255, which would become two classes."""
        whites = [set(np.unique(raw).tolist()) - {0} for raw in (joined, other)]
        if sorted(whites, key=str) == [{1}, {255}]:
            raise DataError(
                f"{path} and {self.masks[0].path} belong to one image, but one uses 1 and the "
                "other 255. Save both with the same value."
            )


@dataclass(frozen=True)
class MergedMask:
    """A mask in many files, one per object (DSB 2018); 0 is background, 1 any object."""

    path: Path
    files: tuple[Path, ...]

    def require_match(self, image: PlanesHeader) -> None:
        """Compare the header of the first file with the image's."""
        _open_object(self.files[0], image)

    def read(self, image: PlanesHeader) -> Array:
        """Union of all objects, (1, 1, Y, X) of {0, 1}: pixels not black, or not transparent."""
        merged: Array = create_mask(self.path, image, 0)[0]
        for file in self.files:
            source = _open_object(file, image)
            planes = to_planes(source.read(), source.axes.names)[0]
            if source.header.alpha:
                planes = _find_visible(file, image, planes)
            values = planes[0] if len(planes) == 1 else planes.max(axis=0)
            _require_no_soft_edge(file, values)
            merged |= values != 0
        return merged[None, None]


def _require_no_soft_edge(path: Path, values: Array) -> None:
    """Raise if values (Y, X) between 0 and the largest occur mostly on edges."""
    largest = values.max()
    if np.count_nonzero(values) == np.count_nonzero(values == largest):
        return  # the usual case; fast for thousands of files
    from scipy.ndimage import maximum_filter, minimum_filter

    between = (values != 0) & (values != largest)
    flat = maximum_filter(maximum_filter(values, 3) == minimum_filter(values, 3), 3)
    if 2 * (between & ~flat).sum() > between.sum():
        raise DataError(
            f"{path} is the mask of one object, but has greys between 0 and {largest} at edges, as "
            "from JPEG or smoothing. Save it again as PNG, with two values."
        )


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

        mask: Array = create_mask(self.path, image, 0)[0]
        draw_polygons(read_polygons(self.path), mask)
        return mask[None, None]


@dataclass(frozen=True)
class StackedPatch:
    """Location of a patch inside an uncompressed TIFF stack.

    Attributes
    ----------
    path : Path
        Stack with contiguous pixels.
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
            raise ReadError(f"{self.path} is truncated. Create the patches again.")
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
        require_same_size(self.path, image, found=shape)

    def read(self, image: PlanesHeader) -> Array:  # noqa: ARG002
        """Class indices (1, 1, Y, X)."""
        return self.patch.read_planes()


def _choose_mask_axes(source: ImageFile, image_axes: str) -> str:
    """Axes of a mask: the image's without C if the count fits, else the file's."""
    wanted = label_axes(image_axes)
    known = source.axes.names
    if len(wanted) == len(known) and "C" not in known:
        return parse_axes(wanted, len(source.shape))
    return known


def _open_object(path: Path, image: PlanesHeader) -> ImageFile:
    """Open the mask of one object, which must have the size of its image."""
    source = open_image(path, palette="color")
    planes, _, height, width = planes_shape(source.axes.names, source.shape)
    turned = source.header.orientation
    require_same_size(path, image, found=(planes, 1, height, width), orientation=turned)
    return source


def _find_visible(path: Path, image: PlanesHeader, planes: Array) -> Array:
    """Colours (C, Y, X) of an object, or its alpha if that is the mask."""
    alpha = FileMask(path).read_alpha(image)
    if survey_visibility(planes[None], alpha).is_alpha_the_mask:
        found: Array = alpha[0]
        return found
    require_alpha_to_agree(path, planes[None], alpha)
    return planes
