"""HDF5 as written by ilastik, vigra, ImageJ's plugins, PlantSeg and Python, read by regions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from math import ceil, prod
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt

from pixelwise.axes import AXES, Calibration, NamedAxes, guess_axes
from pixelwise.errors import DataError, MissingPackageError, quote_value
from pixelwise.images.budget import require_budget
from pixelwise.images.containers import list_inner, split_inner
from pixelwise.images.damage import explaining_damage
from pixelwise.images.multiscales import parse_dimension_names
from pixelwise.images.reader import Header, Palette, Region, RegionReader
from pixelwise.parsing import parse_json

Array = npt.NDArray[Any]

_MOST_STEPS: Final = 64
"""Names in the path of a data set, including those that links add."""
_LEAST_SIDE: Final = 5
"""An array whose second-longest axis is shorter is a table, not an image."""
_COPY: Final = (
    "python -c \"import h5py; h5py.File('copy.h5', 'w')['data'] = h5py.File('FILE')['NAME'][:]\""
)


def read_header(path: Path, palette: Palette) -> Header:  # noqa: ARG001  the Reader protocol
    """Shape, dtype, axes and calibration of a data set."""
    with _opening(path) as data, explaining_damage(path):
        axes = _name_axes(data)
        dtype = np.dtype("uint8") if data.dtype == bool else data.dtype.newbyteorder("=")
        calibration = _read_calibration(data, axes.names)
        return Header(data.shape, dtype, axes, calibration, notes=_describe(path, data))


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:  # noqa: ARG001
    """Read all pixels."""
    with _opening(path) as data, explaining_damage(path):
        return _read(data, (slice(None),) * data.ndim), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Yield a function that reads only the chunks a region touches."""
    with _opening(path) as data:

        def read(region: Region) -> Array:
            with explaining_damage(path):
                return _read(data, region)

        yield read


def _read(data: h5py.Dataset, region: Region) -> Array:
    """Read a region in the byte order of this machine; bool becomes 0 and 1."""
    pixels = np.asarray(data[region])
    dtype = np.dtype("uint8") if pixels.dtype == bool else pixels.dtype.newbyteorder("=")
    return pixels.astype(dtype, copy=False)


@contextmanager
def _opening(path: Path) -> Iterator[h5py.Dataset]:
    """Open the data set that a path names, or the only one that looks like an image."""
    file, inner = split_inner(path)
    with ExitStack() as stack:
        with explaining_damage(file):
            opened = stack.enter_context(h5py.File(file, "r", locking="best-effort"))
            if inner:
                _require_own_links(file, opened, inner)
            data = opened.get(inner) if inner else _find_only(file, opened)
            if not isinstance(data, h5py.Dataset):
                found = _list_images(opened)
                names = list_inner(file, found) if found else "none that looks like an image"
                raise DataError(f"{file} has no data set {quote_value(inner)}. It has: {names}.")
            _require_own_pixels(file, data)
            _require_filters(file, data)
        yield data


def _find_only(file: Path, opened: h5py.File) -> h5py.Dataset:
    """Find the only data set that looks like an image; several, or none, are refused."""
    names = _list_images(opened)
    if len(names) != 1:
        advice = f"name one by its path: {list_inner(file, names)}" if names else "check the file"
        count = len(names) or "none"
        raise DataError(
            f"Expected one data set that looks like an image in {file}, found {count}; {advice}. "
            "Training data must have one image per file."
        )
    return opened[names[0]]


def _list_images(opened: h5py.File) -> list[str]:
    """Paths of the data sets that look like images: numeric, with two axes longer than 4."""
    names: list[str] = []

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "uifb" and item.shape is not None:
            sides = sorted(item.shape)[-2:]
            if 2 <= item.ndim <= len(AXES) and sides[0] >= _LEAST_SIDE:
                names.append(name)

    opened.visititems(look)
    return names


