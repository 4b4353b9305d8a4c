"""Layers on their way through the warm child: saved, predicted, shown while they fill up."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from pixelwise.axes import from_planes
from pixelwise.cards import Card, read_card
from pixelwise.config import PredictConfig
from pixelwise.events import Event, JobEnded, PredictionStarted, RowsPredicted
from pixelwise.jobs import PredictLayerJob
from pixelwise.widgets.jobs import get_server
from pixelwise.widgets.layers import (
    AXES_KEY,
    add_result,
    find_file,
    layer_array,
    placement,
    save_array,
)
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

_REDRAW_MS = 100


@dataclass
class _Task:
    """One layer, and what has become of it."""

    layer: Layer
    axes: str
    card: Card
    folder: Path
    request: PredictLayerJob
    planes: Any = None
    started: PredictionStarted | None = None
    result: Layer | None = None

    def read_result(self) -> Any:
        """View the result as far as it is computed, in the child's file."""
        assert self.started is not None  # noqa: S101  asked for after the start only
        return from_planes(self.planes, self.started.axes, self.started.shape)


class LayerPredictions(QObject):
    """Predicts layers one after another; a result's layer appears when its first rows are due.

    Attributes
    ----------
    told : Signal
        A line for the user.
    progress : Signal
        Share of the current layer that is done, 0 to 1.
    finished : Signal
        All layers are done, failed or cancelled: "done", "cancelled" or "failed".
    results : list of Layer
        Finished results of the last call.
    failures, notes : list of str
        What went wrong, and what is to know, one line for each.
    """

    told = Signal(str)
    progress = Signal(float)
    finished = Signal(str)

    def __init__(self, viewer: napari.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._tasks: list[_Task] = []
        self.results: list[Layer] = []
        self.failures: list[str] = []
        self.notes: list[str] = []
        self._redraw = QTimer(self)  # bands may come faster than a window can be drawn
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(_REDRAW_MS)
        self._redraw.timeout.connect(self._refresh)
        get_server().reported.connect(self._hear)
        parent.destroyed.connect(partial(_forget, self._tasks))

    @property
    def is_running(self) -> bool:
        """Whether a layer is not done."""
        return bool(self._tasks)

    def predict(
        self, layers: Sequence[tuple[Layer, str]], model: Path, settings: PredictConfig
    ) -> None:
        """Predict layers, given with their axes.

        Raises
        ------
        ReadError, ModelFileError
            The model file is missing or damaged.
        """
        card = read_card(model)
        self.results, self.failures, self.notes = [], [], []
        for layer, axes in layers:
            folder = Path(tempfile.mkdtemp(prefix="pixelwise-predict-"))
            file = find_file(layer)
            request = PredictLayerJob.create(
                number=get_server().next_number(),
                model=model,
                source=file or folder / "image.npy",
                axes=axes,
                output=folder / "result.npy",
                cancel=folder / "cancel",
                settings=settings,
            )
            task = _Task(layer, axes, card, folder, request)
            self._tasks.append(task)
            if file is not None:
                self._submit(task)
                continue
            run_in_thread(
                partial(save_array, layer_array(layer), request.source),
                self,
                then=partial(self._submit, task),
                failed=partial(self._fail, task),
            )
        self.told.emit("Waiting for the model…")

    def cancel(self) -> None:
        """End all; results that are not finished go away."""
        for task in self._tasks:
            with contextlib.suppress(OSError):
                task.request.cancel.touch()

    def _submit(self, task: _Task, _: object = None) -> None:
        try:
            get_server().submit(task.request)
        except OSError as error:
            self._fail(task, error)

    def _fail(self, task: _Task, error: Exception) -> None:
        number = task.request.number
        self._end(task, JobEnded(number=number, status="failed", message=str(error)))

    def _hear(self, event: Event) -> None:
        """Take what the warm child says about one of these layers."""
        match event:
            case PredictionStarted():
                for task in self._tasks:
                    if str(task.request.output) == event.output:
                        self._show(task, event)
            case RowsPredicted():
                self.progress.emit(event.done)
                if not self._redraw.isActive():
                    self._redraw.start()
            case JobEnded():
                for task in [task for task in self._tasks if task.request.number == event.number]:
                    self._end(task, event)
            case _:
                pass

    def _show(self, task: _Task, event: PredictionStarted) -> None:
        """Add the result's layer; it reads the file that the child fills."""
        about = [f"{task.layer.name} on {event.device} ({event.device_reason})", *event.notes]
        self.told.emit("\n".join(about))
        task.planes, task.started = np.load(event.output, mmap_mode="r"), event
        settings = task.request.settings
        kind = "objects" if settings.instances else "prediction"
        kind = "probabilities" if settings.probabilities else kind
        task.result = add_result(
            self._viewer,
            task.read_result(),
            name=f"{task.layer.name} {kind}",
            where=placement(task.layer, task.axes, event.axes),
            classes=task.card.classes if kind == "prediction" else None,
        )
        task.result.metadata = {AXES_KEY: event.axes, "model": str(task.request.model)}

    def _refresh(self) -> None:
        """Show the rows that have come; what the user has deleted need not go on."""
        for task in [task for task in self._tasks if task.started is not None]:
            if task.result is not None and task.result in self._viewer.layers:
                task.result.refresh()
            else:
                with contextlib.suppress(OSError):
                    task.request.cancel.touch()

    def _end(self, task: _Task, event: JobEnded) -> None:
        """Keep the result in memory, or take away what is not finished."""
        layer = task.result if task.result in self._viewer.layers else None
        self.notes += [f"{task.layer.name}: {note}" for note in event.notes]
        if event.status == "done" and layer is not None:
            run_in_thread(
                lambda: np.array(task.read_result()),
                self,
                then=partial(self._keep, task),
                failed=partial(self._fail, task),
            )
            return
        if layer is not None:
            self._viewer.layers.remove(layer)
        if event.status == "failed":
            self.failures.append(f"{task.layer.name}: {event.message}")
        self._forget(task, event.status)

    def _keep(self, task: _Task, array: Any) -> None:
        """Give the finished layer an array of its own, in place of the child's file."""
        layer = task.result
        if layer is not None and layer in self._viewer.layers:
            layer.data = array
            self.results.append(layer)
        self._forget(task, "done")

    def _forget(self, task: _Task, status: str) -> None:
        """Remove the files of a layer; the last one ends the job."""
        self._tasks.remove(task)
        task.planes = None
        shutil.rmtree(task.folder, ignore_errors=True)
        if not self._tasks:
            self.finished.emit("failed" if self.failures else status)


def _forget(tasks: list[_Task], *_: object) -> None:
    """Cancel what a widget that is gone was waiting for, and remove its files."""
    for task in tasks:
        with contextlib.suppress(OSError):
            task.request.cancel.touch()
        shutil.rmtree(task.folder, ignore_errors=True)
