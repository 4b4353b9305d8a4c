"""The layers of a project's open image: the image, its strokes, and what corrects them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelwise.classes import SegmentationClass
from pixelwise.errors import DataError
from pixelwise.images import open_image
from pixelwise.widgets.layers import (
    AXES_KEY,
    FILE,
    SOURCE,
    SPARSE,
    Array,
    avoid_black,
    color_labels,
    find_truth,
    layer_array,
    make_sparse,
    placement,
    read_classes,
)
from pixelwise.widgets.tiff_reader import read_tiff_labels

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

_KEPT = "Nothing was written: save that layer under another name, then remove it."


def add_layers(
    viewer: napari.Viewer,
    image: Path,
    pixels: Array,
    *,
    axes: str,
    path: Path,
    classes: Sequence[SegmentationClass],
) -> Labels:
    """Add an image and its labels: from their file `path`, or empty ones in the given classes."""
    shown: Any = viewer.add_image(
        pixels,
        name=image.name,
        rgb=axes.endswith("C"),
        metadata={AXES_KEY: axes, FILE: str(image)},
    )
    plain, name = axes.replace("C", ""), f"{image.name} labels"
    where = placement(shown, axes, plain)
    if path.exists():
        data, options, _ = read_tiff_labels(path)[0]
        layer = viewer.add_labels(data, **options | where | {"name": name})
    else:
        shape = [n for n, letter in zip(pixels.shape, axes, strict=True) if letter != "C"]
        layer = viewer.add_labels(np.zeros(shape, np.uint8), name=name, **where)
        color_labels(layer, avoid_black(classes), first=1)
    known = {SPARSE: True, SOURCE: image.name, AXES_KEY: plain}
    layer.metadata = {**layer.metadata, **known}
    return layer


def close_layers(viewer: napari.Viewer, name: str) -> None:
    """Remove an image and all layers that were made from it."""
    for layer in [x for x in viewer.layers if name in (x.name, x.metadata.get(SOURCE))]:
        viewer.layers.remove(layer)


def list_additions(viewer: napari.Viewer, labels: Labels, name: str) -> list[Labels]:
    """Layers that add to the labels of an image, the lowest first: corrections, what was accepted.

    Predictions that nobody has accepted, and layers on which nothing is drawn, add nothing.
    """
    made = [x for x in find_truth(viewer) if x.metadata.get(SOURCE) == name and x != labels]
    return [x for x in made if not x.metadata.get(SPARSE) or np.any(layer_array(x))]


def read_pixels(path: Path) -> tuple[Array, str]:
    """Read pixels and axes; colours come last."""
    source = open_image(path)
    pixels, axes = source.read(), source.axes.names
    if axes.endswith("C") and pixels.shape[-1] != 3:
        pixels, axes = np.moveaxis(pixels, -1, 0), f"C{axes[:-1]}"
    return pixels, axes


def merge_strokes(labels: Labels, additions: Sequence[Labels]) -> Array:
    """Sparse strokes, with additions on top; a class is known by its name, whatever its value.

    Raises
    ------
    DataError
        An addition has a class that the labels do not name, or another shape.
    """
    pixels = np.asarray(layer_array(labels))
    for layer in additions:
        if tuple(layer_array(layer).shape) != pixels.shape:
            raise DataError(f"{layer.name} does not have the shape of {labels.name}. {_KEPT}")
        painted = _translate(layer, labels)
        pixels = np.where(painted > 0, painted, pixels)
    return pixels


def _translate(layer: Labels, labels: Labels) -> Array:
    """Write what is drawn on a layer in the values of sparse labels; by value if one has no names.

    Raises
    ------
    DataError
        A class that is drawn is not named by the labels.
    """
    is_sparse = bool(layer.metadata.get(SPARSE))
    drawn = np.asarray(layer_array(layer))
    drawn = drawn if is_sparse else make_sparse(drawn)
    names, own = read_classes([layer]), read_classes([labels])
    if not names or not own:
        return drawn
    values = {name: int(value) for value, name in own.items() if value != "0"}
    result = np.zeros(drawn.shape, np.min_scalar_type(max(values.values(), default=0)))
    for value in np.unique(drawn[drawn > 0]):
        name = names.get(str(int(value) - (not is_sparse)))
        if name not in values:
            what = f"value {value}" if name is None else f"class {name}"
            raise DataError(
                f"{layer.name} has the {what}, but {labels.name} has the classes "
                f"{', '.join(values)}. {_KEPT}"
            )
        result[drawn == value] = values[name]
    return result


def read_stamp(path: Path) -> int | None:
    """When a file was written, in ns; None if it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
