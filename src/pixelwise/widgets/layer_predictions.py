"""Prediction of layers by the warm child, shown while they are computed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from pixelwise.axes import label_axes
from pixelwise.cards import read_card
from pixelwise.config import PredictConfig
from pixelwise.events import (
    Event,
    JobEnded,
    PredictionStarted,
    RowsPredicted,
    describe_duration,
)
from pixelwise.jobs import PlacedRegion
from pixelwise.widgets.jobs import get_server
from pixelwise.widgets.layers import (
    AXES_KEY,
    MODEL,
    PARTIAL,
    PREDICTED,
    PREVIEW,
    SOURCE,
    add_result,
    clear_void,
)
from pixelwise.widgets.prediction_task import (
    Copies,
    PredictionTask,
    Wanted,
    create_task,
    discard,
)
from pixelwise.widgets.regions import REGION
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

_REDRAW_MS = 100


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
        self._tasks: list[PredictionTask] = []
        self._current: PredictionTask | None = None  # what the child computes: rows are of it
        self.results: list[Layer] = []
        self.failures: list[str] = []
        self.notes: list[str] = []
        self._revealed = False  # whether a result was shown
        self._about = ""  # where the current layer is predicted, and notes on it
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
        wanted: Sequence[Wanted],
        model: Path,
        settings: PredictConfig,
        *,
        with_uncertainty: bool = False,
    ) -> None:
        """Predict layers, or regions of them, in new layers or in place of older results.

        Raises
        ------
        ReadError, ModelFileError
            The model file is missing or damaged.
        """
        card = read_card(model)
        self.results, self.failures, self.notes = [], [], []
        self._revealed = False
        for item in wanted:
            task = create_task(
                item,
                card,
                get_server().next_number(),
                model=model,
                settings=settings,
                with_uncertainty=with_uncertainty,
            )
            self._tasks.append(task)
            if task.save is None:
                self._submit(task)
                continue
            run_in_thread(
                task.save,
                self,
                then=partial(self._submit, task),
                failed=partial(self._fail, task),
            )
        self.told.emit("Waiting for the model…")

    def cancel(self) -> None:
        """Cancel all layers; what is final of the current one is kept."""
        for task in self._tasks:
            with contextlib.suppress(OSError):
                task.job.cancel.touch()

    def _submit(self, task: PredictionTask, region: PlacedRegion | None = None) -> None:
        try:
            get_server().submit(task.job.model_copy(update={"region": region}))
        except OSError as error:
            self._fail(task, error)

    def _fail(self, task: PredictionTask, error: Exception) -> None:
        number = task.job.number
        self._end(task, JobEnded(number=number, status="failed", message=str(error)))

    def _hear(self, event: Event) -> None:
        """Handle an event of the warm child about one of these layers."""
        match event:
            case PredictionStarted():
                for task in self._tasks:
                    if str(task.job.output) == event.output:
                        self._show(task, event)
            case RowsPredicted() if self._current is not None:
                self._current.hear(event)
                self.progress.emit(event.done)
                if not self._redraw.isActive():
                    self._redraw.start()
            case JobEnded():
                for task in [task for task in self._tasks if task.job.number == event.number]:
                    self._end(task, event)
            case _:
                pass

    def _show(self, task: PredictionTask, event: PredictionStarted) -> None:
        """Add the result layers, which show the files that the child is writing."""
        about = [f"{task.layer.name} on {event.device} ({event.device_reason})", *event.notes]
        self._about = "\n".join(about)
        self.told.emit(self._about)
        task.begin(event)
        self._current = task
        if task.wanted.target is not None:
            return
        settings, region = task.job.settings, task.wanted.region
        kind = "objects" if settings.instances else "prediction"
        kind = "probabilities" if settings.probabilities else kind
        about_region = {} if region is None else {REGION: region.describe()}
        if task.doubts is not None:
            task.uncertainty = self._add_uncertainty(task, about_region)
        is_prediction = kind == "prediction"
        task.result = add_result(
            self._viewer,
            task.read_result(),
            name=f"{task.layer.name} {kind}",
            where=task.place(task.axes),
            classes=task.card.classes if is_prediction else None,
            metadata={
                AXES_KEY: task.axes,
                MODEL: str(task.job.model),
                **({PREDICTED: True, SOURCE: task.layer.name} if is_prediction else {}),
                **about_region,
            },
        )
        self._reveal(task)

    def _add_uncertainty(self, task: PredictionTask, about: dict[str, Any]) -> Layer:
        """Add 1 - the largest probability as an image, below the labels."""
        axes = label_axes(task.axes)
        layer: Layer = self._viewer.add_image(
            task.read_uncertainty(),
            name=f"{task.layer.name} uncertainty",
            contrast_limits=(0, 1 - 1 / len(task.card.classes)),
            colormap="magma",
            rgb=False,
            opacity=0.6,
            metadata={AXES_KEY: axes, PREVIEW: True, **about},  # no input for other widgets
            **task.place(axes),
        )
        return layer

    def _reveal(self, task: PredictionTask) -> None:
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
        """Show new rows and the time left; cancel results whose layer the user has deleted."""
        for task in [task for task in self._tasks if task.started is not None]:
            if task.shown is not None and task.shown in self._viewer.layers:
                for layer in task.list_layers(self._viewer):
                    layer.refresh()
                self._tell_time(task)
            else:
                with contextlib.suppress(OSError):
                    task.job.cancel.touch()

    def _tell_time(self, task: PredictionTask) -> None:
        """Say how long it will take."""
        if (seconds := task.seconds_left) is None:
            return
        which = f" for {task.layer.name}, {len(self._tasks) - 1} more to come"
        left = f"{describe_duration(seconds)} left{which if len(self._tasks) > 1 else ''}"
        self.told.emit(f"{left}\n{self._about}")

    def _end(self, task: PredictionTask, event: JobEnded) -> None:
        """Load what is final of a result into memory, or remove it."""
        if task is self._current:
            self._current = None
        self.notes += [f"{task.layer.name}: {note}" for note in event.notes]
        if event.status == "failed":
            self.failures.append(f"{task.layer.name}: {event.message}")
        elif task.shown in self._viewer.layers and (event.status == "done" or task.result):
            run_in_thread(
                task.copy if event.status == "done" else task.copy_partial,
                self,
                then=partial(self._keep, task, event.status),
                failed=partial(self._fail, task),
            )
            return
        self._drop(task, event.status)

    def _keep(self, task: PredictionTask, status: str, arrays: Copies | None) -> None:
        """Show arrays in memory instead of the child's files."""
        shown, layers = task.shown, self._viewer.layers
        if arrays is None or shown is None or shown not in layers:
            self._drop(task, status)
            return
        for layer, array in zip((shown, task.uncertainty), arrays, strict=True):
            if layer is not None and layer in layers:
                layer.data = array
                if status == "cancelled":
                    mark_partial(layer)
        shown.metadata = {**shown.metadata, MODEL: str(task.job.model)}
        self.results.append(shown)
        self._forget(task, status)

    def _drop(self, task: PredictionTask, status: str) -> None:
        """Remove layers of which nothing is final."""
        for layer in task.list_layers(self._viewer):
            self._viewer.layers.remove(layer)
        self._forget(task, status)

    def _forget(self, task: PredictionTask, status: str) -> None:
        """Remove the files of a layer; the last one emits `finished`."""
        self._tasks.remove(task)
        discard(task)
        if not self._tasks:
            self.finished.emit("failed" if self.failures else status)


def mark_partial(layer: Any) -> None:
    """Mark a cancelled result in its name and metadata; void, which was not computed, is clear."""
    layer.name = f"{layer.name} (partial)"
    layer.metadata = {**layer.metadata, PARTIAL: True}
    clear_void(layer)


def _forget(tasks: list[PredictionTask], *_: object) -> None:
    """Cancel the predictions of a widget that is gone, and remove their files."""
    for task in tasks:
        with contextlib.suppress(OSError):
            task.job.cancel.touch()
        discard(task)
