"""The command serve: a warm child that answers one request after another."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click
import numpy as np

from pixelwise.atomic import create_array
from pixelwise.cli.console import echo
from pixelwise.errors import PixelwiseError, describe_failure
from pixelwise.events import Event, NetworkDescribed, PredictionStarted, RequestEnded
from pixelwise.requests import DescribeRequest, PredictRequest, Request, parse_request

if TYPE_CHECKING:
    from pixelwise.prediction.predictor import Predictor

_SECONDS_BETWEEN_EVENTS = 0.2


@click.command()
@click.option(
    "--idle-minutes", type=float, default=10.0, help="End after so long without a request [10]"
)
def serve(idle_minutes: float) -> None:
    """Answer requests on standard input, one JSON line each, with events; for the widgets.

    Ends with its input, so never later than the program that asks.
    """
    server = _Server()
    for line in _iter_lines(idle_minutes * 60):
        request = parse_request(line)
        for event in server.answer(request):
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


class _Server:
    """Keeps the last model loaded between requests."""

    def __init__(self) -> None:
        self._key: object = None
        self._predictor: Predictor | None = None

    def answer(self, request: Request) -> Iterator[Event]:
        """Events of one request; an error becomes the last of them."""
        try:
            if isinstance(request, DescribeRequest):
                yield _describe(request)
                yield RequestEnded(number=request.number, status="done")
                return
            yield from self._predict(request)
        except (PixelwiseError, OSError, RuntimeError, ValueError, MemoryError) as error:
            message = describe_failure(error)
            yield RequestEnded(number=request.number, status="failed", message=message)

    def _predict(self, request: PredictRequest) -> Iterator[Event]:
        """Predict into the request's file, and report rows as they are final."""
        from pixelwise.prediction.pipeline import iter_predict
        from pixelwise.prediction.predict import list_notes, open_source
        from pixelwise.prediction.sinks import ArraySink

        predictor = self._load(request)
        is_layer = request.source.suffix == ".npy"
        layer = np.load(request.source, mmap_mode="r") if is_layer else request.source
        image = open_source(layer, request.axes)
        events = iter_predict(predictor, image, ArraySink(partial(create_array, request.output)))
        next(events)  # the image is open
        names, shape = predictor.result_axes(image.axes.names, image.shape)
        compute = predictor.tiles.compute
        yield PredictionStarted(
            output=str(request.output),
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
            if request.cancel.exists() or not request.output.exists():  # nobody waits any more
                yield RequestEnded(number=request.number, status="cancelled")
                return
        notes = list_notes(predictor, image)
        yield RequestEnded(number=request.number, status="done", notes=notes)

    def _load(self, request: PredictRequest) -> Predictor:
        """Predictor of the request, kept from the last one if model and settings are the same."""
        from pixelwise.prediction.predictor import Predictor

        stamp = request.model.stat().st_mtime_ns if request.model.exists() else 0
        key = (request.model, stamp, request.settings)
        if self._predictor is None or key != self._key:
            self._key, self._predictor = None, None  # gives its memory back first
            self._predictor = Predictor(request.model, request.settings)
            self._key = key
        return self._predictor


def _describe(request: DescribeRequest) -> NetworkDescribed:
    """Build the network and look at it."""
    from pixelwise.models.registry import create_model
    from pixelwise.models.summary import summarize

    model = request.model
    network = create_model(
        model.name,
        request.in_channels,
        classes=request.classes,
        encoder=model.encoder,
        **model.options,
    )
    summary = summarize(network, request.size, batch_size=request.batch_size)
    return NetworkDescribed(summary=asdict(summary))
