"""Post-processing of predicted rows, for arrays and files: cleaned labels, numbered objects."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import replacing
from pixelwise.checksums import hash_content
from pixelwise.images import ImageSource
from pixelwise.marks import Mark, name_mark, write_mark_beside
from pixelwise.outputs import Outputs
from pixelwise.prediction.objects import Areas, clean_plane, find_objects, measure_objects
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.result_spool import ResultSpool, SpoolPlane

Array = npt.NDArray[Any]

_COLUMNS: Final = (
    *("plane", "object", "class", "area_px", "area_um2", "centroid_y", "centroid_x"),
    *("top", "left", "bottom", "right"),
)


class PostProcessing:
    """Reads a result from the rows in a spool.

    A plane is post-processed when it is read for the first time, so all its rows must be there.
    Rows on a disk stay as they were predicted, for predictions with other settings; a copy is
    cleaned. Rows in memory are cleaned in place.

    Parameters
    ----------
    predictor : Predictor
    source : ImageSource
    spool : ResultSpool

    Attributes
    ----------
    planes : int
        Number of planes.
    is_needed : bool
        Whether a result differs from the rows in the spool.
    """

    def __init__(self, predictor: Predictor, source: ImageSource, spool: ResultSpool) -> None:
        self.predictor = predictor
        self.source = source
        self.planes = spool.shape[0]
        self.is_needed = predictor.config.cleans or predictor.config.instances
        self._spool = spool
        self._scratch: ResultSpool | None = None
        self._cleaned: set[int] = set()
        self._objects: tuple[int, Areas] | None = None

    def read(self, plane: int, rows: slice, channel: int | None = None) -> Array:
        """Rows of a plane of the result; a `RowReader`.

        Planes are best read one after another, because the objects of one are kept.
        """
        if not self.predictor.config.instances:
            return self._find_spool(plane).read(plane, rows, channel)
        objects = self.find_objects(plane)
        blocks = self.labels(plane).blocks
        blocks = [block for block in blocks if block.start < rows.stop and block.stop > rows.start]
        found = np.concatenate([objects.read(block) for block in blocks])
        first = blocks[0].start
        return found[rows.start - first : rows.stop - first].astype(np.uint32)

    def labels(self, plane: int) -> SpoolPlane:
        """Class labels of a plane, after cleaning."""
        return SpoolPlane(self._find_spool(plane), plane)

    def find_objects(self, plane: int) -> Areas:
        """Objects in the labels of a plane; those of the last plane are kept."""
        if self._objects is None or self._objects[0] != plane:
            background = self.predictor.model.card.background
            self._objects = plane, find_objects(self.labels(plane), background)
        return self._objects[1]

    def _find_spool(self, plane: int) -> ResultSpool:
        """Give the spool that holds the rows of a plane after cleaning; it is cleaned once."""
        config, background = self.predictor.config, self.predictor.model.card.background
        if not config.cleans:
            return self._spool
        assert background is not None  # noqa: S101  the predictor checked
        self._scratch = self._scratch or self._spool.create_scratch()
        if plane not in self._cleaned:
            labels = SpoolPlane(self._scratch, plane)
            for rows in labels.blocks:
                labels.write(rows, self._spool.read(plane, rows))
            clean_plane(
                labels,
                background,
                smallest_object=config.smallest_object,
                largest_hole=config.largest_hole,
            )
            self._cleaned.add(plane)
        return self._scratch


def name_table(output: Path) -> Path:
    """Name the table that belongs to an output: ``a_labels.tif``, ``a_objects.csv``."""
    stem = output.name.removesuffix(output.suffix).removesuffix(".ome")
    ending = next((end for end in ("_labels", "_instances") if stem.endswith(end)), "")
    return output.with_name(f"{stem.removesuffix(ending)}_objects.csv")


def write_table(
    output: Path,
    result: PostProcessing,
    *,
    pixel_size_um: tuple[float, float] | None,
    mark: Mark,
    plan: Outputs,
) -> None:
    """Write the table of all objects (CSV) of the result in `output`, and its mark beside it.

    Areas in µm² need the height and width of a pixel. Errors are those of `require_unchanged`.
    """
    table = name_table(output)
    with replacing(table) as temp:
        with temp.open("w", newline="") as file:
            csv.writer(file).writerows(_iter_rows(result, pixel_size_um))
        for path in (table, name_mark(table)):
            plan.require_unchanged(path)
        # The old table goes before its mark does: a killed process may leave the new mark, beside
        # which the old table would look as if somebody had changed it.
        table.unlink(missing_ok=True)
        write_mark_beside(table, mark, content=hash_content(temp))


def _iter_rows(
    result: PostProcessing, pixel_size_um: tuple[float, float] | None
) -> Iterator[Sequence[object]]:
    """Rows of the table, with its header."""
    yield _COLUMNS
    names = result.predictor.model.card.class_names
    for plane in range(result.planes):
        for item in measure_objects(result.labels(plane), result.find_objects(plane)):
            area = ""
            if pixel_size_um is not None:
                area = f"{item.area_px * pixel_size_um[0] * pixel_size_um[1]:.6g}"
            centroid = [f"{item.centroid_y:.2f}", f"{item.centroid_x:.2f}"]
            box = [item.top, item.left, item.bottom, item.right]
            yield [plane, item.number, names[item.value], item.area_px, area, *centroid, *box]
