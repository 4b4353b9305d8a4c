"""Previews of a running training as layers: input, truth and prediction, updated in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pixelwise.cards import read_card
from pixelwise.classes import SegmentationClass
from pixelwise.errors import PixelwiseError
from pixelwise.figures import to_rgb8
from pixelwise.images import read_image
from pixelwise.runs import RunFolder
from pixelwise.widgets.layers import PREVIEW, color_labels

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

_GAP_PX = 20
NAMES = ("preview input", "preview truth", "preview prediction")


class PreviewLayers:
    """Three layers with one slider over the preview images; a layer that is deleted stays away."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._run: RunFolder | None = None
        self._layers: dict[str, Layer] = {}

    def show(self, run: RunFolder) -> None:
        """Show what a run has written last; what is not there yet is left for the next epoch."""
        try:
            arrays = _read(run)
            classes = read_card(run.model).classes
        except (PixelwiseError, ValueError):
            return
        if self._run != run:
            self._run = run
            self._add(arrays, classes)
            return
        for name, array in zip(NAMES, arrays, strict=True):
            layer = self._layers[name]
            if layer in self._viewer.layers:
                layer.data = array

    def _add(self, arrays: tuple[Any, Any, Any], classes: tuple[SegmentationClass, ...]) -> None:
        """Put the layers of a new run in the place of the old ones."""
        for layer in self._layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        images, truths, predictions = arrays
        common: dict[str, Any] = {"metadata": {PREVIEW: True}, "translate": self._place(images)}
        labels: dict[str, Any] = {"opacity": 0.5, **common}
        self._layers = {
            NAMES[0]: self._viewer.add_image(images, name=NAMES[0], rgb=True, **common),
            NAMES[1]: self._viewer.add_labels(truths, name=NAMES[1], visible=False, **labels),
            NAMES[2]: self._viewer.add_labels(predictions, name=NAMES[2], **labels),
        }
        for name in NAMES[1:]:
            color_labels(self._layers[name], classes)

    def _place(self, images: Any) -> tuple[float, float, float]:
        """Find a place to the left of all layers, so that nothing lies under the previews."""
        if not len(self._viewer.layers):
            return (0.0, 0.0, 0.0)
        corner = self._viewer.layers.extent.world[0]
        return (0.0, float(corner[-2]), float(corner[-1] - images.shape[2] - _GAP_PX))


def _read(run: RunFolder) -> tuple[Any, Any, Any]:
    """Images (N, Y, X, 3), truths and predictions (N, Y, X)."""
    count = len(list(run.previews.glob("prediction-*.tif")))
    if not count:
        raise ValueError("no previews yet")
    stacks = [
        [read_image(run.previews / f"{part}-{number}.tif")[0] for number in range(count)]
        for part in ("image", "truth", "prediction")
    ]
    images = [to_rgb8(image if image.ndim == 3 else image[None]) for image in stacks[0]]
    return np.stack(images), np.stack(stacks[1]), np.stack(stacks[2])
