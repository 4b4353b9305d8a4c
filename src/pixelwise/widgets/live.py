"""Live labels: while strokes are drawn, a pixel classifier in the warm child labels the view.

Nothing here loads scikit-learn or torch. A job has its own temporary folder, which goes when the
job ends. Only one job runs; strokes that come meanwhile are looked at when it has ended.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QPushButton

from pixelwise.classes import VOID
from pixelwise.errors import DataError, PixelwiseError
from pixelwise.events import Event, JobEnded
from pixelwise.jobs import LiveJob
from pixelwise.pixel_classifier import FEW_CLASSES, has_classes
from pixelwise.widgets.connections import Connections
from pixelwise.widgets.corrections import accept_prediction
from pixelwise.widgets.jobs import get_server
from pixelwise.widgets.layers import (
    AXES_KEY,
    PREDICTED,
    SOURCE,
    SPARSE,
    Array,
    color_labels,
    find_layers,
    layer_array,
    pair_layers,
    placement,
    read_axes,
)
from pixelwise.widgets.panel import Panel, create_button, remove_folders
from pixelwise.widgets.readers import list_classes
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    from napari.layers import Image, Labels

_PAUSE_MS = 200  # without a change, until the strokes are taken
_SIDE = 1024  # pixels
_GRID = 256  # pixels; a small move of the view needs no new features
_OPACITY = 0.4


@dataclass(frozen=True)
class Region:
    """What is labelled: a part of one plane.

    Attributes
    ----------
    image : Image
    labels : Labels
        The strokes.
    axes : str
        Axes of the image.
    place : tuple of int or slice
        Index of the part in the strokes: a number for each axis before rows and columns.
    """

    image: Image
    labels: Labels
    axes: str
    place: tuple[int | slice, ...]

    def read_strokes(self) -> Array:
        """Read the strokes, (Y, X) of uint8; what cannot be a class is not annotated."""
        strokes = np.asarray(layer_array(self.labels)[self.place])
        return np.where((strokes > 0) & (strokes < VOID), strokes, 0).astype(np.uint8)

    def read_image(self) -> Array:
        """Read the pixels, (C, Y, X)."""
        places = iter(self.place)
        index = tuple(slice(None) if axis == "C" else next(places) for axis in self.axes)
        pixels = np.asarray(layer_array(self.image)[index])
        before = index[: self.axes.find("C")]  # a number takes its axis away
        channels = sum(isinstance(part, slice) for part in before)
        return np.moveaxis(pixels, channels, 0) if "C" in self.axes else pixels[None]


@dataclass(frozen=True)
class _Task:
    """A region, and the job that labels it."""

    region: Region
    job: LiveJob
    strokes: Path

    def save(self, seen: tuple[Region, bytes] | None) -> tuple[Region, bytes] | None:
        """Write the job's files; None if nothing has changed since what was `seen`.

        Strokes of fewer than two classes are not written.
        """
        strokes = self.region.read_strokes()
        found = self.region, strokes.tobytes()
        if found == seen:
            return None
        if has_classes(strokes):
            np.save(self.strokes, strokes)
        np.save(self.job.source, self.region.read_image())
        return found


class Live(QObject):
    """Labels what is seen of an image whenever strokes on it change.

    Parameters
    ----------
    panel : Panel
        Says what is wrong.
    choose : callable
        Returns the image and the labels that the panel has chosen, None for each that it has not.

    Attributes
    ----------
    button : QPushButton
        On or off.
    accept_button : QPushButton
        Takes the labels for truth.
    """

    def __init__(
        self, panel: Panel, choose: Callable[[], tuple[Image | None, Labels | None]]
    ) -> None:
        super().__init__(panel)
        self._panel, self._choose, self._viewer = panel, choose, panel.viewer
        self.button = QPushButton("Live")
        self.button.setToolTip("Label the view while strokes are drawn on sparse labels")
        self.button.setCheckable(True)
        self.button.toggled.connect(self._switch)
        self.accept_button = create_button(
            "Accept", "Take the live labels for truth, to train on", self.accept
        )
        self._labels: Labels | None = None  # whose strokes are heard
        self._image: Image | None = None  # what was labelled last
        self._heard = Connections()
        self._task: _Task | None = None
        self._seen: tuple[Region, bytes] | None = None
        self._is_due = False  # whether something changed while a job ran
        self._folders: list[Path] = []
        self._pause = self._create_timer(_PAUSE_MS, self._begin)
        self._settle = self._create_timer(0, self._follow)
        get_server().reported.connect(self._hear_job)
        active = self._viewer.layers.selection.events.active
        self._window = Connections()
        self._window.make(active, self._hear_selection)
        self._window.make(self._viewer.layers.events.removed, self._hear_removal)
        for clean in (partial(remove_folders, self._folders), self._heard.end, self._window.end):
            panel.destroyed.connect(clean)

    @property
    def is_on(self) -> bool:
        """Whether strokes are labelled."""
        return bool(self.button.isChecked())

    @property
    def is_running(self) -> bool:
        """Whether a job runs, or is about to."""
        return self._task is not None or bool(self._pause.isActive())

    def accept(self) -> None:
        """Take the live labels for truth, and turn live off."""
        layer = None if self._image is None else self._find_result(self._image)
        if layer is None:
            self._panel.say("There are no live labels to accept.")
            return
        self.button.setChecked(False)
        accept_prediction(layer)
        self._panel.say(f"Train learns from {layer.name} now.")

    def _create_timer(self, interval: int, act: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(interval)
        timer.timeout.connect(act)
        return timer

    def _switch(self, on: bool) -> None:
        self._heard.end()
        self._labels, self._seen, self._is_due = None, None, False
        self._pause.stop()
        if on:
            self._follow()
            if self._labels is None:
                self._panel.say("Tick Sparse, and make new labels to draw strokes on.")

    def _hear_selection(self, *_: object) -> None:
        if self.is_on:
            self._settle.start()  # metadata of a new layer are set after it was selected

    def _hear_removal(self, *_: object) -> None:
        """End with the strokes or their image."""
        layers = [layer for layer in (self._labels, self._image) if layer is not None]
        if all(layer in self._viewer.layers for layer in layers):
            return
        self._image = None
        if self.is_on:
            self.button.setChecked(False)
            self._panel.say("Live labels ended: their layer was removed.")

    def _follow(self) -> None:
        """Hear the sparse labels that are selected, or else those of before, or the panel's."""
        if not self.is_on:
            return
        known = find_layers(self._viewer, "labels")
        active, (_, chosen) = self._viewer.layers.selection.active, self._choose()
        candidates: list[Any] = [active, self._labels, chosen]
        sparse = [x for x in candidates if x in known]
        sparse = [x for x in sparse if x.metadata.get(SPARSE) and not x.metadata.get(PREDICTED)]
        if not sparse or sparse[0] == self._labels:  # not `is`: napari hands out proxies
            return
        self._heard.end()
        self._labels = sparse[0]
        for name in ("paint", "data", "set_data"):  # set_data: undone, or another plane
            self._heard.make(getattr(self._labels.events, name), self._hear_strokes)
        self._hear_strokes()

    def _hear_strokes(self, *_: object) -> None:
        if self._task is None:
            self._pause.start()
        else:
            self._is_due = True

    def _begin(self) -> None:
        """Save what is seen, in a thread."""
        if not self.is_on or self._labels is None:
            return
        if not isinstance(self._panel.window(), QMainWindow | QDockWidget):
            self.button.setChecked(False)  # the dock was closed
            return
        try:
            region = self._find_region(self._labels)
            folder = Path(tempfile.mkdtemp(prefix="pixelwise-live-"))
        except (PixelwiseError, OSError) as error:
            self._panel.say(str(error))
            return
        self._image = region.image
        self._folders.append(folder)
        job = LiveJob(
            number=get_server().next_number(),
            source=folder / "image.npy",
            output=folder / "labels.npy",
        )
        self._task = task = _Task(region, job, folder / "strokes.npy")
        run_in_thread(
            partial(task.save, self._seen),
            self,
            then=self._submit,
            failed=self._fail,
            abandoned=partial(remove_folders, [folder]),
        )

    def _submit(self, found: tuple[Region, bytes] | None) -> None:
        """Ask the child, unless nothing has changed."""
        if found is None or not self.is_on or self._task is None:
            self._end()
            return
        self._seen, job = found, self._task.job
        if self._task.strokes.exists():
            job = job.model_copy(update={"strokes": self._task.strokes})
        else:  # the child computes the features while the user draws
            self._panel.say(FEW_CLASSES)
        try:
            get_server().submit(job)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._seen = None
        if self.is_on:
            self._panel.say(str(error))
        self._end()

    def _hear_job(self, event: Event) -> None:
        task = self._task
        if not isinstance(event, JobEnded) or task is None or event.number != task.job.number:
            return
        if event.status != "done":
            self._fail(DataError(event.message))
            return
        is_wanted = self.is_on and task.region.labels in self._viewer.layers
        if is_wanted and task.job.output.exists():
            self._show(task.region, np.load(task.job.output))
            self._panel.say("\n".join(event.notes))
        self._end()

    def _end(self) -> None:
        """Remove the files of the job, and look at strokes that came since it began."""
        self._task = None
        remove_folders(self._folders)
        if self._is_due and self.is_on:
            self._pause.start()
        self._is_due = False

    def _find_image(self, labels: Labels) -> Image | None:
        """Find the image of the strokes: by its name, or else the panel's if its shape fits."""
        chosen, _ = self._choose()
        images = sorted(find_layers(self._viewer, "image"), key=lambda image: image != chosen)
        pairs = pair_layers(images, [labels])
        return pairs[0][0] if pairs else None

    def _find_region(self, labels: Labels) -> Region:
        """Find what is seen of the strokes: at most 1024 x 1024 pixels of the current plane.

        Raises
        ------
        DataError
            No image fits the strokes, or the view does not show rows and columns.
        """
        image = self._find_image(labels)
        if image is None:
            raise DataError(f"{labels.name} fits no open image.")
        dims, shape = self._viewer.dims, layer_array(labels).shape
        if dims.ndisplay != 2 or sorted(dims.displayed) != [dims.ndim - 2, dims.ndim - 1]:
            raise DataError("Live labels need the 2D view of rows and columns.")
        point = np.round(labels.world_to_data(dims.point)).astype(int)[: len(shape) - 2]
        plane = [int(np.clip(i, 0, n - 1)) for i, n in zip(point, shape, strict=False)]
        centre = np.mean(labels.corner_pixels, axis=0)[-2:]
        parts = [_cut(int(at), size) for at, size in zip(centre, shape[-2:], strict=True)]
        return Region(image, labels, read_axes(image).names, (*plane, *parts))

    def _find_result(self, image: Image) -> Labels | None:
        """Find the live labels of an image that nobody has accepted yet."""
        for layer in find_layers(self._viewer, "labels"):
            about = layer.metadata
            if layer.name == _name(image) and about.get(PREDICTED) and about.get(SPARSE):
                return layer
        return None

    def _show(self, region: Region, classes: Array) -> None:
        """Show classes below the strokes; the selection and the brush stay as they are."""
        result = self._find_result(region.image)
        if result is None or result.data.shape != layer_array(region.labels).shape:
            result = self._add_result(region)
        result.data[region.place] = classes + 1
        result.refresh()

    def _add_result(self, region: Region) -> Labels:
        """Add a layer for the live labels: sparse, as only what was seen is labelled."""
        from napari.layers import Labels

        strokes, layers = region.labels, self._viewer.layers
        active, mode = layers.selection.active, strokes.mode
        axes = region.axes.replace("C", "")
        result = Labels(
            np.zeros(layer_array(strokes).shape, np.uint8),
            name=_name(region.image),
            opacity=_OPACITY,
            metadata={
                PREDICTED: True, SPARSE: True, SOURCE: region.image.name, AXES_KEY: axes,
            },
            **placement(region.image, region.axes, axes),
        )  # fmt: skip
        if classes := list_classes(strokes.as_layer_data_tuple()[1], first=1):
            color_labels(result, classes, first=1)
        layers.insert(layers.index(strokes), result)
        layers.selection.active = active
        strokes.mode = mode
        return result


def _name(image: Image) -> str:
    return f"{image.name} live"


def _cut(centre: int, size: int) -> slice:
    """Part of an axis around the centre of the view, at most 1024 pixels; all of a short axis."""
    start = round((centre - _SIDE // 2) / _GRID) * _GRID
    start = min(max(start, 0), max(size - _SIDE, 0))
    return slice(start, min(start + _SIDE, size))
