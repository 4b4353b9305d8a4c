"""A patch folder written by this project: stacks per source image, and an index.

``images/<name>.tif`` and ``masks/<name>.tif`` are uncompressed TIFF stacks with contiguous pixels,
so that a patch is one read at a known offset, and any viewer can open them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pixelwise.classes import VOID, Classes, require_background
from pixelwise.config import DataConfig, PatchConfig
from pixelwise.config_base import describe_invalid
from pixelwise.datasets.layouts.base import Entry, Layout, Listing
from pixelwise.datasets.mapping import ClassMap, ClassScheme
from pixelwise.datasets.readers import StackedImage, StackedMask, StackedPatch
from pixelwise.datasets.sample import Split
from pixelwise.errors import ReadError, quote
from pixelwise.images.damage import DAMAGE
from pixelwise.parsing import FileName, InnerPath, read_bytes, require_regular

INDEX_NAME: Final = "patches.json"
PatchAxes = Literal["YX", "YXC", "CYX"]


class PatchSource(BaseModel):
    """The patches of one source image.

    Attributes
    ----------
    name, group, split
        Of the sample they were cut from.
    image, mask : str
        Stacks, relative to the folder of the index.
    dtype : str
        Number format of the image stack.
    positions : tuple of (plane, y, x)
        Position of each patch on its source image, in pixels.
    names : tuple of str
        Name of each patch, ``{name}-PCH{i}``; i counts all windows, kept or not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FileName
    group: str
    split: Split | None
    image: InnerPath
    mask: InnerPath
    dtype: str
    positions: tuple[tuple[int, int, int], ...]
    names: tuple[FileName, ...]

    @model_validator(mode="after")
    def _require_a_name_each(self) -> Self:
        if len(self.names) != len(self.positions):
            raise ValueError(f"{len(self.positions)} positions have {len(self.names)} names")
        return self


class PatchIndex(BaseModel):
    """Content of ``patches.json``.

    Attributes
    ----------
    axes : str
        Axes of one patch: YX, YXC (RGB) or CYX.
    channels : int
        Channels of one patch.
    windows : PatchConfig
        Size, step, edge and minimal foreground of the patches.
    background : int or None
        Class that is not foreground.
    mapping : str
        How the mask values of the source became classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["pixelwise patches"] = "pixelwise patches"
    version: Literal[1] = 1
    classes: Classes
    axes: PatchAxes
    channels: int = Field(ge=1)
    windows: PatchConfig
    background: int | None
    mapping: str
    sources: tuple[PatchSource, ...]

    @model_validator(mode="after")
    def _check_background(self) -> Self:
        require_background(self.background, self.classes)
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one patch, in the order of `axes`."""
        sizes = dict(zip("YX", self.windows.size_px, strict=True)) | {"C": self.channels}
        return tuple(sizes[letter] for letter in self.axes)


def read_index(folder: Path) -> PatchIndex:
    """Read the index of a patch folder.

    Raises
    ------
    ReadError
        The index is missing, damaged, or of a newer version.
    """
    path = folder / INDEX_NAME
    try:
        return PatchIndex.model_validate_json(read_bytes(path, what="patch index"))
    except ValidationError as error:
        raise ReadError(
            f"{path} is not a patch index of version 1: {describe_invalid(error, 'the file')} "
            "Create the patches again with this version."
        ) from error


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    return f"holds {INDEX_NAME}" if (path / INDEX_NAME).is_file() else None


def read(config: DataConfig) -> Listing:
    """List every patch; patches of one source image are one group."""
    index = read_index(config.path)
    entries: list[Entry] = []
    for source in index.sources:
        images = _find_patches(
            source, config.path / source.image, shape=index.shape, axes=index.axes
        )
        masks = _find_patches(
            source, config.path / source.mask, shape=index.windows.size_px, axes="YX"
        )
        entries += [
            Entry(name, source.split, StackedImage(image), StackedMask(mask), source.group)
            for name, image, mask in zip(source.names, images, masks, strict=True)
        ]
    table = (*((i, i) for i in range(len(index.classes))), (VOID, VOID))
    words = f"class indices from the patch folder (source: {index.mapping})"
    scheme = ClassScheme(index.classes, ClassMap(table), words, index.background)
    return Listing(tuple(entries), (), scheme)


def _find_patches(
    source: PatchSource, path: Path, *, shape: tuple[int, ...], axes: str
) -> list[StackedPatch]:
    """Locate every patch in a stack, whose header must match the index."""
    offset, stack_shape, dtype = _read_stack_header(path)
    expected = (len(source.positions), *shape)
    if stack_shape != expected or (axes != "YX" and dtype.name != source.dtype):
        raise ReadError(
            f"{path} has {stack_shape} values of {dtype.name}, the index says {expected} of "
            f"{source.dtype}. Create the patches again."
        )
    size = int(np.prod(shape)) * dtype.itemsize
    return [
        StackedPatch(path, offset + i * size, shape, axes, dtype.str)
        for i in range(len(source.positions))
    ]


def _read_stack_header(path: Path) -> tuple[int, tuple[int, ...], np.dtype[np.generic]]:
    """First byte of the pixels, shape (N, ...) and dtype of a stack."""
    from pixelwise.images.tiff_series import opening_series

    try:
        require_regular(path)
        with opening_series(path) as chosen:
            series = chosen.series
            if series.dataoffset is None:
                raise ValueError("its pixels are not contiguous")
            dtype = series.dtype.newbyteorder(series.parent.byteorder)
    except DAMAGE as error:
        raise ReadError(
            f"{path} is missing, damaged, or was saved again with compression {quote(error)}. "
            "Create the patches again."
        ) from error
    return int(series.dataoffset), series.shape, dtype


LAYOUT: Final = Layout("patches", f"{INDEX_NAME}, written by 'pixelwise patches'", recognise, read)
