"""Preview layers of a training run: input, ground truth and prediction, updated in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from pixelwise.cards import read_card
from pixelwise.classes import SegmentationClass, create_classes
from pixelwise.errors import PixelwiseError
from pixelwise.figures import to_rgb8
from pixelwise.images import read_image
from pixelwise.runs import RunFolder
from pixelwise.widgets.layers import PREVIEW, color_labels
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

_GAP_PX = 20
_EMPTY = (2, 16, 16)  # two planes, so that napari has a slider at once
_STEP_MS = 40
NAMES = ("preview input", "preview truth", "preview prediction")
Preview = tuple[list[Any], tuple[SegmentationClass, ...]]


class PreviewLayers(QObject):
    """Three layers with one slider over the preview images; deleted layers are not restored.

    The layers are added, empty, when a run begins, because adding one blocks napari for 0.1 to
    0.2 s. Later only their data change, one layer at a time.
    """

    def __init__(self, viewer: napari.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: dict[str, Layer] = {}
        self._run: RunFolder | None = None
        self._is_empty = True
        self._is_over = False  # the run has ended
        self._reading = False
        self._again = False  # new previews were written meanwhile
        self._steps: deque[Callable[[], None]] = deque()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._do_step)

    def begin(self, run: RunFolder) -> None:
        """Add empty layers, replacing those of the last run."""
        self.remove()
        self._run = run
        selection = self._viewer.layers.selection
        chosen, active = set(selection), selection.active
        dims, camera = self._viewer.dims, getattr(self._viewer, "scene", self._viewer).camera
        is_first = not self._viewer.layers  # then napari chooses the view
        view, count, point = (camera.center, camera.zoom, camera.angles), dims.ndim, dims.point
        self._add_empty()
        if not is_first:
            dims.set_point(range(dims.ndim - count, dims.ndim), point)
            camera.center, camera.zoom, camera.angles = view
        selection.clear()
        selection.update(chosen)
        selection.active = active  # a user who is painting keeps the layer

    @property
    def is_done(self) -> bool:
        """Whether all requested previews are shown."""
        return not (self._reading or self._again or self._steps)

    def leave(self) -> None:
        """Stop updating the layers: the followed run shows no previews."""
        self._run, self._again = None, False
        self._steps.clear()

    def _add_empty(self) -> None:
        image, labels = np.zeros((*_EMPTY, 3), np.uint8), np.zeros(_EMPTY, np.uint8)
        common: dict[str, Any] = {"metadata": {PREVIEW: True}, **self._place(_EMPTY)}
        self._layers[NAMES[0]] = self._viewer.add_image(image, name=NAMES[0], rgb=True, **common)
        for name in NAMES[1:]:
            layer = self._viewer.add_labels(labels, name=name, opacity=0.5, **common)
            color_labels(layer, create_classes(["background", "class 1"]))
            layer.visible = name == NAMES[2]
            self._layers[name] = layer

    def remove(self, *, only_empty: bool = False) -> None:
        """Remove the layers, or only those that never showed a preview."""
        self._is_over = only_empty
        if only_empty and (self._reading or not self._is_empty):
            return
        self._steps.clear()
        for layer in self._layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._layers, self._run, self._is_empty, self._again = {}, None, True, False

    def show(self, run: RunFolder) -> None:
        """Show the newest previews of a run, once the earlier ones are shown."""
        if run != self._run:
            return
        self._again = self._reading or bool(self._steps)
        if not self._again:
            self._reading = True
            run_in_thread(
                partial(_read, run), self, then=partial(self._plan, run), failed=self._skip
            )

    def _skip(self, _: Exception) -> None:
        self._reading = False
        self._continue()

    def _continue(self) -> None:
        """Show previews written meanwhile; after the end, remove empty layers."""
        if self._again and self._run is not None:
            self.show(self._run)
        elif self._is_over:
            self.remove(only_empty=True)

    def _plan(self, run: RunFolder, preview: Preview) -> None:
        """Queue one step for each layer."""
        self._reading = False
        if run != self._run:  # another run has begun meanwhile
            self._continue()
            return
        arrays, classes = preview
        for name, array in zip(NAMES, arrays, strict=True):
            self._steps.append(partial(self._update, name, array))
        if self._is_empty:
            for name, array in zip(NAMES, arrays, strict=True):
                self._steps.append(partial(self._arrange, name, array.shape, classes))
        self._is_empty = False
        self._timer.start(_STEP_MS)

    def _do_step(self) -> None:
        if self._steps:
            self._steps.popleft()()
        else:
            self._timer.stop()
            self._continue()

    def _update(self, name: str, array: Any) -> None:
        layer = self._layers.get(name)
        if layer is not None and layer in self._viewer.layers:
            layer.data = array

    def _arrange(
        self, name: str, shape: tuple[int, ...], classes: tuple[SegmentationClass, ...]
    ) -> None:
        """Set the place and the colours of a layer."""
        layer = self._layers.get(name)
        if layer is None or layer not in self._viewer.layers:
            return
        for name_of_part, value in self._place(shape).items():
            setattr(layer, name_of_part, value)
        if name != NAMES[0]:
            color_labels(layer, classes)

    def _place(self, shape: tuple[int, ...]) -> dict[str, tuple[float, float, float]]:
        """Find a place to the left of all other layers, with pixels as large as theirs."""
        others = [x for x in self._viewer.layers if PREVIEW not in x.metadata]
        if not others:
            return {"scale": (1.0, 1.0, 1.0), "translate": (0.0, 0.0, 0.0)}
        height, width = (float(x) for x in others[-1].scale[-2:])
        corners = [layer.extent.world[0] for layer in others]
        top = min(float(corner[-2]) for corner in corners)
        left = min(float(corner[-1]) for corner in corners)
        translate = (0.0, top, left - (shape[2] + _GAP_PX) * width)
        return {"scale": (1.0, height, width), "translate": translate}


def _read(run: RunFolder) -> Preview:
    """Images (N, Y, X, 3), truths and predictions (N, Y, X), and the classes.

    Raises
    ------
    PixelwiseError
        There is nothing to show yet.
    """
    count = len(list(run.previews.glob("prediction-*.tif")))
    if not count:
        raise PixelwiseError(f"There are no previews in {run.previews} yet.")
    stacks = [
        [read_image(run.previews / f"{part}-{number}.tif")[0] for number in range(count)]
        for part in ("image", "truth", "prediction")
    ]
    stacks[0] = [to_rgb8(image if image.ndim == 3 else image[None]) for image in stacks[0]]
    return [np.stack(stack) for stack in stacks], read_card(run.model).classes
