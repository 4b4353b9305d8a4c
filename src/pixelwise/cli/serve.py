"""The command serve: a warm child that does one small job after another."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from pixelwise.atomic import create_array
from pixelwise.axes import NamedAxes, parse_axes
from pixelwise.cli.console import echo
from pixelwise.errors import ConfigError, PixelwiseError, explain_memory_error, is_memory_error
from pixelwise.events import (
    Event,
    JobEnded,
    NetworkDescribed,
    PredictionStarted,
    RowsPredicted,
)
from pixelwise.images import ImageArray, ImageSource, open_image
from pixelwise.jobs import DescribeJob, Job, PredictLayerJob, ServedJob, parse_job

if TYPE_CHECKING:
    from pixelwise.prediction.planes import Planes
    from pixelwise.prediction.predictor import Predictor

Array = npt.NDArray[Any]

_SECONDS_BETWEEN_EVENTS = 0.2


@click.command()
@click.option(
    "--idle-minutes", type=float, default=10.0, help="End after so long without a job [10]"
)
def serve(idle_minutes: float) -> None:
    """Do small jobs from standard input, one JSON line each, with events; for the widgets.

    Ends with its input, so never later than the program that asks.
    """
    server = Server()
    for line in _iter_lines(idle_minutes * 60):
        for event in server.answer(parse_job(line)):
            echo(event.to_json())


def _iter_lines(idle_seconds: float) -> Iterator[str]:
    """Lines of standard input until it ends, or none comes for too long."""
    # Windows cannot select on a pipe: there the child just waits for its input to end.
    waits = sys.platform != "win32"
    source = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
    while True:
        if waits and not select.select([sys.stdin], [], [], idle_seconds)[0]:
            return
        line = source.readline()
        if not line:
            return
        yield line.decode()


class Server:
    """Does the small jobs, and keeps the last model loaded between them."""

    def __init__(self) -> None:
        self._key: object = None
        self._predictor: Predictor | None = None

    def answer(self, job: Job) -> Iterator[Event]:
        """Events of one job; an error becomes the last of them."""
        number = job.number if isinstance(job, ServedJob) else 0
        try:
            match job:
                case DescribeJob():
                    yield _describe(job)
                    yield JobEnded(number=number, status="done")
                case PredictLayerJob():
                    yield from self._predict(job)
                case _:
                    raise ConfigError(f"The job {job.job} is one for 'pixelwise run'.")
        except (PixelwiseError, OSError, RuntimeError, ValueError, MemoryError) as error:
            full = is_memory_error(error) and not isinstance(error, PixelwiseError)
            message = explain_memory_error(error) if full else str(error) or type(error).__name__
            yield JobEnded(number=number, status="failed", message=message)

    def _predict(self, job: PredictLayerJob) -> Iterator[Event]:
        """Predict into the job's file, and report rows as they are final."""
        from pixelwise.prediction.planes import reading_planes

        predictor = self._load(job)
        image = _open_source(job)
        predictor.require_input(image)
        with reading_planes(image, predictor.model.card) as planes:
            yield from self._fill(job, predictor, image=image, planes=planes)

    def _fill(
        self, job: PredictLayerJob, predictor: Predictor, *, image: ImageSource, planes: Planes
    ) -> Iterator[Event]:
        """Predict planes into the job's file."""
        from pixelwise.prediction.predict import list_notes

        names, shape = predictor.result_axes(image.axes.names, image.shape)
        room = predictor.result_shape(planes.shape)
        found = create_array(job.output, dtype=predictor.result_dtype, shape=room)
        compute = predictor.tiles.compute
        predictor.hear(planes)
        yield PredictionStarted(
            output=str(job.output),
            axes=names,
            shape=shape,
            device=str(compute.device),
            device_reason=compute.device_reason,
            notes=list_notes(predictor, image),
        )
        said = time.monotonic()
        for part in predictor.iter_predict_into(planes, found):
            if part.stop > part.start or time.monotonic() - said > _SECONDS_BETWEEN_EVENTS:
                said = time.monotonic()
                yield RowsPredicted(**asdict(part))
            if job.cancel.exists() or not job.output.exists():  # nobody waits any more
                yield JobEnded(number=job.number, status="cancelled")
                return
        notes = list_notes(predictor, image)
        yield JobEnded(number=job.number, status="done", notes=notes)

    def _load(self, job: PredictLayerJob) -> Predictor:
        """Predictor of the job, kept from the last one if model and settings are the same."""
        from pixelwise.prediction.predictor import Predictor

        stamp = job.model.stat().st_mtime_ns if job.model.exists() else 0
        key = (job.model, stamp, job.settings)
        if self._predictor is None or key != self._key:
            self._key, self._predictor = None, None  # gives its memory back first
            self._predictor = Predictor(job.model, job.settings)
            self._key = key
        return self._predictor


def _open_source(job: PredictLayerJob) -> ImageSource:
    """Open the job's image: a file, or the NumPy file of a layer."""
    if job.source.suffix != ".npy":
        return open_image(job.source, axes=job.axes)
    array = np.load(job.source, mmap_mode="r")
    return ImageArray(array, NamedAxes(parse_axes(job.axes or "", array.ndim), "as given"))


def _describe(job: DescribeJob) -> NetworkDescribed:
    """Build the network and look at it."""
    from pixelwise.models.registry import create_model
    from pixelwise.models.summary import summarize

    model = job.model
    network = create_model(
        model.name,
        job.in_channels,
        classes=job.classes,
        encoder=model.encoder,
        **model.options,
    )
    summary = summarize(network, job.size, batch_size=job.batch_size)
    return NetworkDescribed(summary=asdict(summary))
