"""What napari opens and writes with this plugin: data sets, patch folders, models, labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.axes import Calibration
from pixelwise.cards import read_card
from pixelwise.classes import SegmentationClass, create_classes
from pixelwise.config import DataConfig
from pixelwise.datasets import Dataset, Sample, load_dataset
from pixelwise.datasets.layouts.patches import INDEX_NAME
from pixelwise.errors import PixelwiseError
from pixelwise.images import write_tiff, write_zarr
from pixelwise.widgets.layers import AXES_KEY, CLASS_COLUMN

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[LayerData]]

_NO_LAYER: Any = (None,)  # npe2's sign for "read, but there is no layer"
_MOST_IMAGES = 8  # pairs of layers that are opened of a data set; a list of hundreds helps nobody


def choose_reader(path: str | list[str]) -> Reader | None:
    """Reader for a folder of images and masks, or of patches; None for any other folder."""
    if isinstance(path, list):
        return None
    folder = _folder(path)
    try:
        load_dataset(DataConfig(path=folder), strict=False)
    except (PixelwiseError, OSError):
        return None
    return read_folder


def read_folder(path: str | Path) -> list[LayerData]:
    """Layers of a data set: patches as one stack, other layouts as pairs of image and labels."""
    data = load_dataset(DataConfig(path=_folder(path)), strict=False)
    if data.layout == "patches":
        return _read_patches(data)
    return [layer for sample in data.samples[:_MOST_IMAGES] for layer in read_pair(data, sample)]


def _folder(path: str | Path) -> Path:
    """Folder of a data set; of a patch folder, its index may be given."""
    return Path(path).parent if Path(path).name == INDEX_NAME else Path(path)


def choose_model_reader(path: str | list[str]) -> Reader | None:
    """Reader for a model file of this project; None for other safetensors files."""
    try:
        read_card(path if isinstance(path, str) else path[0])
    except (PixelwiseError, OSError):
        return None
    return open_model


def open_model(path: str | Path) -> list[LayerData]:
    """Open Predict on a model file; there is no layer to add."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        _, widget = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Predict")
        widget.model.value = Path(path)
    return [_NO_LAYER]


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write labels, or class probabilities, with their axes: as OME-Zarr (``.zarr``) or TIFF.

    Parameters
    ----------
    path : str
    data : array
    attributes : dict
        Of the layer, as its `as_layer_data_tuple` gives them.
    """
    pixels = np.asarray(data)
    if pixels.dtype.kind in "biu":
        pixels = pixels.astype(_smallest(pixels))
    axes = attributes.get("metadata", {}).get(AXES_KEY) or "TZYX"[-pixels.ndim :]
    known, scale = None, attributes.get("scale", ())
    if len(scale) == pixels.ndim:
        known = Calibration.create(scale, attributes.get("units"), attributes.get("translate"))
    if Path(path).suffix.lower() == ".zarr":
        write_zarr(path, pixels, axes=axes, classes=_list_classes(attributes), calibration=known)
    else:
        size = known.pixel_size_um(axes) if known is not None else None
        write_tiff(Path(path), pixels, axes=axes, pixel_size_um=size)
    return [path]


def _list_classes(attributes: dict[str, Any]) -> tuple[SegmentationClass, ...]:
    """Names and colours that a labels layer has for its values 0, 1, ...; none if they have gaps.

    The background, which is clear, is black.
    """
    features = attributes.get("features")
    if features is None or not {"index", CLASS_COLUMN} <= set(features):
        return ()
    names = dict(zip(features["index"], features[CLASS_COLUMN], strict=True))
    if sorted(names) != list(range(len(names))) or len(names) < 2:
        return ()
    shown = getattr(attributes.get("colormap"), "color_dict", {})
    colors = [shown.get(i, (0, 0, 0, 0)) for i in range(len(names))]
    codes = [
        "#000000" if color[3] == 0 else "#" + "".join(f"{round(255 * c):02x}" for c in color[:3])
        for color in colors
    ]
    return create_classes([str(names[i]) for i in range(len(names))], codes)


def _smallest(labels: Any) -> Any:
    if labels.min(initial=0) < 0:
        return labels.dtype
    return np.min_scalar_type(int(labels.max(initial=0)))


def _features(data: Dataset) -> dict[str, Any]:
    names = [item.name for item in data.classes]
    return {"index": list(range(len(names))), "class": names}


def read_pair(data: Dataset, sample: Sample) -> list[LayerData]:
    """Image and class labels of one sample."""
    planes, masks = sample.read_image(), sample.read_mask()
    rgb = planes.shape[1] == 3 and planes.dtype == np.uint8
    image = np.moveaxis(planes, 1, -1) if rgb else planes
    image = image[0] if len(image) == 1 else image
    image = image if rgb or planes.shape[1] > 1 else image.squeeze(-3)
    labels = masks[0] if len(masks) == 1 else masks
    if not rgb and planes.shape[1] > 1:
        labels = labels[..., None, :, :].repeat(1, axis=-3)
    return [
        (image, {"name": sample.name, "rgb": rgb}, "image"),
        (labels, {"name": f"{sample.name} mask", "features": _features(data)}, "labels"),
    ]


def _read_patches(data: Dataset) -> list[LayerData]:
    """All patches as one stack (N, Y, X) or (N, Y, X, 3), and their labels."""
    images = np.concatenate([sample.read_image() for sample in data.samples])
    masks = np.concatenate([sample.read_mask() for sample in data.samples])
    rgb = images.shape[1] == 3 and images.dtype == np.uint8
    shown = (
        np.moveaxis(images, 1, -1) if rgb else images.squeeze(1) if images.shape[1] == 1 else images
    )
    labels = masks if rgb or images.shape[1] == 1 else masks[:, None]
    name = data.root.name
    return [
        (shown, {"name": f"{name} patches", "rgb": rgb}, "image"),
        (labels, {"name": f"{name} masks", "features": _features(data)}, "labels"),
    ]
