"""OME-Zarr images and plain Zarr arrays in local folders, formats 2 and 3, through zarr.

Of an OME-Zarr image the largest level is read. A missing chunk file means the fill value: Zarr does
not store chunks that hold nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from pixelwise.axes import Calibration, NamedAxes, guess_axes
from pixelwise.errors import DataError, PixelwiseError, ReadError, quote
from pixelwise.images.budget import require_budget
from pixelwise.images.damage import DAMAGE
from pixelwise.images.multiscales import parse_dimension_names, parse_multiscale
from pixelwise.images.reader import Header, Palette, Region, RegionReader
from pixelwise.images.zarr_metadata import Node, list_members, read_node
from pixelwise.parsing import require_inner_path, require_regular

Array = npt.NDArray[Any]

_MOST_NAMES: Final = 5
_MOST_CHUNKS: Final = 40_000
"""Chunks in one read: zarr takes half a millisecond for each, so 20 s."""


@dataclass(frozen=True)
class _Image:
    """Array with the pixels of an image, and its metadata."""

    array: zarr.Array[Any]
    axes: NamedAxes | None
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()


def read_header(path: Path, palette: Palette) -> Header:  # noqa: ARG001  the Reader protocol
    """Shape, dtype, axes and calibration of the largest level of an image, or of an array."""
    image = _open_image(path)
    array, calibration = image.array, image.calibration
    if calibration is not None and len(calibration.scale) != array.ndim:
        calibration = None
    dtype = np.dtype("uint8") if array.dtype == bool else array.dtype.newbyteorder("=")
    axes = image.axes or guess_axes(array.shape)
    return Header(array.shape, dtype, axes, calibration, notes=image.notes)


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:  # noqa: ARG001
    """Read all pixels, with a note if the group holds further images."""
    image = _open_image(path)
    return _read(path, image.array, (slice(None),) * image.array.ndim), image.notes


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Yield a function that reads only the chunks a region touches."""
    array = _open_image(path).array
    yield lambda region: _read(path, array, region)


def describe_gaps(path: Path) -> str | None:
    """Describe how many chunks have no file; None if all have one.

    A lost chunk looks like a blank one, so the image is readable, but the user should know.
    """
    array = _open_image(path).array
    with _reading(f"the metadata of {path}"):
        missing, total = max(0, array.nchunks - array.nchunks_initialized), array.nchunks
    return f"{missing} of {total} chunks have no file and were read as blank" if missing else None


def _open_image(path: Path) -> _Image:
    """Find the array with the pixels.

    Raises
    ------
    DataError
        The folder is not one image; the message says which path to use.
    ReadError
        The metadata are missing or damaged.
    """
    node = read_node(path)
    if node.is_array:
        array = open_array(node)
        return _Image(array, _name_axes(array))
    attributes = node.attributes
    try:
        image = parse_multiscale(attributes)
        level = path / require_inner_path(image.path) if image is not None else path
    except (DataError, ValueError) as error:
        raise ReadError(f"{path} is damaged: {error}. Save it again or leave it out.") from error
    if image is None:
        with _reading(f"the metadata of {path}"):
            advice = _advise(path, attributes.get("ome", attributes))
        raise DataError(advice)
    node = read_node(level)
    if not node.is_array:
        raise ReadError(f"{path} is damaged: {image.path} should be an array, found a group.")
    array = open_array(node)
    notes = (f"holds {image.count} images, the first was read",) if image.count > 1 else ()
    return _Image(array, image.name_axes(array.shape), image.calibration, notes)


