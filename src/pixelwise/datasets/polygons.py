"""Polygons: those of Aperio ImageScope XML, as MoNuSeg has them, and how polygons are filled."""

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
        The file is missing, no XML, no annotation, or defines entities (an XML bomb would).
    """
    tree = parse_xml(read_bytes(path, what="annotation"), str(path))
    try:
        regions = [region.findall("Vertices/Vertex") for region in tree.iter("Region")]
        return [np.array([(v.attrib["Y"], v.attrib["X"]) for v in r], float) for r in regions if r]
    except (KeyError, ValueError, AttributeError) as error:
        raise ReadError(
            f"{path} is no annotation with Region/Vertices/Vertex elements with X and Y "
            f"{quote(error)}. Export it again."
        ) from error


def draw_polygons(polygons: Iterable[Array], mask: npt.NDArray[np.uint8]) -> None:
    """Fill polygons with 1 on a mask (Y, X).

    The rule is `skimage.draw.polygon` on the vertices as they are (a pixel is inside if its centre,
    at whole coordinates, is). Against MoNuSeg's own binary masks that gives a mean Dice of .992
    over 13 images; one of them (TCGA-B0-5710) was annotated anew and stays at .949.
    """
    from skimage.draw import polygon

    for vertices in polygons:
        mask[polygon(vertices[:, 0], vertices[:, 1], mask.shape)] = 1


def fill_rings(
    rings: Sequence[Array], shape_yx: tuple[int, int]
) -> tuple[int, int, npt.NDArray[np.bool_]]:
    """Fill a region that an outline and its holes surround.

    A pixel is inside if an odd number of rings surrounds its centre; a centre on a left or upper
    edge is inside, on a right or lower one outside, as Java's AWT and so QuPath and ImageJ have it.
    The work grows with the rows that each edge crosses: outlines of many corners stay quick.

    Parameters
    ----------
    rings : sequence of ndarray, (V, 2)
        Vertices (x, y), where pixel 0 reaches from 0 to 1: a square from 10 to 20 holds the pixels
        10 to 19.
    shape_yx : tuple of int
        Height and width of the image; what lies beyond is truncated.

    Returns
    -------
    top, left : int
        First row and column of `inside` in the image.
    inside : ndarray of bool
        The smallest window with all pixels inside; it has none if there are none.

    Raises
    ------
    DataError
        The outline crosses more rows than an outline of such an image can need.
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
    """Rows, and first columns whose centre lies right of an edge, of all crossings of edges."""
    height, width = shape_yx
    starts = np.concatenate([np.asarray(ring, float) for ring in rings] or [np.zeros((0, 2))])
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings] or [starts])
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    first = np.ceil(low - 0.5).clip(0, height).astype(np.int64)
    counts = np.ceil(high - 0.5).clip(0, height).astype(np.int64) - first
    total = int(counts.sum())
    if total > _MOST_CROSSINGS:
        raise DataError(
            f"an outline of {len(starts)} corners crosses {total} rows, at most {_MOST_CROSSINGS} "
            "are drawn. Simplify it."
        )
    edge = np.repeat(np.arange(len(starts)), counts)
    rows = first[edge] + np.arange(total) - np.repeat(counts.cumsum() - counts, counts)
    run, rise = (ends - starts)[edge].T
    x = starts[edge, 0] + (rows + 0.5 - starts[edge, 1]) * (run / rise)
    return rows, np.ceil(x - 0.5).clip(0, width).astype(np.int64)
