"""Writing results as tiled TIFF, row by row and atomically."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import replacing
from pixelwise.checksums import add_checksum
from pixelwise.classes import describe_classes
from pixelwise.images.content import ImageContent, RowReader
from pixelwise.images.sinks import describe_tiff, is_ome_tiff

Array = npt.NDArray[Any]

TILE_PX: Final = 512
_SOFTWARE: Final = "napari-pixelwise"
_CLASSIC_BYTES: Final = 2 << 30
"""Above this, BigTIFF: a classic TIFF ends at 4 GB, and the compressed size is not known before."""


def write_rows(
    path: Path,
    content: ImageContent,
    read: RowReader,
    *,
    check: Callable[[], None] | None = None,
) -> None:
    """Write a tiled, compressed TIFF, one row of tiles at a time; BigTIFF from 2 GB on.

    Parameters
    ----------
    path : path
        The folder must exist; an existing file is replaced once the new one is complete. Names
        ending in ``.ome.tif`` get OME metadata.
    content : ImageContent
        Its axes are stored in the order TCZYX, its mark in the tag Software, and the classes of
        labels in the description, except in OME-TIFF.
    read : RowReader
        Called for 512 rows of one plane and one channel at a time.
    check : callable, optional
        Called right before the file gets its final name; raises to refuse.

    Raises
    ------
    WriteError
        The folder cannot be written, or the disk is full.
    """
    import tifffile

    height, width = content.stored_shape[-2:]
    tile = (_choose_side(height), _choose_side(width))
    known = content.calibration
    size = None if known is None else known.pixel_size_um(content.axes)
    stored = None if known is None else known.select(content.axes, content.stored_axes)
    notes = {} if "C" in content.axes else describe_classes(content.classes)
    described = describe_tiff(
        path, content.stored_axes, pixel_size_um=size, notes=notes, calibration=stored
    )
    mark = None if content.mark is None else json.dumps(content.mark)
    if mark is not None and is_ome_tiff(path):  # tifffile's random one would change the bytes
        described["metadata"]["UUID"] = f"urn:uuid:{uuid5(NAMESPACE_URL, mark)}"
    with replacing(path, check=check) as temp:
        tifffile.imwrite(
            temp,
            _iter_tiles(content, read, tile),
            shape=content.stored_shape,
            dtype=content.dtype,
            tile=tile,
            bigtiff=int(np.prod(content.shape)) * content.dtype.itemsize > _CLASSIC_BYTES,
            photometric="minisblack",
            compression="zlib",
            software=None if mark is None else f"{_SOFTWARE} {mark}",
            **described,
        )
        if mark is not None:
            add_checksum(temp)


def _choose_side(side: int) -> int:
    """Side of a tile: a multiple of 16, as TIFF requires, no larger than the image needs."""
    return min(TILE_PX, -(-side // 16) * 16)


def _iter_tiles(content: ImageContent, read: RowReader, tile: tuple[int, int]) -> Iterator[Array]:
    """Tiles of all pages, row by row, padded with 0 at the edges."""
    *leading, height, width = content.stored_shape
    letters = content.stored_axes[:-2]
    depth = dict(zip(letters, leading, strict=True)).get("Z", 1)
    for place in product(*map(range, leading)):
        at = dict(zip(letters, place, strict=True))
        plane = at.get("T", 0) * depth + at.get("Z", 0)
        for top in range(0, height, tile[0]):
            rows = read(plane, slice(top, min(top + tile[0], height)), at.get("C"))
            for left in range(0, width, tile[1]):
                part = rows[:, left : left + tile[1]]
                missing = [(0, whole - n) for whole, n in zip(tile, part.shape, strict=True)]
                yield np.ascontiguousarray(np.pad(part, missing) if part.shape != tile else part)
