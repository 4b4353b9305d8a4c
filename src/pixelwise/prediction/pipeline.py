"""The one path of every prediction, into arrays and files.

source → plane reader → sliding window → rows in a spool → post-processing → sink
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.events import RowsPredicted
from pixelwise.images import ImageFile, ImageSource
from pixelwise.models.allocator import keeping_freed_memory
from pixelwise.prediction import result_spool
from pixelwise.prediction.plane_reader import reading_planes
from pixelwise.prediction.post_processing import PostProcessing
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.result_spool import ResultSpool
from pixelwise.prediction.sinks import ArraySink, Sink

Array = npt.NDArray[Any]

RowExecutor = Callable[[Predictor, ImageSource, ResultSpool], Iterator[RowsPredicted]]
"""Predicts the rows that a spool lacks: this process, or the workers of a cluster."""

_MOST_WAITING = 2


def iter_predict(
    predictor: Predictor, source: ImageSource, sink: Sink, *, execute: RowExecutor | None = None
) -> Iterator[RowsPredicted]:
    """Predict an image into a sink.

    The memory for a file grows with the width of the image only. A prediction of a file into a file
    that was stopped or killed resumes after its last finished rows, if image, model and settings
    are the same.

    Parameters
    ----------
    predictor : Predictor
    source : ImageSource
    sink : Sink
        An `ArraySink`, or a `FileSink` as `plan_file` creates it.
    execute : RowExecutor, optional
        Predicts the rows; `predict_here` if not given.

    Yields
    ------
    RowsPredicted
        First when the image is open, then after every batch of tiles, and for an array again when
        a plane was post-processed.

    Raises
    ------
    DataError, ReadError, BudgetError
        As in `reading_planes`, or the image does not have the intensities of the training images.
    WriteError
        The folder cannot be written, the disk is full, or what is there is not to be replaced, see
        `outputs`.
    """
    predictor.require_input(source)
    if isinstance(source, ImageFile):
        source.require_room()  # before anything is made of its size
    with sink.opening(predictor, source) as spool:
        rows = (execute or predict_here)(predictor, source, spool)
        yield from sink.iter_write(rows, PostProcessing(predictor, source, spool))


def predict_array(predictor: Predictor, source: ImageSource) -> Array:
    """Predict an image into an array (N, Y, X) of labels or (N, classes, Y, X) of probabilities."""
    sink = ArraySink()
    for _ in iter_predict(predictor, source, sink):
        pass
    return sink.array


def predict_here(
    predictor: Predictor, source: ImageSource, spool: ResultSpool
) -> Iterator[RowsPredicted]:
    """Predict the rows that a spool lacks in this process; a `RowExecutor`."""
    missing = {plane: list(spool.missing(plane)) for plane in range(spool.shape[0])}
    whole = spool.shape[0] * spool.shape[-2]
    left = sum(len(run) for runs in missing.values() for run in runs)
    with (
        reading_planes(source, predictor.model.card) as planes,
        keeping_freed_memory(),
        ThreadPoolExecutor(1, "pixelwise writer") as thread,
    ):
        writer = _RowWriter(spool, thread)
        predictor.heard = planes.notes
        yield RowsPredicted(plane=0, start=0, stop=0, done=1 - left / whole)
        for number, runs in missing.items():
            plane = planes[number]
            intensities = None
            if runs and not predictor.resizes(plane.shape):
                intensities = predictor.measure(plane)
            for run in runs:
                for strip in predictor.iter_rows(plane, run, intensities=intensities):
                    writer.add(number, strip.y, strip.values)
                    done = 1 - (left - strip.done * len(run)) / whole
                    stop = strip.y + strip.values.shape[-2]
                    yield RowsPredicted(plane=number, start=strip.y, stop=stop, done=done)
                writer.finish()
                left -= len(run)
        predictor.heard = planes.notes


class _RowWriter:
    """Writes final rows into a spool: into memory at once, onto a disk in whole blocks.

    A thread writes the blocks while the next rows are predicted.
    """

    def __init__(self, spool: ResultSpool, thread: ThreadPoolExecutor) -> None:
        self._spool = spool
        self._thread = thread
        self._waiting: list[Future[None]] = []
        self._rows: list[Array] = []
        self._place = (0, 0)

    def add(self, plane: int, y: int, values: Array) -> None:
        """Take rows that follow those of the previous call, or begin a new run."""
        if not values.shape[-2]:
            return
        if self._spool.folder is None:
            self._spool.write(plane, y, values)
            return
        if not self._rows:
            self._place = plane, y
        self._rows.append(values)
        rows = y + values.shape[-2] - self._place[1]
        if rows >= result_spool.BLOCK_ROWS:
            self._send(rows // result_spool.BLOCK_ROWS * result_spool.BLOCK_ROWS)

    def finish(self) -> None:
        """Write the rows of a run's last block, and wait until all are on the disk."""
        if self._rows:
            self._send(sum(rows.shape[-2] for rows in self._rows))
        self._wait(most=0)

    def _send(self, count: int) -> None:
        """Hand the first `count` rows to the thread."""
        plane, start = self._place
        values = np.concatenate(self._rows, axis=-2) if len(self._rows) > 1 else self._rows[0]
        rest = values[..., count:, :]
        self._rows = [rest] if rest.shape[-2] else []
        self._place = plane, start + count
        self._wait(most=_MOST_WAITING - 1)
        task = self._thread.submit(self._write, plane, start, values[..., :count, :])
        self._waiting.append(task)

    def _wait(self, *, most: int) -> None:
        """Wait until at most so many blocks are being written; raise the error of one."""
        while len(self._waiting) > most:
            self._waiting.pop(0).result()

    def _write(self, plane: int, start: int, values: Array) -> None:
        self._spool.record(plane, start, self._spool.write(plane, start, values))
