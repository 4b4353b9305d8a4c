"""The command serve: a warm child process that runs one small job after another."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from pixelwise.atomic import create_array
from pixelwise.cli.console import echo
from pixelwise.cli.models import summarize_network
from pixelwise.errors import ConfigError, PixelwiseError, describe_failure
from pixelwise.events import Event, JobEnded, NetworkDescribed, PredictionStarted
from pixelwise.jobs import DescribeJob, Job, LiveJob, PredictLayerJob, ServedJob, parse_job
from pixelwise.pixel_classifier import PixelClassifier

if TYPE_CHECKING:
    from pixelwise.images import ImageSource
    from pixelwise.prediction.predictor import Predictor

_SECONDS_BETWEEN_EVENTS = 0.2


@click.command()
@click.option(
    "--idle-minutes", type=float, default=10.0, help="End after this long without a job [10]"
)
def serve(idle_minutes: float) -> None:
    """Run small jobs from standard input, one JSON line each, and print their events.

    Ends with its input, so never later than the program that started it.
    """
    server = Server()
    for line in _iter_lines(idle_minutes * 60):
        for event in server.answer(parse_job(line)):
            echo(event.to_json())


def _iter_lines(idle_seconds: float) -> Iterator[str]:
    """Lines of standard input, until it ends or stays silent for too long."""
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
    """Runs small jobs, and keeps the last model and the last features between them."""

    def __init__(self) -> None:
        self._key: object = None
        self._predictor: Predictor | None = None
        self._classifier = PixelClassifier()

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
                case LiveJob():
                    yield self._classify(job)
                case _:
                    raise ConfigError(f"The job {job.job} needs 'pixelwise run'.")
        except (PixelwiseError, OSError, RuntimeError, ValueError, MemoryError) as error:
            message = describe_failure(error)
            yield JobEnded(number=number, status="failed", message=message)

    def _predict(self, job: PredictLayerJob) -> Iterator[Event]:
        """Predict into the job's file, and report rows as they are final."""
        from pixelwise.prediction.layer_rows import LayerRows, cut_region
        from pixelwise.prediction.pipeline import iter_predict
        from pixelwise.prediction.predict import list_notes, open_source
        from pixelwise.prediction.sinks import ArraySink

        predictor = self._load(job)
        is_layer = job.source.suffix == ".npy"
        layer = np.load(job.source, mmap_mode="r") if is_layer else job.source
        image = around = open_source(layer, job.axes)
        if job.region is not None:
            image = cut_region(around, job.region, predictor)
        doubt = None
        if job.uncertainty is not None:
            doubt = _create_uncertainty(job.uncertainty, predictor, image)
        sink = ArraySink(partial(create_array, job.output))
        execute = LayerRows(around, job.region, doubt)
        events = iter_predict(predictor, image, sink, execute=execute)
        next(events)  # the image is open
        names, shape = predictor.result_axes(image.axes.names, image.shape)
        compute = predictor.tiles.compute
        yield PredictionStarted(
            output=str(job.output),
            axes=names,
            shape=shape,
            device=str(compute.device),
            device_reason=compute.device_reason,
            notes=list_notes(predictor, image),
        )
        said = time.monotonic()
        for rows in events:
            if rows.stop > rows.start or time.monotonic() - said > _SECONDS_BETWEEN_EVENTS:
                said = time.monotonic()
                yield rows
            if job.cancel.exists() or not job.output.exists():  # nobody is waiting
                yield JobEnded(number=job.number, status="cancelled")
                return
        notes = list_notes(predictor, image)
        yield JobEnded(number=job.number, status="done", notes=notes)

    def _classify(self, job: LiveJob) -> JobEnded:
        """Label the pixels of a region into the job's file."""
        image = np.load(job.source)
        if job.strokes is None:
            self._classifier.prepare(image)
        else:
            labels = self._classifier.classify(image, np.load(job.strokes))
            create_array(job.output, dtype=labels.dtype, shape=labels.shape)[:] = labels
        return JobEnded(number=job.number, status="done", notes=self._classifier.notes)

    def _load(self, job: PredictLayerJob) -> Predictor:
        """Predictor of the job, kept from the last one if model and settings are the same."""
        from pixelwise.prediction.predictor import Predictor

        stamp = job.model.stat().st_mtime_ns if job.model.exists() else 0
        key = (job.model, stamp, job.settings)
        if self._predictor is None or key != self._key:
            self._key, self._predictor = None, None  # frees its memory first
            self._predictor = Predictor(job.model, job.settings)
            self._key = key
        return self._predictor


def _create_uncertainty(path: Path, predictor: Predictor, image: ImageSource) -> Any:
    """Create the file for the uncertainty of an image's pixels, float32 (N, Y, X)."""
    from pixelwise.input_check import shape_planes

    planes, _, *size = shape_planes(image, predictor.model.card)
    return create_array(path, dtype=np.float32, shape=(planes, *size))


def _describe(job: DescribeJob) -> NetworkDescribed:
    """Build the network and summarise it."""
    return NetworkDescribed(summary=asdict(summarize_network(job)))
