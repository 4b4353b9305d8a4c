"""Distributed prediction by the workers of a dask cluster.

A task is a few blocks of rows of one plane. Its worker reads them with their surroundings, predicts
them on the image's one grid of tiles, and writes them, so that every chunk of the spool has one
writer. The labels are the same as those of a single process.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pixelwise.config import PredictConfig
from pixelwise.errors import ConfigError, DataError, PixelwiseError
from pixelwise.events import RowsPredicted
from pixelwise.images import ImageFile, ImageSource, open_image
from pixelwise.input_check import shape_planes
from pixelwise.models.devices import using_cores
from pixelwise.models.files import save_model
from pixelwise.prediction import result_spool
from pixelwise.prediction.pipeline import RowExecutor, predict_here
from pixelwise.prediction.plane_reader import reading_planes
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.result_spool import MODEL, ResultSpool, read_about
from pixelwise.prediction.sliding_window import Intensities

if TYPE_CHECKING:
    from distributed import Client

_BLOCKS_PER_TASK: Final = 4
_SECONDS_TO_CONNECT: Final = 30
_ONE_AT_A_TIME: Final = threading.Lock()


@dataclass(frozen=True)
class _Task:
    """Rows of one plane to predict, and all that a worker needs to know for it."""

    image: Path
    axes: str
    folder: Path
    about: str
    fingerprint: str
    settings: PredictConfig
    plane: int
    rows: range
    intensities: Intensities | None


@contextmanager
def connecting(address: str | None = None, workers: int | None = None) -> Iterator[Client]:
    """Give a client of the cluster at an address, or of one with some processes on this machine.

    Raises
    ------
    ConfigError
        dask.distributed is not installed, or nothing answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ConfigError(
            "Prediction by several workers needs dask: pip install 'napari-pixelwise[dask]'."
        ) from error
    if address is None:
        count = workers or 1
        threads, dashboard = max((os.cpu_count() or 1) // count, 1), "127.0.0.1:0"
        cluster = LocalCluster(
            n_workers=count, threads_per_worker=threads, dashboard_address=dashboard
        )
        with cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"No dask scheduler answers at {address}: {error}. Start one with `dask scheduler`, "
            "and workers with `dask worker`."
        ) from error
    with client:
        yield client


def create_dask_executor(client: Client) -> RowExecutor:
    """Create a `RowExecutor` that lets the workers of a cluster predict the rows.

    All workers must see the image and the output under the same paths. A worker with the resource
    GPU gives one to each task. Small results are predicted by this process.
    """

    def execute(
        predictor: Predictor, source: ImageSource, spool: ResultSpool
    ) -> Iterator[RowsPredicted]:
        if spool.folder is None:  # small
            yield from predict_here(predictor, source, spool)
            return
        if not isinstance(source, ImageFile):
            raise DataError("Workers read the image themselves: give a file, not an array.")
        tasks = _list_tasks(predictor, source, spool)
        yield from _run(client, tasks, spool)

    return execute


def _list_tasks(predictor: Predictor, source: ImageFile, spool: ResultSpool) -> list[_Task]:
    """Divide the missing rows of a spool into tasks, and save the model for the workers."""
    assert spool.folder is not None  # noqa: S101  the caller checked
    folder = spool.folder.absolute()
    model = predictor.model
    save_model(folder / MODEL, model.network.state_dict(), model.card)
    planes, _, height, _ = shape = shape_planes(source, model.card)
    whole = predictor.resizes(shape[1:])
    step = height if whole else _BLOCKS_PER_TASK * result_spool.BLOCK_ROWS
    runs = {plane: list(spool.missing(plane)) for plane in range(planes)}
    # With this process' precision, so that the labels are the same as its own.
    precision = predictor.tiles.compute.precision
    # The saved model is already scaled to the white of the images.
    settings = predictor.config.model_copy(update={"precision": precision, "white": None})
    known = {} if whole else _measure(predictor, source, [plane for plane in runs if runs[plane]])
    return [
        _Task(
            source.path.absolute(),
            source.axes.names,
            folder,
            str(read_about(folder)),
            predictor.fingerprint,
            settings,
            plane,
            range(start, min(start + step, run.stop)),
            known.get(plane),
        )
        for plane in runs
        for run in runs[plane]
        for start in range(run.start, run.stop, step)
    ]


