"""How unsure a model is of images, computed by the warm child one after another."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from qtpy.QtCore import QObject, Signal

from pixelwise.config import PredictConfig
from pixelwise.errors import DataError
from pixelwise.events import Event, JobEnded
from pixelwise.jobs import PredictLayerJob
from pixelwise.widgets.jobs import get_server
from pixelwise.widgets.panel import remove_folders
from pixelwise.widgets.threads import run_in_thread


class DoubtQueue(QObject):
    """Measures images in turn: the mean over all pixels of 1 - the largest probability.

    Attributes
    ----------
    measured : Signal
        An image, its value, 0 to 1, and the model that it was measured with.
    started : Signal
        The number of the image that is measured now, from 1, and how many there are.
    ended : Signal
        No images are left; a message if some could not be measured.
    """

    started = Signal(int, int)
    measured = Signal(object, float, object)
    ended = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._images: list[Path] = []
        self._total = 0
        self._model = Path()
        self._job: PredictLayerJob | None = None
        self._failures: list[str] = []
        self._folders: list[Path] = []
        get_server().reported.connect(self._hear)
        parent.destroyed.connect(partial(remove_folders, self._folders))

    @property
    def is_running(self) -> bool:
        """Whether images are left."""
        return self._job is not None

    def start(self, images: list[Path], model: Path, settings: PredictConfig) -> None:
        """Measure images; those of an earlier call that are left are not."""
        self._images, self._model, self._failures = list(images), model, []
        self._total = len(images)
        self._settings = PredictConfig.create(
            **settings.model_dump() | {"probabilities": True, "probability_dtype": "uint8"}
        )
        if self._job is None:
            self._next()

    def stop(self) -> None:
        """Measure no more images."""
        self._images, self._failures = [], []
        if self._job is not None:
            self._job.cancel.touch()

    def _next(self) -> None:
        remove_folders(self._folders)
        if not self._images:
            self._job = None
            self.ended.emit(_join(self._failures))
            return
        folder = Path(tempfile.mkdtemp(prefix="pixelwise-doubt-"))
        self._folders.append(folder)
        self._image = self._images.pop(0)
        self._job = PredictLayerJob(
            number=get_server().next_number(),
            model=self._model,
            source=self._image,
            output=folder / "result.npy",
            cancel=folder / "cancel",
            settings=self._settings,
        )
        self.started.emit(self._total - len(self._images), self._total)
        try:
            get_server().submit(self._job)
        except OSError as error:  # no process can be started: nothing will be measured
            self._images, self._job = [], None
            self.ended.emit(f"The process that measures did not start: {error}.")

    def _hear(self, event: Event) -> None:
        job = self._job
        if not isinstance(event, JobEnded) or job is None or event.number != job.number:
            return
        if event.status == "done":
            run_in_thread(
                partial(measure_doubt, job.output),
                self,
                then=partial(self._take, job.model),
                failed=lambda error: self._fail(str(error)),
            )
        elif event.status == "failed":
            self._fail(event.message)
        else:
            self._next()

    def _take(self, model: Path, value: float) -> None:
        self.measured.emit(self._image, value, model)
        self._next()

    def _fail(self, message: str) -> None:
        """Leave an image out."""
        self._failures.append(f"{self._image.name}: {message}")
        self._next()


def _join(failures: list[str]) -> str:
    """Say what failed, without saying the same of hundreds of images."""
    if len(failures) < 2:
        return "".join(failures)
    return f"{failures[0]} (the first of {len(failures)} images that could not be measured)"


def measure_doubt(path: Path) -> float:
    """Mean of 1 - the largest probability over the pixels of a file (N, classes, Y, X).

    Raises
    ------
    DataError
        The file holds no probabilities.
    """
    planes = np.load(path, mmap_mode="r")
    if planes.ndim != 4 or not planes.size:
        raise DataError(
            f"{path} has shape {planes.shape}: expected (planes, classes, rows, columns)."
        )
    top = 255.0 if planes.dtype == np.uint8 else 1.0
    return float(np.mean([1 - (plane.max(axis=0) / top).mean() for plane in planes]))
