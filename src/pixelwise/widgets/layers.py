"""Between napari's layers and the engine: axes, files for child processes, labels with classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import create_array
from pixelwise.axes import AXES, NamedAxes, guess_axes, label_axes, parse_axes
from pixelwise.classes import VOID, SegmentationClass
from pixelwise.errors import DataError, PixelwiseError
from pixelwise.images import open_image, write_tiff

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer

Array = npt.NDArray[Any]

CLASS_COLUMN = "class"
"""Column of a Labels layer's features that names the classes; napari's status bar shows it."""

AXES_KEY = "pixelwise axes"
"""Key in a layer's metadata: its axes, set by this plugin or the user."""

SPARSE = "pixelwise sparse"
"""Key in a labels layer's metadata: whether 0 means 'not annotated'."""

PREDICTED = "pixelwise prediction"
"""Key in a labels layer's metadata: a network made it, and nobody has accepted it as truth."""

PARTIAL = "pixelwise partial"
"""Key in a prediction's metadata: it was cancelled; what was not computed is void, or NaN."""

SOURCE = "pixelwise source"
"""Key in a prediction's metadata: name of the image layer that it was made from."""

MODEL = "model"
"""Key in a prediction's metadata, and in that of its corrections: file of the model."""

FILE = "pixelwise file"
"""Key in an image's metadata: its file, where napari does not know it."""

PREVIEW = "pixelwise preview"
"""Key in the metadata of preview layers, which are no input for other widgets."""


def connect_layers(viewer: napari.Viewer, act: Callable[..., None]) -> None:
    """Call a method whenever a layer is added, removed or renamed, as long as its object lives."""
    events = viewer.layers.events
    events.inserted.connect(act)
    events.removed.connect(act)
    if hasattr(events, "renamed"):
        events.renamed.connect(act)
        return

    method = WeakMethod(act)

    def hear_name(event: Any) -> None:  # napari 0.6
        if (known := method()) is not None:
            event.value.events.name.connect(known)

    for layer in viewer.layers:
        layer.events.name.connect(act)
    events.inserted.connect(hear_name)


def find_layers(viewer: napari.Viewer, kind: str) -> list[Any]:
    """Layers of one kind ("image", "labels"), in the viewer's order, without previews."""
    return [x for x in viewer.layers if x._type_string == kind and PREVIEW not in x.metadata]


def find_truth(viewer: napari.Viewer) -> list[Labels]:
    """Labels layers that somebody drew, opened or accepted: all but predictions."""
    return [x for x in find_layers(viewer, "labels") if not x.metadata.get(PREDICTED)]


def read_axes(layer: Layer, given: str = "") -> NamedAxes:
    """Find the axes of a layer: as given, from metadata or axis labels, or guessed from its shape.

    Raises
    ------
    DataError
        The layer has fewer than 2 or more than 5 dimensions, or the given axes do not fit it.
    """
    if text := given.strip():
        return NamedAxes(parse_axes(text, layer_array(layer).ndim), "as given")
    if known := layer.metadata.get(AXES_KEY):
        return NamedAxes(parse_axes(known, layer_array(layer).ndim), "metadata of the layer")
    labels = [str(label).upper() for label in getattr(layer, "axis_labels", ())]
    color = "C" if getattr(layer, "rgb", False) else ""
    named = "".join(labels) + color
    if all(len(label) == 1 and label in AXES for label in labels) and labels:
        return NamedAxes(parse_axes(named, len(named)), "axis labels of the layer")
    shape = tuple(layer_array(layer).shape)
    if color:
        plain = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(len(shape) - 1)
        if plain is None:
            raise DataError(f"{layer.name} has shape {shape}: expected up to TZYX with colours.")
        return NamedAxes(plain + color, "RGB layer")
    guess = guess_axes(shape)
    if guess.names == "YXC" and shape[-1] > 1:  # napari shows it as X unless the layer is RGB
        return NamedAxes("ZYX", "guessed from the shape")
    return guess.require("in the field Axes:")


def layer_array(layer: Layer) -> Any:
    """Array of a layer, the largest level of a multiscale one; it may be lazy."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def find_file(layer: Layer) -> Path | None:
    """File that holds exactly the layer's pixels, if the engine can open it."""
    path = getattr(layer.source, "path", None)
    if path is None or layer.source.reader_plugin is None:
        return None
    try:
        source = open_image(Path(path))
    except (PixelwiseError, OSError):
        return None
    array = layer_array(layer)
    same = source.shape == tuple(array.shape) and source.dtype == array.dtype
    same = same and not source.notes  # e.g. rotated: not what the layer shows
    lazy = not isinstance(array, np.ndarray)  # an array in memory may have been changed
    return source.path if same and lazy else None


