"""Rows of what a window shows: whole planes, or a region of one, and how uncertain they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.errors import DataError
from pixelwise.events import RowsPredicted
from pixelwise.images import ImageArray, ImageSource
from pixelwise.input_check import shape_planes
from pixelwise.jobs import PlacedRegion
from pixelwise.models.allocator import keeping_freed_memory
from pixelwise.normalization import Plane
from pixelwise.prediction.plane_reader import reading_planes
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.result_spool import ResultSpool

Array = npt.NDArray[Any]


class PlacedPlane:
    """A plane (C, Y, X) of which only a part is known; the rest is 0.

    Parameters
    ----------
    part : Plane, (C, Y, X)
    region : PlacedRegion
        Says where the part lies.
    """

    def __init__(self, part: Plane, region: PlacedRegion) -> None:
        self._part = part
        self._corner = region.corner
        self.shape = (part.shape[0], *region.plane)

    def __getitem__(self, key: tuple[slice, slice]) -> Array:
        channels, rows = key
        (top, left), (_, height, width) = self._corner, self._part.shape
        wanted = range(self.shape[1])[rows]
        start, stop = (min(max(y - top, 0), height) for y in (wanted.start, wanted.stop))
        known = self._part[channels, start:stop]
        found = np.zeros((len(known), len(wanted), self.shape[2]), known.dtype)
        first = start + top - wanted.start
        found[:, first : first + stop - start, left : left + width] = known
        return found


@dataclass(frozen=True)
class LayerRows:
    """Predicts all rows of a source, or those of a region; a `RowExecutor`.

    Attributes
    ----------
    around : ImageSource or None
        One plane: the region, which is the source then, and what lies around it.
    region : PlacedRegion or None
    uncertainty : float32 ndarray, (N, Y, X), or None
        Is filled with 1 - the largest probability.
    """

    around: ImageSource | None = None
    region: PlacedRegion | None = None
    uncertainty: Array | None = None

    def __call__(
        self, predictor: Predictor, source: ImageSource, spool: ResultSpool
    ) -> Iterator[RowsPredicted]:
        """Write the rows of one plane after another."""
        card, count = predictor.model.card, spool.shape[0]
        with reading_planes(self.around or source, card) as planes, keeping_freed_memory():
            predictor.heard = planes.notes
            yield RowsPredicted(plane=0, start=0, stop=0, done=0.0)
            for number, plane in enumerate(planes):
                for event in self._iter_plane(predictor, number, plane, spool=spool):
                    done = (number + event.done) / count
                    yield event.model_copy(update={"done": done})
            predictor.heard = planes.notes

    def _iter_plane(
        self, predictor: Predictor, number: int, plane: Plane, *, spool: ResultSpool
    ) -> Iterator[RowsPredicted]:
        """Predict one plane; `done` is the fraction of it."""
        rows, columns, placed = range(plane.shape[1]), range(plane.shape[2]), plane
        if self.region is not None:
            rows, columns = range(*self.region.rows), range(*self.region.columns)
            placed = PlacedPlane(plane, self.region)
        intensities = None if predictor.resizes(placed.shape) else predictor.measure(plane)
        for strip in predictor.iter_rows(
            placed,
            rows,
            columns,
            intensities=intensities,
            with_uncertainty=self.uncertainty is not None,
        ):
            start = strip.y - rows.start
            stop = start + strip.values.shape[-2]
            if stop > start:
                spool.write(number, start, strip.values)
            if self.uncertainty is not None and strip.uncertainty is not None:
                self.uncertainty[number, start:stop] = strip.uncertainty
            yield RowsPredicted(plane=number, start=start, stop=stop, done=strip.done)


def cut_region(source: ImageSource, region: PlacedRegion, predictor: Predictor) -> ImageArray:
    """Cut the region out of a plane that holds it.

    Raises
    ------
    DataError
        The region lies outside of the source or of the plane, or the model needs the whole plane
        and the source is a part of it.
    """
    if not isinstance(source, ImageArray):
        raise DataError("A region is cut out of an array: give a NumPy file.")
    axes, shape = source.axes.names, dict(zip(source.axes.names, source.shape, strict=True))
    card, spans = predictor.model.card, {"Y": region.rows, "X": region.columns}
    for letter, corner, whole in zip("YX", region.corner, region.plane, strict=True):
        start, stop = spans[letter]
        if not 0 <= corner <= start < stop <= corner + shape[letter] <= whole:
            raise DataError(
                f"The region {start} to {stop} of axis {letter} is not in the pixels {corner} to "
                f"{corner + shape[letter]} of {whole} that are given."
            )
    is_whole = (shape["Y"], shape["X"]) == region.plane
    if shape_planes(source, card)[0] != 1:
        raise DataError(f"A region has one plane, got the axes {axes} of shape {source.shape}.")
    if not is_whole and card.needs_whole_plane:
        raise DataError("The model resizes or normalises each image by itself: give all of it.")
    places = zip("YX", region.corner, strict=True)
    cut = {x: slice(spans[x][0] - at, spans[x][1] - at) for x, at in places}
    return ImageArray(source.array[tuple(cut.get(x, slice(None)) for x in axes)], source.axes)
