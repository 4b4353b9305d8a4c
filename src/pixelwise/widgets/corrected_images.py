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
from pixelwise.errors import DataError
from pixelwise.widgets.layers import (
    MODEL,
    PREDICTED,
    SOURCE,
    SPARSE,
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

    def save(self, folder: Path, name: str) -> None:
        """Write the image and its mask; the name gets a checksum of the pixels.

        An image is known by it again in later rounds, whatever its layer is called.
        """
        pixels = np.asarray(layer_array(self.image))
        mask = np.zeros(image_shape(self.image, self.axes), np.uint8)
        for layer in self.layers:
            painted = np.asarray(layer_array(layer))
            if not layer.metadata.get(SPARSE):
                painted = make_sparse(painted)
            mask = np.where(painted > 0, painted, mask)
        check = crc32(np.ascontiguousarray(pixels).data)
        save_pair(pixels, mask, folder, name=f"{name}-{check:08x}", axes=self.axes)


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
    """Write the corrections, and copy those of other images from an earlier round."""
    names = name_files(item.image for item in corrected)
    for item, name in zip(corrected, names, strict=True):
        item.save(folder, name)
    if earlier is None:
        return
    known = {_read_check(path) for path in list_folder(folder / "images")}
    for path in list_folder(earlier / "images"):
        if _read_check(path) not in known:
            for part in ("images", "masks"):
                shutil.copy2(earlier / part / path.name, folder / part / path.name)


def _read_check(path: Path) -> str:
    """Checksum at the end of a file's name."""
    return path.stem.rpartition("-")[2]
