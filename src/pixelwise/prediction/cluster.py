"""Prediction by the workers of a dask cluster.

A task is some blocks of rows of one plane: it reads them with their surroundings, predicts them on
the image's one grid of tiles, and writes them, so that every chunk of the part has one writer. The
labels are those of one process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pixelwise.config import PredictConfig
from pixelwise.errors import ConfigError, DataError, PixelwiseError
from pixelwise.images import ImageFile, ImageSource, open_image
from pixelwise.models.files import save_model
from pixelwise.prediction import parts
from pixelwise.prediction.bands import Intensities
from pixelwise.prediction.parts import Part
from pixelwise.prediction.planes import reading_planes, shape_planes
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.stream import Filler, fill_here

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
    model: Path
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
        threads = max((os.cpu_count() or 1) // count, 1)
        options = {"n_workers": count, "threads_per_worker": threads, "dashboard_address": None}
        with LocalCluster(**options) as cluster, Client(cluster) as client:
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


def create_filler(client: Client) -> Filler:
    """Make a `Filler` whose rows are predicted by the workers of a cluster.

    All of them must see the image and the output under the same paths. A worker that has the
    resource GPU gives one to each task.
    """

    def fill(predictor: Predictor, source: ImageSource, part: Part) -> Iterator[float]:
        if part.folder is None:  # small
            yield from fill_here(predictor, source, part)
            return
        if not isinstance(source, ImageFile):
            raise DataError("Workers read the image themselves: give a file, not an array.")
        tasks = _list_tasks(predictor, source, part)
        yield from _run(client, tasks, part)

    return fill


def _list_tasks(predictor: Predictor, source: ImageFile, part: Part) -> list[_Task]:
    """Cut what a part lacks into tasks, and put the model where the workers find it."""
    assert part.folder is not None  # noqa: S101  the caller's case
    model = part.folder.absolute() / "model.safetensors"
    save_model(model, predictor.model.network.state_dict(), predictor.model.card)
    shape = shape_planes(source, predictor.model.card)
    whole = predictor.resizes(shape[1:])
    step = shape[2] if whole else _BLOCKS_PER_TASK * parts.BLOCK_ROWS
    tasks = []
    for plane in range(shape[0]):
        runs = list(part.missing(plane))
        intensities = _measure(predictor, source, plane) if runs and not whole else None
        tasks += [
            _Task(
                source.path.absolute(),
                source.axes.names,
                model,
                predictor.config,
                plane,
                range(start, min(start + step, run.stop)),
                intensities,
            )
            for run in runs
            for start in range(run.start, run.stop, step)
        ]
    return tasks


def _measure(predictor: Predictor, source: ImageSource, plane: int) -> Intensities | None:
    """Offset and scale of a plane, if they take a reading of it all, which is done once."""
    if predictor.model.card.normalization.kind == "fixed":
        return None
    with reading_planes(source, predictor.model.card) as planes:
        return predictor.measure(planes[plane])


def _run(client: Client, tasks: list[_Task], part: Part) -> Iterator[float]:
    """Let the workers do the tasks; note what is done, and yield its share."""
    from distributed import KilledWorker, as_completed

    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    has_gpus = any(worker["resources"].get("GPU") for worker in workers)
    options: dict[str, Any] = {"resources": {"GPU": 1}} if has_gpus else {}
    futures = client.map(_predict_task, tasks, pure=False, **options)
    try:
        for future in as_completed(futures):
            plane, rows = future.result()
            part.mark(plane, rows.start, len(rows))
            yield part.share
    except KilledWorker as error:
        raise PixelwiseError(
            f"Several workers died while they predicted the same rows: {error}. "
            "They may lack memory: use fewer workers, or a smaller tile."
        ) from error
    finally:
        client.cancel(futures)


def _predict_task(task: _Task) -> tuple[int, range]:
    """Predict rows and write them into the part: what a worker does."""
    import torch
    from distributed import get_worker

    with _ONE_AT_A_TIME:  # a task uses all threads of its worker
        torch.set_num_threads(get_worker().state.nthreads)
        predictor = _load_predictor(task.model, task.settings)
        with reading_planes(open_image(task.image, axes=task.axes), predictor.model.card) as planes:
            values = predictor.predict_rows(
                planes[task.plane], task.rows, intensities=task.intensities
            )
        Part.open(task.model.parent).write(task.plane, task.rows.start, values)
    return task.plane, task.rows


@lru_cache(maxsize=1)
def _load_predictor(model: Path, settings: PredictConfig) -> Predictor:
    """Load a model once per worker."""
    return Predictor(model, settings)
