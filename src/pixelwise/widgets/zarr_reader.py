"""Reader for OME-Zarr labels, with the names and colours of their classes.

Other Zarrs are left to napari's own reader and to other plugins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.axes import Calibration
from pixelwise.errors import PixelwiseError
from pixelwise.images import is_zarr, open_image
from pixelwise.images.multiscales import Multiscale, parse_multiscale
from pixelwise.images.zarr_metadata import read_node
from pixelwise.parsing import require_inner_path
from pixelwise.widgets.layers import AXES_KEY, CLASS_COLUMN, SPARSE
from pixelwise.widgets.readers import LayerData, Reader

MOST_BYTES = 2**29
"""Labels of up to this size are read into memory."""


def choose_zarr_reader(path: str | list[str]) -> Reader | None:
    """Reader for a folder of OME-Zarr labels; None for anything else."""
    if isinstance(path, list) or not is_zarr(Path(path)):
        return None
    try:
        open_image(path)
        attributes = read_node(Path(path)).attributes
        return read_labels if "image-label" in attributes.get("ome", attributes) else None
    except (PixelwiseError, OSError):
        return None


def read_labels(path: str | Path) -> list[LayerData]:
    """Read one layer, placed by its metadata.

    Labels of up to `MOST_BYTES` are loaded so that they can be edited: napari cannot paint on a
    multiscale layer, which larger ones become.
    """
    from dask.array import from_zarr

    attributes = read_node(Path(path)).attributes
    ome = attributes.get("ome", attributes)
    image = parse_multiscale(ome)
    names = [require_inner_path(level["path"]) for level in ome["multiscales"][0]["datasets"]]
    paths = [read_node(Path(path) / name).path for name in names]
    levels = [from_zarr(str(level)) for level in paths]
    options = {"name": Path(path).stem, **_color(ome["image-label"]), **_place(image)}
    options["metadata"] = {SPARSE: bool(attributes.get("pixelwise", {}).get("sparse"))}
    if image is not None and image.letters is not None:
        options["metadata"][AXES_KEY] = image.letters
    if levels[0].nbytes <= MOST_BYTES:
        return [(np.asarray(levels[0]), options, "labels")]
    return [(levels if len(levels) > 1 else levels[0], options, "labels")]


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


def _place(image: Multiscale | None) -> dict[str, Any]:
    """Axes, scale, translation and units of the layer."""
    if image is None or image.letters is None:
        return {}
    known = image.calibration or Calibration.create([1.0] * len(image.letters))
    return {
        "axis_labels": tuple(image.letters.lower()),
        "scale": known.scale,
        "translate": known.translation,
        "units": tuple(unit or "pixel" for unit in known.units),
    }
