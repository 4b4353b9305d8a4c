"""Connected areas in class labels: remove small ones, fill holes, number and measure objects.

A plane of labels is read and written in blocks of rows, so that it may be on a disk. Areas are
found block by block and joined where blocks meet. Memory grows with the number of areas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.prediction.result_spool import SpoolPlane

Array = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]
Mapping = Callable[[Array], Array]


class Areas:
    """The connected areas of equal values of a plane, numbered from 1 in reading order.

    Parameters
    ----------
    plane : SpoolPlane
    connectivity : int
        1: pixels touch by their sides; 2: by their corners as well.
    background : int
        Value that belongs to no area.
    prepare : callable, optional
        Turns labels (rows, X) into the values that are compared.

    Attributes
    ----------
    count : int
    pixels : ndarray of int64, (count + 1,)
        Pixels of each area; those of 0, the background, come first.
    """

    def __init__(
        self,
        plane: SpoolPlane,
        *,
        connectivity: int,
        background: int,
        prepare: Mapping | None = None,
    ) -> None:
        self._plane = plane
        self._connectivity = connectivity
        self._background = background
        self._prepare = prepare
        starts, pixels, pairs = [0], [np.zeros(1, np.int64)], []
        above: tuple[Array, Array] | None = None
        for rows in plane.blocks:
            values, numbers = self._label(rows)
            found = np.bincount(numbers.ravel(), minlength=1)
            pixels[0] += found[0]
            pixels.append(found[1:])
            numbers = np.where(numbers, numbers + starts[-1], 0)
            if above is not None:
                pairs += self._iter_pairs(above, (values[0], numbers[0]))
            starts.append(starts[-1] + len(found) - 1)
            above = values[-1], numbers[-1]
        self._starts = dict(zip((rows.start for rows in plane.blocks), starts, strict=False))
        self._final = _join(starts[-1], pairs)
        self.count = int(self._final.max(initial=0))
        self.pixels = np.bincount(self._final, np.concatenate(pixels), self.count + 1)
        self.pixels = self.pixels.astype(np.int64)

    def read(self, rows: slice) -> Integers:
        """Numbers (rows, X) of the areas in one of the plane's blocks, as it is now."""
        _, numbers = self._label(rows)
        start = self._starts[rows.start]
        found: Integers = self._final[np.where(numbers, numbers + start, 0)]
        return found

    def _label(self, rows: slice) -> tuple[Array, Array]:
        """Give the compared values, and numbers from 1 in this block alone."""
        from skimage.measure import label

        values = self._plane.read(rows)
        values = values if self._prepare is None else self._prepare(values)
        values = values.astype(np.int64) - self._background
        return values, label(values, background=0, connectivity=self._connectivity)

    def _iter_pairs(self, above: tuple[Array, Array], below: tuple[Array, Array]) -> list[Array]:
        """Numbers of areas (2, pairs) that touch where two blocks meet."""
        width = len(above[0])
        found = []
        for shift in range(1 - self._connectivity, self._connectivity):
            a = slice(max(shift, 0), width + min(shift, 0))
            b = slice(max(-shift, 0), width - max(shift, 0))
            same = (above[0][a] == below[0][b]) & (above[0][a] != 0)
            found.append(np.unique([above[1][a][same], below[1][b][same]], axis=1))
        return found


