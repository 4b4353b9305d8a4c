"""Prediction of layers by the warm child, shown while they are computed."""

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
    MODEL,
    PREDICTED,
    PREVIEW,
    SOURCE,
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
    """One layer and the state of its prediction."""

    layer: Layer
    axes: str
    card: Card
    folder: Path
    request: PredictLayerJob
    target: Layer | None = None  # an older prediction, which the result replaces
    planes: Any = None
    started: PredictionStarted | None = None
    result: Layer | None = None

    def read_result(self) -> Any:
        """View the result in the child's file, as far as it is computed."""
        assert self.started is not None  # noqa: S101  only called after the start
        return from_planes(self.planes, self.started.axes, self.started.shape)


class LayerPredictions(QObject):
    """Predicts layers one after another; a result appears as soon as its prediction starts.

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
        Errors and notes, one line each.
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
        self._revealed = False  # whether a result was shown
        self._redraw = QTimer(self)  # bands may come faster than a window can be drawn
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(_REDRAW_MS)
        self._redraw.timeout.connect(self._refresh)
        get_server().reported.connect(self._hear)
        parent.destroyed.connect(partial(_forget, self._tasks))

    @property
    def is_running(self) -> bool:
        """Whether a layer is pending."""
        return bool(self._tasks)

    def predict(
        self,
        layers: Sequence[tuple[Layer, str]],
        model: Path,
        settings: PredictConfig,
        *,
        into: Sequence[Layer] = (),
    ) -> None:
        """Predict layers, given with their axes; the results replace the layers `into`, if given.

        Raises
        ------
        ReadError, ModelFileError
            The model file is missing or damaged.
        """
        card = read_card(model)
        self.results, self.failures, self.notes = [], [], []
        self._revealed = False
        for number, (layer, axes) in enumerate(layers):
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
            target = into[number] if into else None
            task = _Task(layer, axes, card, folder, request, target)
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
        """Cancel all layers; unfinished results are removed."""
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
        """Handle an event of the warm child about one of these layers."""
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
        """Add the result layer, which shows the file that the child is writing."""
        about = [f"{task.layer.name} on {event.device} ({event.device_reason})", *event.notes]
        self.told.emit("\n".join(about))
        task.planes, task.started = np.load(event.output, mmap_mode="r"), event
        if task.target is not None:
            return
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
        is_prediction = kind == "prediction"
        task.result.metadata = {
            AXES_KEY: event.axes,
            MODEL: str(task.request.model),
            **({PREDICTED: True, SOURCE: task.layer.name} if is_prediction else {}),
        }
        self._reveal(task)

    def _reveal(self, task: _Task) -> None:
        """Show the image under its labels; of several hidden images, the first one."""
        result, is_first = task.result, not self._revealed
        self._revealed = True
        if task.layer.visible or result is None:
            return
        if not is_first:
            result.visible = False
            return
        for layer in self._viewer.layers:
            if PREVIEW not in layer.metadata and layer not in (task.layer, result):
                layer.visible = False
        task.layer.visible = True

    def _refresh(self) -> None:
        """Show new rows; cancel results whose layer the user has deleted."""
        for task in [task for task in self._tasks if task.started is not None]:
            shown = task.target or task.result
            if shown is not None and shown in self._viewer.layers:
                shown.refresh()
            else:
                with contextlib.suppress(OSError):
                    task.request.cancel.touch()

    def _end(self, task: _Task, event: JobEnded) -> None:
        """Load a finished result into memory, or remove an unfinished one."""
        shown = task.target or task.result
        layer = shown if shown in self._viewer.layers else None
        self.notes += [f"{task.layer.name}: {note}" for note in event.notes]
        if event.status == "done" and layer is not None:
            run_in_thread(
                lambda: np.array(task.read_result()),
                self,
                then=partial(self._keep, task),
                failed=partial(self._fail, task),
            )
            return
        if layer is not None and task.target is None:
            self._viewer.layers.remove(layer)
        if event.status == "failed":
            self.failures.append(f"{task.layer.name}: {event.message}")
        self._forget(task, event.status)

    def _keep(self, task: _Task, array: Any) -> None:
        """Show an array in memory instead of the child's file."""
        layer = task.target or task.result
        if layer is not None and layer in self._viewer.layers:
            layer.data = array
            layer.metadata = {**layer.metadata, MODEL: str(task.request.model)}
            self.results.append(layer)
        self._forget(task, "done")

    def _forget(self, task: _Task, status: str) -> None:
        """Remove the files of a layer; the last one emits `finished`."""
        self._tasks.remove(task)
        task.planes = None
        shutil.rmtree(task.folder, ignore_errors=True)
        if not self._tasks:
            self.finished.emit("failed" if self.failures else status)


def _forget(tasks: list[_Task], *_: object) -> None:
    """Cancel the predictions of a widget that is gone, and remove their files."""
    for task in tasks:
        with contextlib.suppress(OSError):
            task.request.cancel.touch()
        shutil.rmtree(task.folder, ignore_errors=True)