class _Folder(LocalStore):
    """A folder of chunk files; pipes and oversized files are refused."""

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a file, or None if it is not there."""
        path = self.root / key
        with suppress(FileNotFoundError, NotADirectoryError):
            require_regular(path)
            if byte_range is None:
                size = path.stat().st_size
                require_budget(path, (size,), dtype=np.dtype(np.uint8), budget_bytes=None)
        return await super().get(key, prototype, byte_range)


def open_array(node: Node) -> zarr.Array[Any]:
    """Open an array whose metadata were checked."""
    with _reading(f"the metadata of {node.path}"):
        store = _Folder(node.path, read_only=True)
        return zarr.open_array(store, mode="r", zarr_format=node.zarr_format)


def _name_axes(array: zarr.Array[Any]) -> NamedAxes | None:
    """Axes of a plain array: its dimension names, or xarray's in format 2."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    letters = parse_dimension_names(names)
    if letters is None or len(letters) != array.ndim:
        return None
    return NamedAxes(letters, "dimension names of the array")


def _read(path: Path, array: zarr.Array[Any], region: Region) -> Array:
    """Read a region; an error names the damaged chunk."""
    _require_few_chunks(path, array, region)
    try:
        with _reading(f"the pixels of {path}"):
            pixels = np.asarray(array[region])
    except ReadError as error:
        bad = next(_iter_damaged(array, region), None)
        if bad is None:
            raise
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise ReadError(
            f"The chunk {bad} is damaged, truncated, or compressed in an unknown way "
            f"{quote(cause)}. Save the image again or leave it out."
        ) from error
    pixels = pixels.astype("uint8") if pixels.dtype == bool else pixels
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _require_few_chunks(path: Path, array: zarr.Array[Any], region: Region) -> None:
    """Raise if a region has more chunks than zarr can read in reasonable time."""
    spans = [range(n)[part] for n, part in zip(array.shape, region, strict=True)]
    count = prod(-(-s.stop // n) - s.start // n for s, n in zip(spans, array.chunks, strict=True))
    if count > _MOST_CHUNKS:
        raise DataError(
            f"{path} needs {count:,} chunks of {array.chunks} pixels at a time; the limit is "
            f"{_MOST_CHUNKS:,}. Save it again in larger chunks."
        )


def _iter_damaged(array: zarr.Array[Any], region: Region) -> Iterator[Path]:
    """Files of the damaged chunks, or shards, in a region."""
    sides = array.shards or array.chunks
    spans = [range(n)[part] for n, part in zip(array.shape, region, strict=True)]
    grid = [range(s.start // n, -(-s.stop // n)) for s, n in zip(spans, sides, strict=True)]
    for place in product(*grid):
        part = tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, sides, strict=True))
        try:
            with _reading("a chunk"):
                _ = array[part]
        except ReadError:
            root = Path(str(array.store_path.store.root))  # type: ignore[attr-defined]
            yield root / array.path / array.metadata.encode_chunk_key(place)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn whatever zarr and its codecs raise into a `ReadError`."""
    try:
        yield
    except PixelwiseError:
        raise
    except DAMAGE as error:
        raise ReadError(
            f"Cannot read {what} {quote(error)}. "
            "The Zarr is damaged or compressed in an unknown way; copy or save it again."
        ) from error


def _advise(path: Path, ome: Any) -> str:
    """Describe a group that is not an image, and which path to use instead."""
    ome = ome if isinstance(ome, dict) else {}
    plate, well = ome.get("plate"), ome.get("well")
    if plate:
        names = [f"{item['path']}/0" for item in plate.get("wells", [])]
        found = "a plate of many images, not one image"
    elif well:
        names = [str(item["path"]) for item in well.get("images", [])]
        found = "a well of several images, not one image"
    elif ome.get("labels"):
        names = [str(name) for name in ome["labels"]]
        found = "a group of labels, not one image"
    else:
        names = list_members(path)
        found = "a Zarr group without the metadata of an image" if names else "an empty Zarr group"
    if not names:
        return f"{path} is {found}: point at an OME-Zarr image or at an array."
    inside = ", ".join(str(path / name) for name in names[:_MOST_NAMES])
    more = f" (and {len(names) - _MOST_NAMES} more)" if len(names) > _MOST_NAMES else ""
    return f"{path} is {found}: point at an image in it, e.g. {inside}{more}."
