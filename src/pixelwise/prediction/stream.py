"""One image into one file: rows into a spool, the spool into the result."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import replacing
from pixelwise.axes import Calibration
from pixelwise.checksums import hash_content
from pixelwise.classes import describe_classes
from pixelwise.config import PredictConfig
from pixelwise.errors import ConfigError
from pixelwise.images import (
    ImageContent,
    ImageFile,
    ImageSource,
    RowReader,
    find_file,
    is_ome_tiff,
    write_tiff_rows,
    write_zarr_rows,
)
from pixelwise.marks import Mark, name_mark, write_mark_beside
from pixelwise.models.allocator import keeping_freed_memory
from pixelwise.outputs import Outputs, Sources, plan_outputs
from pixelwise.prediction import result_spool
from pixelwise.prediction.objects import Areas, clean_plane, find_objects, measure_objects
from pixelwise.prediction.plane_reader import reading_planes, shape_planes
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.provenance import create_mark
from pixelwise.prediction.result_spool import ResultSpool, SpoolPlane, opening_spool

Array = npt.NDArray[Any]

_MOST_WAITING = 2


class RowExecutor(Protocol):
    """Predicts the rows that a spool lacks, and yields the share of blocks that are there."""

    def __call__(
        self, predictor: Predictor, source: ImageSource, spool: ResultSpool
    ) -> Iterator[float]:
        """Fill the spool."""
        ...


def iter_predict_file(
    predictor: Predictor,
    source: ImageSource,
    output: Path,
    *,
    execute: RowExecutor | None = None,
    plan: Outputs | None = None,
) -> Iterator[float]:
    """Predict an image into an OME-Zarr if `output` is called ``.zarr``, else into a TIFF.

    The memory that this takes grows with the width of the image alone. Stopped or killed on the
    way, it goes on after the last finished rows when it is started again with the same image, model
    and settings. With ``table``, the objects are listed in ``NAME_objects.csv`` as well.

    Parameters
    ----------
    predictor : Predictor
    source : ImageSource
    output : path
        Its folder must exist; a result that is there under this name is replaced when all is done.
    execute : RowExecutor, optional
        Who predicts the rows; this process if not given.
    plan : Outputs, optional
        What `plan_outputs` said of `list_outputs`; asked here if not given.

    Yields
    ------
    float
        Share of the rows that are done, after every batch of tiles.

    Raises
    ------
    DataError, ReadError, BudgetError
        As in `reading_planes`.
    WriteError
        The folder cannot be written, the disk is full, or what is there is not to be replaced, see
        `outputs`.
    """
    plan = plan or plan_file(predictor, source, output)
    predictor.require_input(source)
    if predictor.row_dtype == np.float16 and is_ome_tiff(output):
        raise ConfigError("OME-TIFF has no float16: take float32 or uint8, or another format.")
    room = predictor.result_shape(shape_planes(source, predictor.model.card))
    about = _describe_job(predictor, source)
    with opening_spool(output, about, shape=room, dtype=predictor.row_dtype) as spool:
        yield from (execute or predict_here)(predictor, source, spool)
        _finish(predictor, source, spool, output=output, plan=plan)


def plan_file(
    predictor: Predictor, source: ImageSource, output: Path, *, overwrite: bool = False
) -> Outputs:
    """Decide whether an image's result may be written; errors as in `plan_outputs`."""
    read = [source.path] if isinstance(source, ImageFile) else []
    outputs = list_outputs(predictor.config, output)
    return plan_outputs(outputs, list_sources(predictor, read), overwrite=overwrite)


def list_outputs(config: PredictConfig, output: Path) -> list[Path]:
    """Files that belong to a result: itself, the table of its objects, and the table's mark."""
    table = name_table(output)
    return [output, *([table, name_mark(table)] if config.table else [])]


def list_sources(predictor: Predictor, images: Iterable[Path]) -> Sources:
    """Files that a prediction reads: images, and the model."""
    files = {place for image in images for place in (find_file(image), image)}
    return Sources((*files, *([] if predictor.file is None else [predictor.file])))


def predict_here(predictor: Predictor, source: ImageSource, spool: ResultSpool) -> Iterator[float]:
    """Predict the rows that a spool lacks in this process: a `RowExecutor`."""
    with (
        reading_planes(source, predictor.model.card) as planes,
        keeping_freed_memory(),
        _Writer(spool) as writer,
    ):
        for number, plane in enumerate(planes):
            runs = list(spool.missing(number))
            if not runs:
                continue
            intensities = None if predictor.resizes(plane.shape) else predictor.measure(plane)
            for rows in runs:
                share = spool.fraction
                size = len(rows) / (planes.shape[0] * planes.shape[2])
                for found in predictor.iter_rows(plane, rows, intensities=intensities):
                    writer.add(number, found.y, found.values)
                    yield min(share + size * found.done, 1.0)
                writer.finish()
        predictor.hear(planes)


class _Writer:
    """Gathers rows to whole blocks, and writes them in a thread while the next are predicted."""

    def __init__(self, spool: ResultSpool) -> None:
        self._spool = spool
        self._thread = ThreadPoolExecutor(1, "pixelwise writer")
        self._waiting: list[Future[None]] = []
        self._rows: list[Array] = []
        self._place = (0, 0)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def add(self, plane: int, y: int, values: Array) -> None:
        """Take rows that follow those of the call before, or begin a new run."""
        if not values.shape[-2]:
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
        """Give the first `count` rows to the thread."""
        plane, start = self._place
        values = np.concatenate(self._rows, axis=-2) if len(self._rows) > 1 else self._rows[0]
        rest = values[..., count:, :]
        self._rows = [rest] if rest.shape[-2] else []
        self._place = plane, start + count
        self._wait(most=_MOST_WAITING - 1)
        task = self._thread.submit(self._write, plane, start, values[..., :count, :])
        self._waiting.append(task)

    def _wait(self, *, most: int) -> None:
        """Wait until few writings are under way; the error of one is raised here."""
        while len(self._waiting) > most:
            self._waiting.pop(0).result()

    def _write(self, plane: int, start: int, values: Array) -> None:
        self._spool.mark(plane, start, self._spool.write(plane, start, values))


