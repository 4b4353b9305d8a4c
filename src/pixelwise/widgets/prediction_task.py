"""One layer that is being predicted: its files, its layers, and how far it is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelwise.axes import from_planes, label_axes
from pixelwise.cards import Card
from pixelwise.classes import VOID
from pixelwise.config import PredictConfig
from pixelwise.events import PredictionStarted, RowsPredicted
from pixelwise.jobs import PlacedRegion, PredictLayerJob
from pixelwise.widgets.layers import find_file, layer_array, placement, save_array
from pixelwise.widgets.regions import LayerRegion

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

Copies = tuple[Any, Any]
"""A result and its uncertainty, in memory; None if there is no uncertainty."""

_LEAST_SECONDS = 1.0  # measured before the time left is told


@dataclass(frozen=True)
class Wanted:
    """What is to be predicted: a layer, or a region of it.

    Attributes
    ----------
    layer : Layer
    axes : str
        Axes of its data.
    region : LayerRegion or None
    target : Layer or None
        An older prediction, whose pixels the finished result replaces; None: a new layer.
    """

    layer: Layer
    axes: str
    region: LayerRegion | None = None
    target: Layer | None = None


@dataclass
class PredictionTask:
    """State of one prediction; made by `create_task`.

    Attributes
    ----------
    wanted : Wanted
    card : Card
        Of the model.
    folder : Path
        Temporary folder of its files.
    job : PredictLayerJob
    save : callable or None
        Writes the source and returns where the region lies in it; None: the layer's own file is
        the source.
    planes, doubts : arrays or None
        What the child writes: results, and how uncertain they are.
    started : PredictionStarted or None
    result, uncertainty : Layer or None
    """

    wanted: Wanted
    card: Card
    folder: Path
    job: PredictLayerJob
    save: Callable[[], PlacedRegion | None] | None
    planes: Any = None
    doubts: Any = None
    started: PredictionStarted | None = None
    result: Layer | None = None
    uncertainty: Layer | None = None
    _rows: list[RowsPredicted] = field(default_factory=list)

    @property
    def layer(self) -> Layer:
        """The layer that is predicted."""
        return self.wanted.layer

    @property
    def shown(self) -> Layer | None:
        """The layer that has the result, or will have it."""
        return self.wanted.target or self.result

    def list_layers(self, viewer: napari.Viewer) -> list[Layer]:
        """List the layers that were added for the result and are still open."""
        return [x for x in (self.result, self.uncertainty) if x is not None and x in viewer.layers]

    def begin(self, event: PredictionStarted) -> None:
        """Open the files that the child is writing."""
        self.started, self.planes = event, np.load(event.output, mmap_mode="r")
        if self.job.uncertainty is not None:
            self.doubts = np.load(self.job.uncertainty, mmap_mode="r")

    @property
    def axes(self) -> str:
        """Axes of the result: those of the layer, of which a region has one plane only."""
        assert self.started is not None  # noqa: S101  only called after the start
        region = self.wanted.region
        return ("" if region is None else "".join(region.plane)) + self.started.axes

    def read_result(self) -> Any:
        """View the result in the child's file, as far as it is computed."""
        assert self.started is not None  # noqa: S101
        return self._shape(self.planes, self.started.axes, self.started.shape)

    def read_uncertainty(self) -> Any:
        """View the uncertainty in the child's file, as far as it is computed."""
        assert self.started is not None  # noqa: S101
        sizes = dict(zip(self.started.axes, self.started.shape, strict=True))
        plain = label_axes(self.started.axes)
        return self._shape(self.doubts, plain, tuple(sizes[letter] for letter in plain))

    def _shape(self, planes: Any, axes: str, shape: tuple[int, ...]) -> Any:
        """Arrange planes by the axes of the result."""
        array = from_planes(planes, axes, shape)
        region = self.wanted.region
        return array if region is None else array[(None,) * len(region.plane)]

    def place(self, kept: str) -> dict[str, Any]:
        """Find the place of a result with the axes `kept`."""
        wanted = self.wanted
        if wanted.region is not None:
            return wanted.region.place(kept)
        return placement(wanted.layer, wanted.axes, kept)

    def hear(self, event: RowsPredicted) -> None:
        """Remember which rows are final."""
        self._rows.append(event)

    @property
    def seconds_left(self) -> float | None:
        """Time left by the tiles per second so far; None before they were measured."""
        if not self._rows:
            return None
        first, last = self._rows[0], self._rows[-1]
        seconds, done = last.time - first.time, last.done - first.done
        if seconds < _LEAST_SECONDS or done <= 0:
            return None
        return seconds * (1 - last.done) / done

    def copy(self) -> Copies:
        """Copy the finished result into memory."""
        self.planes = np.array(self.planes)
        if self.doubts is not None:
            self.doubts = np.array(self.doubts)
        return self.read_result(), None if self.doubts is None else self.read_uncertainty()

    def copy_partial(self) -> Copies | None:
        """Copy what is final of a cancelled result into memory; None if nothing is.

        What was not computed is void in labels, 0 in objects, and NaN in floats. Objects are
        numbered, and labels cleaned, plane by plane: of these only whole planes are kept.
        """
        settings, spans = self.job.settings, [e for e in self._rows if e.stop > e.start]
        if settings.instances or settings.cleans:
            last = max((event.plane for event in spans), default=0)
            spans = [event for event in spans if event.plane < last]
        if not spans or self.started is None:
            return None
        is_missing = np.ones((len(self.planes), self.planes.shape[-2]), bool)
        for event in spans:
            is_missing[event.plane, event.start : event.stop] = False
        self.copy()
        is_plain = settings.instances or settings.probabilities
        missing = np.nan if self.planes.dtype.kind == "f" else 0 if is_plain else VOID
        self.planes.swapaxes(1, -2)[is_missing] = missing  # rows first, also of probabilities
        if self.doubts is not None:
            self.doubts[is_missing] = np.nan
        return self.copy()


def create_task(
    wanted: Wanted, card: Card, number: int, *, model: Path, settings: PredictConfig,
    with_uncertainty: bool,
) -> PredictionTask:  # fmt: skip
    """Create the job of a layer, and a temporary folder for its files."""
    folder = Path(tempfile.mkdtemp(prefix="pixelwise-predict-"))
    region, path = wanted.region, folder / "image.npy"
    file = find_file(wanted.layer) if region is None else None
    job = PredictLayerJob.create(
        number=number,
        model=model,
        source=file or path,
        axes=wanted.axes if region is None else region.source_axes,
        output=folder / "result.npy",
        cancel=folder / "cancel",
        settings=settings,
        uncertainty=folder / "uncertainty.npy" if with_uncertainty else None,
    )
    save = None if file else partial(_save, wanted, card, job)
    return PredictionTask(wanted, card, folder, job, save)


def _save(wanted: Wanted, card: Card, job: PredictLayerJob) -> PlacedRegion | None:
    """Write the source of a job; of a region, also what the network sees around it."""
    if wanted.region is None:
        save_array(layer_array(wanted.layer), job.source)
        return None
    around = None if card.needs_whole_plane else job.settings.tile or card.patch_size
    pixels, place = wanted.region.read(around)
    save_array(pixels, job.source)
    return place


def discard(task: PredictionTask) -> None:
    """Remove the files of a task."""
    task.planes = task.doubts = None
    shutil.rmtree(task.folder, ignore_errors=True)
