"""OME-Zarr as layers: labels with the names and colours of their classes, images with their axes.

A plain Zarr array is an image too. Groups of other things are left to other plugins.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.axes import Calibration
from pixelwise.errors import PixelwiseError
from pixelwise.images import is_zarr
from pixelwise.images.multiscales import parse_multiscale
from pixelwise.images.zarr import open_array, read_header
from pixelwise.images.zarr_metadata import Node, read_node
from pixelwise.parsing import require_inner_path
from pixelwise.widgets.layers import AXES_KEY, CLASS_COLUMN, SPARSE
from pixelwise.widgets.readers import LayerData, Reader

MOST_BYTES = 2**29
"""Labels of up to this size are read into memory."""
_COLORS = (3, 4)


def choose_zarr_reader(path: str | list[str]) -> Reader | None:
    """Reader for a folder of OME-Zarr labels or an image, or of one array; None for others."""
    if isinstance(path, list) or not is_zarr(Path(path)):
        return None
    try:
        header = read_header(Path(path), "color")
        if len(header.shape) < 2 or 0 in header.shape or header.dtype.kind not in "uif":
            return None
        node = read_node(Path(path))
        is_labels = not node.is_array and "image-label" in _find_ome(node)
    except (PixelwiseError, OSError):
        return None
    return read_labels if is_labels else read_zarr_image


def read_labels(path: str | Path) -> list[LayerData]:
    """Read one layer, placed by its metadata.

    Labels of up to `MOST_BYTES` are loaded so that they can be edited: napari cannot paint on a
    multiscale layer, which larger ones become.
    """
    node = read_node(Path(path))
    ome = _find_ome(node)
    image = parse_multiscale(ome)
    levels = list(_iter_levels(node))
    options = {"name": Path(path).stem, **_color(ome["image-label"])}
    options["metadata"] = {SPARSE: bool(node.attributes.get("pixelwise", {}).get("sparse"))}
    if image is not None and image.letters is not None:
        known = image.calibration or Calibration.create([1.0] * len(image.letters))
        options |= _place(known, image.letters)
        options["metadata"][AXES_KEY] = image.letters
    if levels[0].nbytes <= MOST_BYTES:
        return [(np.asarray(levels[0]), options, "labels")]
    return [(levels if len(levels) > 1 else levels[0], options, "labels")]


def read_zarr_image(path: str | Path) -> list[LayerData]:
    """One lazy layer with all levels of an image, or with an array.

    Its axes are known only if the metadata name them: where they do not, each widget guesses, says
    so, or asks. Channels at the end that are colours, 3 or 4 of 8 bits, make an RGB layer.
    """
    header = read_header(Path(path), "color")
    levels = [
        level.astype(np.uint8) if level.dtype == bool else level
        for level in _iter_levels(read_node(Path(path)))
    ]
    axes = header.axes
    named = "" if axes.is_guess or axes.doubt else axes.names
    colors = not axes.doubt and axes.names.endswith("C") and header.shape[-1] in _COLORS
    rgb = colors and levels[0].dtype == np.uint8
    shown = len(header.shape) - rgb
    options: dict[str, Any] = {"name": Path(path).stem, "rgb": rgb}
    options["metadata"] = {AXES_KEY: named} if named else {}
    known = header.calibration or Calibration.create([1.0] * len(header.shape))
    options |= _place(known, named, shown=shown)
    options["multiscale"] = len(levels) > 1
    return [(levels if len(levels) > 1 else levels[0], options, "image")]


def _find_ome(node: Node) -> dict[str, Any]:
    """Metadata of OME-Zarr in a group: in their own object from version 0.5 on."""
    ome = node.attributes.get("ome", node.attributes)
    return ome if isinstance(ome, dict) else {}


def _iter_levels(node: Node) -> Iterator[Any]:
    """Give the levels of the first image in a group, or an array, as dask arrays.

    After the largest level, those are left out that cannot be read, or are not smaller than the one
    before: the image is whole without them.
    """
    from dask.array import from_zarr

    if node.is_array:
        yield from_zarr(open_array(node))
        return
    before: tuple[int, ...] | None = None
    for level in _find_ome(node)["multiscales"][0]["datasets"]:
        try:
            inner = read_node(node.path / require_inner_path(str(level["path"])))
            array = open_array(inner)
        except (PixelwiseError, OSError, ValueError, KeyError, TypeError):
            if before is None:
                raise
            return
        shape = tuple(array.shape)
        if before is not None and (len(shape) != len(before) or prod(shape) >= prod(before)):
            return
        before = shape
        yield from_zarr(array)


def _color(described: dict[str, Any]) -> dict[str, Any]:
    """Colours and class names, where they are given; numbered objects keep napari's colours."""
    from napari.utils.colormaps import DirectLabelColormap

    options: dict[str, Any] = {}
    if colors := described.get("colors"):
        shown: dict[int | None, Any] = {None: (0.5, 0.5, 0.5, 1.0), 0: (0.0, 0.0, 0.0, 0.0)}
        shown |= {item["label-value"]: [part / 255 for part in item["rgba"]] for item in colors}
        options["colormap"] = DirectLabelColormap(color_dict=shown)
    if names := [item for item in described.get("properties", ()) if "class" in item]:
        options["features"] = {
            "index": [item["label-value"] for item in names],
            CLASS_COLUMN: [item["class"] for item in names],
        }
    return options


def _place(known: Calibration, letters: str, *, shown: int | None = None) -> dict[str, Any]:
    """Scale, translation and units of the first `shown` axes of a layer, and their names."""
    places: dict[str, Any] = {
        "scale": known.scale[:shown],
        "translate": known.translation[:shown],
        "units": tuple(unit or "pixel" for unit in known.units[:shown]),
    }
    if letters:
        places["axis_labels"] = tuple(letters.lower()[:shown])
    return places
