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
        An image and its value, 0 to 1.
    ended : Signal
        All are measured; or one failed, with its message.
    """

    measured = Signal(object, float)
    ended = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._images: list[Path] = []
        self._model = Path()
        self._job: PredictLayerJob | None = None
        self._folders: list[Path] = []
        get_server().reported.connect(self._hear)
        parent.destroyed.connect(partial(remove_folders, self._folders))

    @property
    def is_running(self) -> bool:
        """Whether images are left."""
        return self._job is not None

    def start(self, images: list[Path], model: Path, settings: PredictConfig) -> None:
        """Measure images; those of an earlier call that are left are not."""
        self._images, self._model = list(images), model
        self._settings = PredictConfig.create(
            **settings.model_dump() | {"probabilities": True, "probability_dtype": "uint8"}
        )
        if self._job is None:
            self._next()

    def stop(self) -> None:
        """Measure no more images."""
        self._images = []
        if self._job is not None:
            self._job.cancel.touch()

    def _next(self) -> None:
        remove_folders(self._folders)
        if not self._images:
            self._job = None
            self.ended.emit("")
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
        get_server().submit(self._job)

    def _hear(self, event: Event) -> None:
        job = self._job
        if not isinstance(event, JobEnded) or job is None or event.number != job.number:
            return
        if event.status == "done":
            run_in_thread(
                partial(measure_doubt, job.output),
                self,
                then=self._take,
                failed=lambda error: self._fail(str(error)),
            )
        elif event.status == "failed":
            self._fail(f"{self._image.name}: {event.message}")
        else:
            self._next()

    def _take(self, value: float) -> None:
        self.measured.emit(self._image, value)
        self._next()

    def _fail(self, message: str) -> None:
        self._images, self._job = [], None
        remove_folders(self._folders)
        self.ended.emit(message)


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