def _finish(
    predictor: Predictor, source: ImageSource, spool: ResultSpool, *, output: Path, plan: Outputs
) -> None:
    """Make the result of a spool that is complete."""
    config, card = predictor.config, predictor.model.card
    if config.cleans and card.background is not None:
        spool = spool.create_copy()
        for plane in range(spool.shape[0]):
            clean_plane(
                SpoolPlane(spool, plane),
                card.background,
                smallest_object=config.smallest_object,
                largest_hole=config.largest_hole,
            )
    names, shape = predictor.result_axes(source.axes.names, source.shape)
    known = source.calibration
    calibration = None if known is None else known.select(source.axes.names, names)
    classes = predictor.named_classes
    image = source.path if isinstance(source, ImageFile) else None
    mark = create_mark(predictor, image, axes=source.axes.names)
    content = ImageContent(
        names,
        shape,
        predictor.result_dtype,
        classes,
        calibration,
        mark=mark.model_dump(mode="json"),
    )
    if config.table:
        rows = _iter_table(predictor, spool, calibration, axes=names)
        _write_table(name_table(output), rows, mark=mark, plan=plan)
    check = partial(plan.require_unchanged, output)
    read: RowReader = spool.read
    if config.instances:
        read = _ObjectReader(spool, card.background).read
    if output.suffix.lower() == ".zarr":
        write_zarr_rows(output, content, read, check=check)
    else:
        notes = {} if config.probabilities else describe_classes(classes)
        write_tiff_rows(output, content, read, notes=notes, check=check)


def _write_table(
    table: Path, rows: Iterable[Sequence[object]], *, mark: Mark, plan: Outputs
) -> None:
    """Write a table and its mark.

    An old table goes first: beside another mark, which a killed process may leave, it would look
    as if somebody had changed it.
    """
    with replacing(table) as temp:
        with temp.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        for path in (table, name_mark(table)):
            plan.require_unchanged(path)
        table.unlink(missing_ok=True)
        write_mark_beside(table, mark, content=hash_content(temp))


def name_table(output: Path) -> Path:
    """File of the objects that belongs to an output: ``a_labels.tif``, ``a_objects.csv``."""
    stem = output.name.removesuffix(output.suffix).removesuffix(".ome")
    ending = next((end for end in ("_labels", "_instances") if stem.endswith(end)), "")
    return output.with_name(f"{stem.removesuffix(ending)}_objects.csv")


class _ObjectReader:
    """Gives the numbers of objects in place of the labels in a spool."""

    def __init__(self, spool: ResultSpool, background: int | None) -> None:
        self._spool = spool
        self._background = background
        self._plane = -1
        self._objects: Areas | None = None

    def read(self, plane: int, rows: slice, channel: int | None = None) -> Array:  # noqa: ARG002
        """Rows of a plane: a `RowReader`; planes are best asked for one after another."""
        labels = SpoolPlane(self._spool, plane)
        if self._objects is None or plane != self._plane:
            self._plane, self._objects = plane, find_objects(labels, self._background)
        blocks = [b for b in labels.blocks if b.start < rows.stop and b.stop > rows.start]
        found = np.concatenate([self._objects.read(block) for block in blocks])
        first = blocks[0].start
        return found[rows.start - first : rows.stop - first].astype(np.uint32)


def _iter_table(
    predictor: Predictor, spool: ResultSpool, calibration: Calibration | None, *, axes: str
) -> Iterator[Sequence[object]]:
    """Rows of the table of all objects."""
    card = predictor.model.card
    size = None if calibration is None else calibration.pixel_size_um(axes)
    columns = ["plane", "object", "class", "area_px", "area_um2", "centroid_y", "centroid_x"]
    yield [*columns, "top", "left", "bottom", "right"]
    for plane in range(spool.shape[0]):
        labels = SpoolPlane(spool, plane)
        for item in measure_objects(labels, find_objects(labels, card.background)):
            area = "" if size is None else f"{item.area_px * size[0] * size[1]:.6g}"
            name = card.class_names[item.value]
            centre = [f"{item.centroid_y:.2f}", f"{item.centroid_x:.2f}"]
            box = [item.top, item.left, item.bottom, item.right]
            yield [plane, item.number, name, item.area_px, area, *centre, *box]


def _describe_job(predictor: Predictor, source: ImageSource) -> dict[str, Any] | None:
    """Describe what rows depend on; None for an image that is no file: nothing tells it apart."""
    if not isinstance(source, ImageFile):
        return None
    fields = {"batch_size", "device", "precision", "format", "instances", "table"}
    fields |= {"smallest_object", "largest_hole"}
    return {
        "image": [*_stamp(find_file(source.path)), str(source.path)],
        "axes": source.axes.names,
        "model": predictor.fingerprint,
        "compute": predictor.compute,
        "settings": predictor.config.model_dump(mode="json", exclude=fields),
    }


def _stamp(path: Path) -> list[Any]:
    """Give what changes when an image file or folder does: its place, size and time."""
    files = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    times = max((item.st_mtime_ns for item in stats), default=0)
    return [str(path.resolve()), len(stats), sum(item.st_size for item in stats), times]
