"""napari's readers and writer: data sets, patch folders, models, labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.axes import Calibration
from pixelwise.cards import read_card
from pixelwise.classes import SegmentationClass, create_classes, describe_classes
from pixelwise.config import DataConfig
from pixelwise.datasets import Dataset, KnownClasses, Sample, load_dataset, match_classes
from pixelwise.datasets.layouts.patches import INDEX_NAME
from pixelwise.errors import DataError, PixelwiseError
from pixelwise.images import write_tiff, write_zarr
from pixelwise.widgets.annotation_files import tell_saved
from pixelwise.widgets.layers import AXES_KEY, CLASS_COLUMN, SPARSE

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[LayerData]]

_NO_LAYER: Any = (None,)  # npe2's sign for "read, but there is no layer"
_MOST_BYTES = 2**28
"""Stacks of up to this size are read at once."""
_MOST_IMAGES = 8  # opened of a data set; hundreds of layers help nobody


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
    """Folder of a data set; `path` may also be the index of a patch folder."""
    return Path(path).parent if Path(path).name == INDEX_NAME else Path(path)


def choose_model_reader(path: str | list[str]) -> Reader | None:
    """Reader for a model file of this project; None for other safetensors files."""
    try:
        read_card(path if isinstance(path, str) else path[0])
    except (PixelwiseError, OSError):
        return None
    return open_model


def open_model(path: str | Path) -> list[LayerData]:
    """Open Predict with a model file; adds no layer."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        _, widget = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Predict")
        widget.model.value = Path(path)
    return [_NO_LAYER]


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write labels, or class probabilities, with their axes: as OME-Zarr (``.zarr``) or TIFF.

    Names and colours of classes, and whether 0 is 'not annotated', are written too.

    Parameters
    ----------
    path : str
    data : array or sequence of arrays
        Of a multiscale layer, the largest level is written.
    attributes : dict
        Of the layer, as its `as_layer_data_tuple` gives them.
    """
    pixels = np.asarray(data[0] if isinstance(data, Sequence) else data)
    if pixels.dtype.kind in "biu":
        pixels = pixels.astype(_smallest(pixels))
    metadata = attributes.get("metadata", {})
    axes = metadata.get(AXES_KEY) or "TZYX"[-pixels.ndim :]
    sparse = bool(metadata.get(SPARSE))
    classes = list_classes(attributes, first=int(sparse))
    known, scale = None, attributes.get("scale", ())
    if len(scale) == pixels.ndim:
        known = Calibration.create(scale, attributes.get("units"), attributes.get("translate"))
    if Path(path).suffix.lower() == ".zarr":
        write_zarr(path, pixels, axes=axes, classes=classes, calibration=known, sparse=sparse)
    else:
        size = known.pixel_size_um(axes) if known is not None else None
        notes = describe_classes(classes, sparse=sparse)
        write_tiff(Path(path), pixels, axes=axes, pixel_size_um=size, notes=notes)
    tell_saved(data)
    return [path]


def list_classes(attributes: dict[str, Any], first: int) -> tuple[SegmentationClass, ...]:
    """Names and colours of a labels layer's values from `first` on; none if they have gaps.

    Transparent values, such as the background, become black.
    """
    features = attributes.get("features")
    if features is None or not {"index", CLASS_COLUMN} <= set(features):
        return ()
    names = dict(zip(features["index"], features[CLASS_COLUMN], strict=True))
    values = range(first, first + len(names))
    if sorted(names) != list(values) or len(names) < 2:
        return ()
    shown = getattr(attributes.get("colormap"), "color_dict", {})
    colors = [shown.get(value, (0, 0, 0, 0)) for value in values]
    codes = [
        "#000000" if color[3] == 0 else "#" + "".join(f"{round(255 * c):02x}" for c in color[:3])
        for color in colors
    ]
    return create_classes([str(names[value]) for value in values], codes)


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
    plain = "YX" if len(masks) == 1 else "ZYX"
    axes = f"{plain}C" if rgb else plain.replace("YX", "CYX") if planes.shape[1] > 1 else plain
    known = {"metadata": {AXES_KEY: axes}}
    return [
        (image, {"name": sample.name, "rgb": rgb, **known}, "image"),
        (labels, {"name": f"{sample.name} mask", "features": _features(data)}, "labels"),
    ]


def read_known_pair(config: DataConfig, model: Path, name: str) -> list[LayerData]:
    """Read a sample of a data set by its name, with the classes of a model.

    Raises
    ------
    DataError
        There is no such sample any more.
    """
    card = read_card(model)
    known = KnownClasses(card.classes, card.background, card.mask_values)
    data = match_classes(load_dataset(config, strict=False), known)
    sample = next((sample for sample in data.samples if sample.name == name), None)
    if sample is None:
        raise DataError(f"{config.path} has no image called {name} any more.")
    return read_pair(data, sample)


def _read_patches(data: Dataset) -> list[LayerData]:
    """All patches as one stack (N, Y, X) or (N, Y, X, 3), and their labels."""
    images = _stack([sample.read_image for sample in data.samples])
    masks = _stack([sample.read_mask for sample in data.samples])
    rgb = images.shape[1] == 3 and images.dtype == np.uint8
    plain = images.shape[1] == 1
    shown = images.transpose(0, 2, 3, 1) if rgb else images[:, 0] if plain else images
    axes = "ZYXC" if rgb else "ZYX" if plain else "ZCYX"
    name = data.root.name
    known = {"metadata": {AXES_KEY: axes}}
    return [
        (shown, {"name": f"{name} patches", "rgb": rgb, **known}, "image"),
        (masks, {"name": f"{name} masks", "features": _features(data)}, "labels"),
    ]


def _stack(readers: Sequence[Callable[[], Any]]) -> Any:
    """Stack arrays (1, ...) of one shape; many are only read when they are shown."""
    first = readers[0]()
    if first.nbytes * len(readers) <= _MOST_BYTES:
        return np.concatenate([first, *(read() for read in readers[1:])])
    import dask
    import dask.array

    parts = [
        dask.array.from_delayed(dask.delayed(read)(), first.shape, first.dtype) for read in readers
    ]
    return dask.array.concatenate(parts)
