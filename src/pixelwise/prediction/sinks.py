"""Where results go: an array, or a file with the table of its objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.config import PredictConfig
from pixelwise.errors import ConfigError
from pixelwise.events import RowsPredicted
from pixelwise.images import (
    ImageContent,
    ImageFile,
    ImageSource,
    find_file,
    is_ome_tiff,
    load_writer,
)
from pixelwise.input_check import shape_planes
from pixelwise.marks import name_mark
from pixelwise.outputs import Outputs, Sources, plan_outputs
from pixelwise.prediction.post_processing import PostProcessing, name_table, write_table
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.provenance import create_mark, describe_rows
from pixelwise.prediction.result_spool import ResultSpool, list_blocks, opening_spool

Array = npt.NDArray[Any]


class ArraySink:
    """An array, in memory or mapped from a file. Rows are in it as soon as they are final.

    Parameters
    ----------
    create : callable, optional
        Creates an array, given `shape` and `dtype`; in memory if not given.

    Attributes
    ----------
    array : ndarray, (N, Y, X) or (N, classes, Y, X)
        Labels, objects or probabilities; there is none before the prediction begins.
    """

    array: Array

    def __init__(self, create: Callable[..., Array] = np.empty) -> None:
        self._create = create

    @contextmanager
    def opening(self, predictor: Predictor, source: ImageSource) -> Iterator[ResultSpool]:
        """Create the array."""
        shape = predictor.result_shape(shape_planes(source, predictor.model.card))
        self.array = self._create(shape=shape, dtype=predictor.result_dtype)
        yield ResultSpool(self.array)

    def iter_write(
        self, rows: Iterator[RowsPredicted], result: PostProcessing
    ) -> Iterator[RowsPredicted]:
        """Post-process each plane in place when its last rows are final."""
        height = self.array.shape[-2]
        for done in rows:
            yield done
            if result.is_needed and done.stop == height:
                for block in list_blocks(height):
                    self.array[done.plane, block] = result.read(done.plane, block)
                yield done.model_copy(update={"start": 0, "stop": height})


@dataclass(frozen=True)
class FileSink:
    """A file in the format of its name, see `load_writer`; with a table if that is wanted.

    Attributes
    ----------
    output : Path
        Its folder must exist. A result of this name is replaced when the new one is complete.
    plan : Outputs
        What `plan_outputs` decided about `list_outputs`.
    """

    output: Path
    plan: Outputs

    @contextmanager
    def opening(self, predictor: Predictor, source: ImageSource) -> Iterator[ResultSpool]:
        """Open the spool beside the output; errors as in `opening_spool`."""
        if predictor.row_dtype == np.float16 and is_ome_tiff(self.output):
            raise ConfigError("OME-TIFF has no float16: take float32 or uint8, or another format.")
        shape = predictor.result_shape(shape_planes(source, predictor.model.card))
        about = describe_rows(predictor, source)
        with opening_spool(self.output, about, shape=shape, dtype=predictor.row_dtype) as spool:
            yield spool

    def iter_write(
        self, rows: Iterator[RowsPredicted], result: PostProcessing
    ) -> Iterator[RowsPredicted]:
        """Write the files when all rows are predicted."""
        yield from rows
        predictor, source = result.predictor, result.source
        names, shape = predictor.result_axes(source.axes.names, source.shape)
        known = source.calibration
        calibration = None if known is None else known.select(source.axes.names, names)
        image = source.path if isinstance(source, ImageFile) else None
        mark = create_mark(predictor, image, axes=source.axes.names)
        content = ImageContent(
            names,
            shape,
            predictor.result_dtype,
            () if predictor.config.instances else predictor.model.card.classes,
            calibration,
            mark=mark.model_dump(mode="json"),
        )
        if predictor.config.table:
            size = None if calibration is None else calibration.pixel_size_um(names)
            write_table(self.output, result, pixel_size_um=size, mark=mark, plan=self.plan)
        check = partial(self.plan.require_unchanged, self.output)
        load_writer(self.output).write_rows(self.output, content, result.read, check=check)


Sink = ArraySink | FileSink


def plan_file(
    predictor: Predictor, source: ImageSource, output: Path, *, overwrite: bool = False
) -> FileSink:
    """Create the sink of a file, if an image's result may be written there.

    Raises
    ------
    WriteError
        As in `plan_outputs`.
    """
    read = [source.path] if isinstance(source, ImageFile) else []
    outputs = list_outputs(predictor.config, output)
    plan = plan_outputs(outputs, list_sources(predictor, read), overwrite=overwrite)
    return FileSink(output, plan)


def list_outputs(config: PredictConfig, output: Path) -> list[Path]:
    """List the files of a result: the image, the table of its objects, and the table's mark."""
    table = name_table(output)
    return [output, *([table, name_mark(table)] if config.table else [])]


def list_sources(predictor: Predictor, images: Iterable[Path]) -> Sources:
    """List the files that a prediction reads: images, and the model."""
    files = {place for image in images for place in (find_file(image), image)}
    return Sources((*files, *([] if predictor.file is None else [predictor.file])))
