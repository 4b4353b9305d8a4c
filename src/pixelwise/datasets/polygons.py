"""Polygons: those of Aperio ImageScope XML, as MoNuSeg has them, and how polygons are filled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.errors import ReadError

Array = npt.NDArray[Any]


def read_polygons(path: Path) -> list[npt.NDArray[np.float64]]:
    """Read every region's vertices, each (V, 2) as (y, x) in pixels.

    Raises
    ------
    ReadError
        The file is missing, no XML, no annotation, or defines entities (an XML bomb would).
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import parse

    try:
        tree = parse(str(path), forbid_dtd=True)
        regions = [region.findall("Vertices/Vertex") for region in tree.iter("Region")]
        return [np.array([(v.attrib["Y"], v.attrib["X"]) for v in r], float) for r in regions if r]
    except DefusedXmlException as error:
        raise ReadError(
            f"{path} defines XML entities or a document type, which annotations never need and "
            "which can blow up when read: refused. Check where the file comes from."
        ) from error
    except OSError as error:
        raise ReadError(f"Cannot read the annotation {path}: {error.strerror}.") from error
    except (ParseError, KeyError, ValueError, AttributeError) as error:
        raise ReadError(
            f"{path} is no annotation with Region/Vertices/Vertex elements with X and Y: {error}."
        ) from error


def draw_polygons(polygons: Iterable[Array], shape_yx: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Fill polygons on an empty mask (Y, X): 1 inside, 0 outside.

    The rule is `skimage.draw.polygon` on the vertices as they are (a pixel is inside if its centre,
    at whole coordinates, is). Against MoNuSeg's own binary masks that gives a mean Dice of .992
    over 13 images; one of them (TCGA-B0-5710) was annotated anew and stays at .949.
    """
    from skimage.draw import polygon

    mask = np.zeros(shape_yx, np.uint8)
    for vertices in polygons:
        mask[polygon(vertices[:, 0], vertices[:, 1], shape_yx)] = 1
    return mask


def find_inside(
    rings: Sequence[Array], shape_yx: tuple[int, int]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pixels inside a region, as indices (rows, columns).

    Parameters
    ----------
    rings : sequence of ndarray, (V, 2)
        Vertices (x, y) of the outline and of its holes, where pixel 0 reaches from 0 to 1, as
        QuPath and ImageJ count. What an odd number of rings surrounds is inside.
    shape_yx : tuple of int
        Height and width of the image; what lies beyond is cut off.

    The rule is that of `draw_polygons`, for pixel centres at .5: a square from 10 to 20 holds the
    pixels 10 to 19.
    """
    from skimage.draw import polygon

    height_width = (int(shape_yx[0]), int(shape_yx[1]))
    found = [polygon(ring[:, 1] - 0.5, ring[:, 0] - 0.5, height_width) for ring in rings]
    flat = np.concatenate([rows * shape_yx[1] + columns for rows, columns in found] or [[]])
    pixels, counts = np.unique(flat.astype(np.intp), return_counts=True)
    rows, columns = np.divmod(pixels[counts % 2 == 1], shape_yx[1])
    return rows, columns