def save_array(array: Any, path: Path) -> None:
    """Write an array, lazy or not, as a NumPy file, in slices of its first axis.

    Raises
    ------
    WriteError
        The disk is full.
    """
    if not array.ndim or not array.size:
        np.save(path, np.asarray(array))
        return
    out = create_array(path, dtype=array.dtype, shape=tuple(array.shape))
    rows = 1 if array.ndim > 2 else 1024
    for start in range(0, array.shape[0], rows):
        out[start : start + rows] = np.asarray(array[start : start + rows])


def pair_layers(images: Sequence[Image], labels: Sequence[Labels]) -> list[tuple[Image, Labels]]:
    """Pair images with labels: those drawn on it, else by name, else the only one that fits."""
    pairs: dict[int, Labels] = {}
    free = list(labels)
    for image in images:
        stem = _stem(image.name)
        fitting = [item for item in free if _fits(image, item)]
        named = [item for item in fitting if item.metadata.get(SOURCE) == image.name]
        named += [item for item in fitting if _stem(item.name) == stem]
        if named:
            pairs[id(image)] = named[0]
            free.remove(named[0])
    for image in images:
        fitting = [item for item in free if _fits(image, item)]
        if id(image) not in pairs and len(fitting) == 1:
            pairs[id(image)] = fitting[0]
            free.remove(fitting[0])
    return [(image, pairs[id(image)]) for image in images if id(image) in pairs]


def _stem(name: str) -> str:
    """Name of a layer without what says that it holds labels."""
    words = r"masks?|labels?|annotations?|corrections?|gt|truth|seg\w*"
    return re.sub(rf"[\s_\-]*({words})$", "", name, flags=re.IGNORECASE)


def _fits(image: Image, labels: Labels) -> bool:
    return image_shape(image) == tuple(layer_array(labels).shape)


def image_shape(layer: Layer, axes: str = "") -> tuple[int, ...]:
    """Shape that labels of an image must have: its own, without colours or channels."""
    try:
        axes = axes or read_axes(layer).names
    except DataError:
        return ()
    shape = layer_array(layer).shape
    return tuple(n for letter, n in zip(axes, shape, strict=True) if letter != "C")


def write_pair(
    image: Image, labels: Labels, folder: Path, *, name: str, axes: str, as_sparse: bool = False
) -> None:
    """Write an image and its labels as TIFF into `folder`/images and `folder`/masks.

    `as_sparse` writes the classes of labels without gaps from 1 on: 0 means "not annotated".

    Raises
    ------
    DataError
        The labels have another shape than the image.
    WriteError
        The folder cannot be written.
    """
    pixels, mask = np.asarray(layer_array(image)), np.asarray(layer_array(labels))
    wanted = tuple(n for letter, n in zip(axes, pixels.shape, strict=True) if letter != "C")
    if mask.shape != wanted:
        raise DataError(
            f"{labels.name} has shape {mask.shape}, {image.name} needs labels of shape {wanted}: "
            "choose labels that were drawn on this image."
        )
    save_pair(pixels, make_sparse(mask) if as_sparse else mask, folder, name=name, axes=axes)


def make_sparse(mask: Array) -> Array:
    """Write the classes of a mask without gaps from 1 on, where 0 means "not annotated"."""
    return np.where(mask == VOID, 0, mask.astype(np.int64) + 1)


def save_pair(pixels: Array, mask: Array, folder: Path, *, name: str, axes: str) -> None:
    """Write an image and its mask as TIFF into `folder`/images and `folder`/masks.

    Raises
    ------
    WriteError
        The folder cannot be written.
    """
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_tiff(folder / "images" / f"{name}.tif", pixels, axes=axes, compression=None)
    top = int(mask.max(initial=0))
    dtype = np.uint8 if top <= VOID else np.uint16 if top < 2**16 else np.uint32
    masks = folder / "masks" / f"{name}.tif"
    write_tiff(masks, mask.astype(dtype), axes=label_axes(axes))


def name_files(layers: Iterable[Layer]) -> list[str]:
    """One file name for each layer, without a suffix, all different."""
    names: list[str] = []
    for layer in layers:
        stem = re.sub(r"[^\w\-]+", "_", layer.name).strip("_") or "image"
        names.append(stem if stem not in names else f"{stem}_{len(names)}")
    return names


