"""What was corrected in a window: found, and saved as images with sparse masks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from pixelwise.atomic import list_folder
from pixelwise.cards import Card
from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.pairs import find_pairs
from pixelwise.datasets.layouts.words import cut_suffix
from pixelwise.errors import DataError
from pixelwise.images import read_image
from pixelwise.widgets.layers import (
    MODEL,
    PREDICTED,
    SOURCE,
    SPARSE,
    Array,
    find_layers,
    image_shape,
    layer_array,
    make_sparse,
    name_files,
    read_axes,
    read_classes,
    save_pair,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

_NOTHING = (
    "Nothing is corrected yet: press Correct and paint over what is wrong, or press Accept where "
    "all is right."
)


@dataclass(frozen=True)
class CorrectedImage:
    """An image, and all that was corrected on it.

    Attributes
    ----------
    image : Image
    axes : str
        Axes of the image.
    layers : list of Labels
        Accepted labels first, so that what was painted lies on top.
    """

    image: Image
    axes: str
    layers: list[Labels] = field(default_factory=list)

    def read_check(self) -> str:
        """Checksum of the pixels: the image is known by it again, whatever its layer is called."""
        pixels = np.ascontiguousarray(layer_array(self.image))
        return f"{crc32(pixels.data):08x}"

    def save(self, folder: Path, name: str, beneath: Sequence[Array] = ()) -> None:
        """Write the image and its mask, with the masks of earlier rounds `beneath` the layers."""
        mask = np.zeros(image_shape(self.image, self.axes), np.uint8)
        for painted in (*beneath, *map(_read_sparse, self.layers)):
            mask = np.where(painted > 0, painted, mask)
        save_pair(np.asarray(layer_array(self.image)), mask, folder, name=name, axes=self.axes)


def _read_sparse(layer: Labels) -> Array:
    """Read the classes of a layer, from 1 on; 0 is not annotated."""
    pixels = np.asarray(layer_array(layer))
    return pixels if layer.metadata.get(SPARSE) else make_sparse(pixels)


def find_corrections(viewer: napari.Viewer, card: Card, given: str = "") -> list[CorrectedImage]:
    """Find the images with corrections in the classes of a model; `given` are axes, if any.

    Raises
    ------
    DataError
        There are none, or an image is not open any more.
    """
    images = {layer.name: layer for layer in find_layers(viewer, "image")}
    found: dict[str, CorrectedImage] = {}
    for layer in list_corrected(viewer):
        if list(read_classes([layer]).values()) != list(card.class_names):
            continue
        if layer.metadata.get(SPARSE) and not np.any(layer_array(layer)):
            continue
        name = layer.metadata[SOURCE]
        if name not in images:
            raise DataError(
                f"The image {name} of {layer.name} is not open any more: open it again under this "
                f"name, or remove {layer.name}."
            )
        image = images[name]
        axes = read_axes(image, given).names
        if image_shape(image, axes) != tuple(layer_array(layer).shape):
            raise DataError(
                f"{layer.name} does not have the shape of {name}: remove {layer.name}, and predict "
                "and correct the image again."
            )
        found.setdefault(name, CorrectedImage(image, axes)).layers.append(layer)
    if not found:
        raise DataError(_NOTHING)
    for item in found.values():
        item.layers.sort(key=lambda layer: bool(layer.metadata.get(SPARSE)))
    return list(found.values())


def list_corrected(viewer: napari.Viewer) -> list[Labels]:
    """Layers with corrections of a prediction, and predictions that were accepted."""
    keys = {SOURCE, MODEL}
    layers = find_layers(viewer, "labels")
    return [x for x in layers if keys <= set(x.metadata) and not x.metadata.get(PREDICTED)]


def save_corrections(
    corrected: Sequence[CorrectedImage], folder: Path, earlier: Path | None
) -> None:
    """Write the corrections, on top of those of an earlier round, and copy what was not touched.

    What was corrected earlier on the same pixels stays until something else is painted there.

    Raises
    ------
    DataError
        It is unclear which mask of the earlier round belongs to which image.
    """
    pairs = _list_pairs(earlier)
    left = list(pairs)
    names = name_files(item.image for item in corrected)
    for item, name in zip(corrected, names, strict=True):
        check, shape, beneath = item.read_check(), image_shape(item.image, item.axes), []
        for pair in [pair for pair in pairs if pair.check == check]:
            masks = [read_image(path)[0] for path in pair.masks]
            if all(mask.shape == shape for mask in masks):
                beneath += masks
                left = [other for other in left if other != pair]
        item.save(folder, f"{name}-{check}", beneath)
    for pair in left:
        pair.copy(folder)


@dataclass(frozen=True)
class _Pair:
    """An image that was corrected in an earlier round, and its masks, usually one.

    `place` is that of the image in its folder. The names of masks may differ from the image's.
    """

    image: Path
    masks: tuple[Path, ...]
    place: Path

    @property
    def check(self) -> str:
        """Checksum at the end of the image's name."""
        return self.image.stem.rpartition("-")[2]

    def copy(self, folder: Path) -> None:
        """Copy all; a single mask gets the name of the image."""
        _copy(self.image, folder / "images" / self.place)
        for mask in self.masks:
            name = f"{cut_suffix(self.image.name)}{mask.suffix}"
            name = name if len(self.masks) == 1 else mask.name
            _copy(mask, folder / "masks" / self.place.with_name(name))


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


def _list_pairs(folder: Path | None) -> list[_Pair]:
    """List the images of an earlier round as training does; none if the folder is gone."""
    if folder is None or not list_folder(folder / "images"):
        return []
    asked = DataConfig.create(path=folder, layout="pairs", images="images", masks="masks")
    found = find_pairs(asked)
    return [
        _Pair(image, masks, image.relative_to(folder / "images"))
        for image, masks in (() if found is None else found.pairs)
    ]