def _measure(
    predictor: Predictor, source: ImageSource, wanted: list[int]
) -> dict[int, Intensities]:
    """Offset and scale of planes, measured once, if that means to read the whole planes."""
    if predictor.model.card.normalization.kind == "fixed":
        return {}
    with reading_planes(source, predictor.model.card) as planes:
        return {plane: predictor.measure(planes[plane]) for plane in wanted}


def _run(client: Client, tasks: list[_Task], spool: ResultSpool) -> Iterator[RowsPredicted]:
    """Let the workers run the tasks; record and yield the rows that are done.

    There are never more tasks in progress than workers, because each uses all of its threads.
    """
    from distributed import KilledWorker, as_completed

    client.wait_for_workers(1)
    waiting, started = deque(tasks), as_completed(loop=client.loop)

    def start() -> None:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        has_gpus = any(worker["resources"].get("GPU") for worker in workers)
        options: dict[str, Any] = {"resources": {"GPU": 1}} if has_gpus else {}
        while waiting and started.count() < max(len(workers), 1):
            task = waiting.popleft()
            started.add(client.submit(_predict_task, task, pure=False, **options))

    try:
        start()
        for future in started:
            plane, first, checks = future.result()
            spool.record(plane, first, checks)
            start()
            stop = min(first + len(checks) * result_spool.BLOCK_ROWS, spool.shape[-2])
            yield RowsPredicted(plane=plane, start=first, stop=stop, done=spool.fraction)
    except KilledWorker as error:
        raise PixelwiseError(
            f"Several workers died while predicting the same rows: {error}. They may lack "
            "memory: use fewer workers, or a smaller tile. The finished rows are kept."
        ) from error
    except CancelledError as error:
        raise PixelwiseError(
            f"The dask scheduler does not answer any more: {error}. The finished rows are kept; "
            "start the prediction again when the scheduler is back."
        ) from error
    finally:
        client.cancel(list(started.futures))


def _predict_task(task: _Task) -> tuple[int, int, list[int]]:
    """Predict rows and write them into the spool, in a worker; return the arguments of `record`."""
    import torch
    from distributed import get_worker

    worker = get_worker()
    with _ONE_AT_A_TIME, using_cores(worker.state.nthreads):
        settings = choose_gpu(task.settings, worker.name, count=torch.cuda.device_count())
        predictor = _load_predictor(task, settings)
        image = open_image(task.image, axes=task.axes)
        with reading_planes(image, predictor.model.card) as planes:
            values = predictor.predict_rows(
                planes[task.plane], task.rows, intensities=task.intensities
            )
        checks: list[int] = []
        if read_about(task.folder) == task.about:  # else nobody needs these rows any more
            checks = ResultSpool.open(task.folder).write(task.plane, task.rows.start, values)
    return task.plane, task.rows.start, checks


def choose_gpu(settings: PredictConfig, name: object, *, count: int) -> PredictConfig:
    """Give each of several workers on this machine, named 0, 1, …, a GPU of its own."""
    if settings.device != "auto" or count < 2 or not isinstance(name, int):
        return settings
    return settings.model_copy(update={"device": f"cuda:{name % count}"})


_LOADED: dict[tuple[str, PredictConfig], Predictor] = {}


def _load_predictor(task: _Task, settings: PredictConfig) -> Predictor:
    """Load a model once per worker, for all images with the same settings."""
    key = task.fingerprint, settings
    if key not in _LOADED:
        _LOADED.clear()
        _LOADED[key] = Predictor(task.folder / MODEL, settings)
    return _LOADED[key]