def read_classes(layers: Iterable[Labels]) -> dict[str, str]:
    """Names of the classes of labels layers by value; empty if no layer names them."""
    names: dict[str, str] = {}
    for layer in layers:
        features = layer.features
        if {"index", CLASS_COLUMN} <= set(features.columns):
            rows = zip(features["index"], features[CLASS_COLUMN], strict=True)
            names |= {str(int(index)): str(name) for index, name in rows}
    return names


def color_labels(layer: Labels, classes: Sequence[SegmentationClass], first: int = 0) -> None:
    """Give a labels layer names and colours, see `create_look`."""
    look = create_look(classes, first)
    layer.colormap, layer.features = look["colormap"], look["features"]


def create_look(classes: Sequence[SegmentationClass], first: int = 0) -> dict[str, Any]:
    """Names and colours for a labels layer; class i has value `first` + i; black is transparent."""
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, Any] = {None: (0.5, 0.5, 0.5, 1.0), 0: (0.0, 0.0, 0.0, 0.0)}
    for index, item in enumerate(classes):
        clear = item.color == "#000000"
        colors[first + index] = (*(c / 255 for c in item.rgb), 0.0 if clear else 1.0)
    return {
        "colormap": DirectLabelColormap(color_dict=colors),
        "features": {
            "index": [first + i for i in range(len(classes))],
            CLASS_COLUMN: [item.name for item in classes],
        },
    }


def clear_void(layer: Layer) -> None:
    """Let void be seen through; only in labels whose classes have colours of their own."""
    from napari.utils.colormaps import DirectLabelColormap

    colors = getattr(layer.colormap, "color_dict", None)
    if colors is not None:
        clear = dict(colors) | {VOID: (0.0, 0.0, 0.0, 0.0)}
        layer.colormap = DirectLabelColormap(color_dict=clear)


def avoid_black(classes: Iterable[SegmentationClass]) -> tuple[SegmentationClass, ...]:
    """Give classes grey in the place of black, which would not be seen when drawn."""
    return tuple(
        item.model_copy(update={"color": "#8c8c8c"}) if item.color == "#000000" else item
        for item in classes
    )


def placement(layer: Layer, axes: str, kept: str) -> dict[str, Any]:
    """Scale, translation, rotation, shear and units for a result with the axes `kept`.

    Axes that the layer lacks, such as one for the classes, get a scale of 1.

    Parameters
    ----------
    layer : Layer
        What the result was made from.
    axes : str
        Axes of the layer's data.
    kept : str
        Axes of the result.
    """
    own = axes[:-1] if getattr(layer, "rgb", False) else axes
    count = len(kept)
    places = {i: own.index(x) for i, x in enumerate(kept) if x in own and x != "C"}
    to, fro = list(places), list(places.values())
    scale, translate, rotate = np.ones(count), np.zeros(count), np.eye(count)
    scale[to], translate[to] = np.asarray(layer.scale)[fro], np.asarray(layer.translate)[fro]
    rotate[np.ix_(to, to)] = np.asarray(layer.rotate)[np.ix_(fro, fro)]
    units = tuple(layer.units[places[i]] if i in places else "pixel" for i in range(count))
    transform = {"scale": scale, "translate": translate, "rotate": rotate, "units": units}
    if kept == own:
        transform["shear"] = np.asarray(layer.shear)
    return transform


def add_result(
    viewer: napari.Viewer,
    data: Array,
    *,
    name: str,
    where: dict[str, Any],
    classes: Sequence[SegmentationClass] | None,
    metadata: dict[str, Any] | None = None,
) -> Layer:
    """Add labels (or probabilities, if of floats) at a `placement`.

    `classes` None keeps napari's own colours.
    """
    if data.dtype.kind == "f":
        return viewer.add_image(
            data,
            name=name,
            contrast_limits=(0, 1),
            colormap="magma",
            rgb=False,
            metadata=metadata,
            **where,
        )
    layer = viewer.add_labels(data, name=name, metadata=metadata, **where)
    if classes is not None:
        color_labels(layer, classes)
    return layer


def remove_layers(viewer: napari.Viewer, layers: Iterable[Layer]) -> None:
    """Remove layers that are still in the viewer."""
    for layer in layers:
        if layer in viewer.layers:
            viewer.layers.remove(layer)