def _require_own_links(file: Path, opened: h5py.File, inner: str) -> None:
    """Raise `DataError` if a path in a file follows links to another file, or in a circle."""
    parts, done = inner.split("/"), ""
    for _ in range(_MOST_STEPS):
        if not parts:
            return
        done = f"{done}/{parts.pop(0)}"
        link = opened.get(done, getlink=True)
        if isinstance(link, h5py.SoftLink):
            start = "" if link.path.startswith("/") else done.rpartition("/")[0]
            parts, done = [*f"{start}/{link.path}".split("/"), *parts], ""
            parts = [part for part in parts if part]
        if isinstance(link, h5py.ExternalLink):
            break
    raise DataError(
        f"{quote_value(inner)} in {file} is a link to another file, or to nothing. Name the "
        "data set in the "
        "file that holds it."
    )


def _require_own_pixels(file: Path, data: h5py.Dataset) -> None:
    """Raise if pixels are in other files: HDF5 returns zeros for missing ones."""
    if data.is_virtual or data.external:
        command = _COPY.replace("FILE", str(file)).replace("NAME", str(data.name).strip("/"))
        raise DataError(
            f"The pixels of {data.name} in {file} are in other files. Copy them into one, in a "
            f"folder with all these files: {command}"
        )
    if data.shape is None:
        raise DataError(f"{data.name} in {file} is empty: it holds no pixels.")
    if data.chunks:
        require_budget(file, data.chunks, dtype=data.dtype, budget_bytes=None)


def _require_filters(file: Path, data: h5py.Dataset) -> None:
    """Raise if the pixels need a compression filter that is not installed."""
    plist = data.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    missing = [item for item in filters if not h5py.h5z.filter_avail(item[0])]
    if not missing:
        return
    try:
        import_module("hdf5plugin")
    except ImportError:
        name = missing[0][3].decode(errors="replace") or f"number {missing[0][0]}"
        raise MissingPackageError(
            f"{data.name} in {file} is compressed by {name}, which is not part of HDF5. "
            "Type: pip install hdf5plugin"
        ) from None


def _name_axes(data: h5py.Dataset) -> NamedAxes:
    """Axes of a data set: ilastik's and vigra's axistags, dimension labels, or a guess."""
    tags = data.attrs.get("axistags")
    if tags is not None:
        keys = [axis.get("key", "?") for axis in parse_json(str(tags), "axistags").get("axes", ())]
        letters = parse_dimension_names(keys)
        if letters is not None and len(letters) == data.ndim:
            return NamedAxes(letters, "axistags of ilastik")
    letters = parse_dimension_names([dimension.label for dimension in data.dims])
    if letters is not None:
        return NamedAxes(letters, "dimension labels")
    return guess_axes(data.shape)


def _read_calibration(data: h5py.Dataset, axes: str) -> Calibration | None:
    """Pixel size in micrometres along Z, Y and X, as ImageJ's HDF5 plugin and PlantSeg write it."""
    sizes = np.atleast_1d(data.attrs.get("element_size_um", ()))
    if sizes.shape != (3,) or not (np.isfinite(sizes).all() and (sizes > 0).all()):
        return None
    found = dict(zip("ZYX", map(float, sizes), strict=True))
    units = ["micrometer" if letter in found else None for letter in axes]
    return Calibration.create([found.get(letter, 1.0) for letter in axes], units)


def _describe(path: Path, data: h5py.Dataset) -> tuple[str, ...]:
    """Note which of several data sets was read, unless one was named, and blank chunks."""
    sets: list[str] = []
    data.file.visititems(lambda name, x: sets.append(name) if isinstance(x, h5py.Dataset) else None)
    is_chosen = len(sets) > 1 and not split_inner(path)[1]
    notes = (f"the data set {data.name} was read, the only image of {len(sets)}",) * is_chosen
    if data.chunks is None:
        gap = data.id.get_storage_size() == 0
        return (*notes, "no pixel was ever written: all were read as blank") if gap else notes
    total = prod(ceil(n / side) for n, side in zip(data.shape, data.chunks, strict=True))
    missing = total - data.id.get_num_chunks()
    if missing > 0:
        notes = (*notes, f"{missing} of {total} chunks were never written and were read as blank")
    return notes