def _join(count: int, pairs: list[Array]) -> Integers:
    """Renumber areas up to `count` after those in pairs have become one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.int64)
    graph = coo_array((np.ones(edges.shape[1], bool), (edges[0], edges[1])), (count + 1, count + 1))
    _, groups = connected_components(graph, directed=False)
    # Numbers are given in reading order, so the order of first members is that of the areas.
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    found: Integers = order[group]
    return found


def find_objects(plane: SpoolPlane, background: int | None = 0) -> Areas:
    """Find the connected areas (8-connected) of each class but the background; None: of all.

    Areas of two classes that touch are two objects.
    """
    return Areas(plane, connectivity=2, background=-1 if background is None else background)


def clean_plane(
    plane: SpoolPlane, background: int, *, smallest_object: int = 0, largest_hole: int = 0
) -> None:
    """Remove small objects from a plane and fill small holes, in place.

    Parameters
    ----------
    plane : SpoolPlane
        Classes.
    background : int
        Class that is no object.
    smallest_object : int
        Connected areas (8-connected) of one class with fewer pixels become background; this is done
        first.
    largest_hole : int
        Areas of background (4-connected) of up to so many pixels inside of one class become that
        class; areas that touch the edge of the image are no holes.
    """
    if smallest_object > 1:
        objects = find_objects(plane, background)
        is_small = objects.pixels < smallest_object
        is_small[0] = False
        _replace(plane, objects, chosen=is_small, value=background)
    if largest_hole > 0:
        present = {int(value) for rows in plane.blocks for value in np.unique(plane.read(rows))}
        for value in sorted(present - {background}):
            _fill_holes(plane, value, background=background, largest=largest_hole)


def _fill_holes(plane: SpoolPlane, value: int, *, background: int, largest: int) -> None:
    """Give small areas of background inside one class its value."""
    others = Areas(plane, connectivity=1, background=0, prepare=lambda labels: labels != value)
    is_hole = others.pixels <= largest
    is_hole[0] = False
    first, last = plane.blocks[0], plane.blocks[-1]
    for rows in plane.blocks:
        numbers = others.read(rows)
        is_hole[numbers[:, [0, -1]]] = False
        if rows == first:
            is_hole[numbers[0]] = False
        if rows == last:
            is_hole[numbers[-1]] = False
    _replace(plane, others, chosen=is_hole, value=value, only=background)


def _replace(
    plane: SpoolPlane,
    areas: Areas,
    *,
    chosen: npt.NDArray[np.bool_],
    value: int,
    only: int | None = None,
) -> None:
    """Write a value into some areas, or into those of their pixels that have one value."""
    if not chosen.any():
        return
    for rows in plane.blocks:
        labels = plane.read(rows)
        wanted = chosen[areas.read(rows)]
        wanted = wanted if only is None else wanted & (labels == only)
        if wanted.any():
            plane.write(rows, np.where(wanted, np.array(value, labels.dtype), labels))


@dataclass(frozen=True)
class Measured:
    """One object; lengths in pixels, positions of pixels' centres from 0.

    Attributes
    ----------
    number, value : int
        Number of the object in its plane, from 1, and its class.
    area_px : int
    centroid_y, centroid_x : float
    top, left, bottom, right : int
        First row and column, and those after the last.
    """

    number: int
    value: int
    area_px: int
    centroid_y: float
    centroid_x: float
    top: int
    left: int
    bottom: int
    right: int


def measure_objects(plane: SpoolPlane, objects: Areas) -> Iterator[Measured]:
    """Measure the objects of a plane, in the order of their numbers."""
    size = objects.count + 1
    value, sums = np.zeros(size, np.int64), np.zeros((2, size))
    low, high = np.full((2, size), np.iinfo(np.int64).max), np.full((2, size), -1)
    for rows in plane.blocks:
        numbers = objects.read(rows)
        places = np.nonzero(numbers)
        found = numbers[places]
        value[found] = plane.read(rows)[places]
        for axis, place in enumerate((places[0] + rows.start, places[1])):
            sums[axis] += np.bincount(found, place, size)
            np.minimum.at(low[axis], found, place)
            np.maximum.at(high[axis], found, place)
    for n, area in enumerate(objects.pixels.tolist()[1:], start=1):
        (top, left), (bottom, right) = low[:, n].tolist(), (high[:, n] + 1).tolist()
        y, x = (sums[:, n] / area).tolist()
        yield Measured(n, int(value[n]), area, y, x, top, left, bottom, right)
