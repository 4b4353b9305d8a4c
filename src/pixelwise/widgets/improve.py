"""Improve: the corrections of the window go into a gentle training that starts from the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from pixelwise.cards import read_card
from pixelwise.config import PredictConfig, TrainConfig
from pixelwise.errors import PixelwiseError, RunError
from pixelwise.events import Event, RunEnded, StepsDone
from pixelwise.improvement import FORGETS, create_improvement, find_config, has_older_data
from pixelwise.jobs import TrainJob
from pixelwise.runs import RunFolder, request_stop
from pixelwise.widgets.corrected_images import CorrectedImage, find_corrections, save_corrections
from pixelwise.widgets.jobs import JobProcess, ProcessEnd
from pixelwise.widgets.layer_predictions import LayerPredictions
from pixelwise.widgets.layers import (
    MODEL,
    PREDICTED,
    SOURCE,
    find_layers,
    image_shape,
    read_axes,
)
from pixelwise.widgets.prediction_task import Wanted
from pixelwise.widgets.regions import REGION, LayerRegion
from pixelwise.widgets.runs import RunWatch, discard_run, require_free_run
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    import napari

_STOPPED = "Stopped. The model stays as it was."
_KEPT = (
    "With the corrections, the model became worse on its validation images: it stays as it was. "
    "More corrections may help."
)


@dataclass(frozen=True)
class ImprovementEnd:
    """What came out of an improvement.

    Attributes
    ----------
    message : str
        For the user.
    model : Path or None
        The improved model, which predicts now; None if the old one stays.
    is_failure : bool
        The message is an error's.
    log : str
        Output of a child that failed.
    """

    message: str
    model: Path | None = None
    is_failure: bool = False
    log: str = ""


@dataclass
class _Round:
    """An improvement that is running."""

    model: Path
    config: TrainConfig
    settings: PredictConfig
    axes: str
    note: str
    is_stopped: bool = False

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.config.run)


class Improvement(QObject):
    """Trains a model on with the corrections of a window, in a child, and predicts again in place.

    Parameters
    ----------
    viewer : napari.Viewer
    predictions : LayerPredictions
        Predicts again.
    parent : QObject

    Attributes
    ----------
    told : Signal
        A line for the user.
    progress : Signal
        Share of the training that is done, 0 to 1.
    ended : Signal
        An `ImprovementEnd`; an improved model has begun to predict.
    """

    told = Signal(str)
    progress = Signal(float)
    ended = Signal(object)

    def __init__(
        self, viewer: napari.Viewer, predictions: LayerPredictions, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._predictions = viewer, predictions
        self._round: _Round | None = None
        self._job: JobProcess | None = None
        self._watch: RunWatch | None = None

    @property
    def is_running(self) -> bool:
        """Whether a model is being improved."""
        return self._round is not None

    def start(
        self, model: Path | None, runs: Path, settings: PredictConfig, *, axes: str = ""
    ) -> None:
        """Save the corrections in a thread, then train in a child.

        Parameters
        ----------
        model : Path or None
            What made the predictions.
        runs : Path
            Folder of the runs.
        settings : PredictConfig
            How to predict again.
        axes : str
            Axes of the images, if the guess is wrong.

        Raises
        ------
        RunError
            There is no prediction, or its model is gone.
        DataError
            Nothing is corrected, or a corrected image is gone.
        """
        if model is None:
            raise RunError("Predict an image first: there is no prediction to correct.")
        if not model.is_file():
            raise RunError(f"The model {model} is gone: predict again with another one.")
        corrected = find_corrections(self._viewer, read_card(model), axes)
        run = _name_run(runs, model)
        config = create_improvement(model, corrections=run.data, run=run.path)
        config = _fit_patches(config, corrected)
        note = "" if has_older_data(model) else FORGETS
        labels = settings.model_copy(update={"probabilities": False, "instances": False})
        self._round = _Round(model, config, labels, axes, note)
        self.told.emit("Saving the corrections…")
        run_in_thread(
            partial(save_corrections, corrected, run.data, _find_earlier(model)),
            self,
            then=lambda _: self._launch(),
            failed=self._fail,
            abandoned=partial(discard_run, run),
        )

    def stop(self) -> None:
        """Stop after this step; the model stays as it is."""
        if self._round is None:
            return
        self._round.is_stopped = True
        if self._round.run.events.exists():
            request_stop(self._round.run)
        elif self._job is not None:
            self._job.stop()

    def _launch(self) -> None:
        """Start the child, unless it was stopped while the corrections were saved."""
        assert self._round is not None  # noqa: S101  `start` sets it
        if self._round.is_stopped:
            self._end(ImprovementEnd(_STOPPED))
            return
        job = TrainJob(config=self._round.config)
        try:
            self._job = JobProcess(job, self, log=self._round.run.log)
        except (PixelwiseError, OSError) as error:
            self._fail(error)
            return
        self._job.ended.connect(self._end_job)
        self._watch = RunWatch(self._round.run, self, has_child=lambda: self._job is not None)
        self._watch.events.connect(self._hear)
        self.told.emit("Improving…")

    def _hear(self, events: list[Event]) -> None:
        """Show how far the training is."""
        steps = [event for event in events if isinstance(event, StepsDone)]
        if self._round is not None and steps:
            event, epochs = steps[-1], self._round.config.training.epochs
            self.progress.emit((event.epoch - 1 + event.step / event.steps) / epochs)
            self.told.emit(f"Improving: epoch {event.epoch} of {epochs}, {event.pace}")

    def _end_job(self, end: ProcessEnd) -> None:
        """Predict again if the model became better."""
        self._job = None
        assert self._round is not None  # noqa: S101  it ends here
        assert self._watch is not None  # noqa: S101  it began with the child
        self._watch.look()
        self._watch.stop()
        done, last = self._round, self._watch.last
        if done.is_stopped or end.stopped:
            self._end(ImprovementEnd(_STOPPED))
        elif not end.ok or not isinstance(last, RunEnded):
            self._end(ImprovementEnd(end.message, is_failure=True, log=end.log))
        elif not last.best_epoch:
            self._end(ImprovementEnd(f"{_KEPT}\n{done.note}".strip()))
        else:
            try:
                self._predict_again(done, done.run.model)
            except (PixelwiseError, OSError) as error:
                self._fail(error)
                return
            score = "" if last.best_score is None else f": {last.monitor} {last.best_score:.3f}"
            text = f"The model is improved{score} on its validation images.\n{done.note}"
            self._end(ImprovementEnd(text.strip(), done.run.model))

    def _predict_again(self, done: _Round, model: Path) -> None:
        """Predict with the new model what the old one has predicted, in the same layers."""
        images = {layer.name: layer for layer in find_layers(self._viewer, "image")}
        shown = [
            (layer, images[layer.metadata[SOURCE]])
            for layer in find_layers(self._viewer, "labels")
            if layer.metadata.get(PREDICTED)
            and layer.metadata.get(MODEL) == str(done.model)
            and layer.metadata.get(SOURCE) in images
        ]
        wanted = []
        for layer, image in shown:
            axes, part = read_axes(image, done.axes).names, layer.metadata.get(REGION)
            region = None if part is None else LayerRegion(image, axes, **part)
            wanted.append(Wanted(image, axes, region, target=layer))
        if wanted:
            self._predictions.predict(wanted, model, done.settings)

    def _fail(self, error: Exception) -> None:
        self._end(ImprovementEnd(str(error), is_failure=True))

    def _end(self, end: ImprovementEnd) -> None:
        """Report the end; a run that never began leaves no folder."""
        done, self._round = self._round, None
        if done is not None and not done.run.config.exists():
            discard_run(done.run)
        self.ended.emit(end)


def _name_run(runs: Path, model: Path) -> RunFolder:
    """Name the next run: ``cells-improved-2`` after ``cells-improved-1`` or ``cells``."""
    stem = model.parent.name if model.stem == "model" else model.stem
    stem = re.sub(r"-improved-\d+$", "", stem)
    names = (f"{stem}-improved-{number}" for number in count(1))
    return require_free_run(runs, next(name for name in names if not (runs / name).exists()))


def _fit_patches(config: TrainConfig, corrected: Sequence[CorrectedImage]) -> TrainConfig:
    """Let the patches fit into corrected images that are smaller than those trained on."""
    sides = [side for item in corrected for side in image_shape(item.image, item.axes)[-2:]]
    if config.data.resize is not None or min(sides) >= max(config.patches.size_px):
        return config
    return config.model_copy(update={"patches": config.patches.model_copy(update={"size": "auto"})})


def _find_earlier(model: Path) -> Path | None:
    """Find the folder of the corrections that a model was improved with before."""
    config = find_config(model)
    return None if config is None else config.data.corrections
