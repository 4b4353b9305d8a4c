"""Drawing regions onto planes, the larger ones first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixelwise.datasets.annotations.json_files import Points
from pixelwise.errors import DataError


@dataclass(frozen=True)
class Piece:
    """An object to draw.

    Attributes
    ----------
    place : str
        Its source, for messages.
    plane : int
        Index of its plane.
    value : int
        Value of its pixels.
    polygons : tuple of tuple of (V, 2) points
        Its parts, each an outline with holes, see `pixelwise.datasets.polygons.fill_rings`.
    """

    place: str
    plane: int
    value: int
    polygons: tuple[tuple[Points, ...], ...]


def draw_pieces(planes: npt.NDArray[np.uint8], pieces: Iterable[Piece]) -> npt.NDArray[np.uint8]:
    """Draw objects onto planes (N, Y, X), larger ones first, so that small ones are on top.

    Raises
    ------
    DataError
        An outline is too long to draw.
    """
    from pixelwise.datasets.polygons import fill_rings

    shape = (planes.shape[1], planes.shape[2])
    filled = []
    for piece in pieces:
        try:
            parts = [fill_rings(rings, shape) for rings in piece.polygons]
        except DataError as error:
            raise DataError(f"{piece.place}: {error}") from error
        filled.append((sum(int(inside.sum()) for _, _, inside in parts), piece, parts))
    for _, piece, parts in sorted(filled, key=lambda item: -item[0]):
        for top, left, inside in parts:
            height, width = inside.shape
            window = planes[piece.plane, top : top + height, left : left + width]
            window[inside] = piece.value
    return planes
