"""Surveys the masks of a data set one by one: values, pixel counts and connected regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.classes import VOID
from pixelwise.datasets.mapping import is_grey, pack_colors, require_integers
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import MaskReader, PlanesHeader
from pixelwise.errors import DataError, PixelwiseError
from pixelwise.parsing import open_regular

Array = npt.NDArray[Any]
MaskOfImage = tuple[MaskReader, PlanesHeader]

_MASKS_READ: Final = 128
_MASKS_OF_PIECES: Final = 8
_COUNTED: Final = 1 << 16
_JPEG_BLOCK: Final = 8
_JPEG: Final = b"\xff\xd8\xff"
_FLAT: Final = 12
_GREY: Final = (30, 225)
_GREYS: Final = 8
"""Masks with more values than this are searched for plateaus, like JPEG files."""
_PIXELS_PER_VALUE: Final = 16
"""Masks have at least this many pixels per value; photographs have fewer."""


class UnclearMasksError(DataError):
    """The meaning of the mask values is unclear.

    Attributes
    ----------
    seen : tuple of int
        Values in the masks, without those to ignore.
    colors : bool
        Whether these are colours, 0xRRGGBB.
    """

    def __init__(self, message: str, seen: Iterable[int] = (), *, colors: bool = False) -> None:
        super().__init__(message)
        self.seen = tuple(sorted(seen))
        self.colors = colors


@dataclass(frozen=True)
class Pieces:
    """Spatial statistics of the values in one mask.

    Attributes
    ----------
    regions : dict of int to int
        Connected regions of each value but 0 (8-connected).
    solid : frozenset of int
        Values that fill a 3 x 3 square somewhere, so are not only edges.
    rim : int or None
        Median of the values adjacent to 0; None if there are none.
    """

    regions: dict[int, int]
    solid: frozenset[int]
    rim: int | None


@dataclass(frozen=True)
class MaskSurvey:
    """Distinct values of one mask, ascending, with their pixels; colours as 0xRRGGBB.

    Attributes
    ----------
    values, counts : tuple of int
    colors : bool
        Whether the channels differ, so that the values are colours.
    channels : int
        As stored: 3 even if RGB contains only grey.
    is_jpeg : bool
        Whether the file is a JPEG, which changes values.
    strays : int
        Pixels of a JPEG that are far from bright ones but do not have the most frequent grey.
    plateaus : tuple of int
        Intermediate greys of nearly uniform 3 x 3 squares, for JPEG files and many values: edges
        between black and white are too steep for that after compression or smoothing, so these
        greys were drawn.
    pieces : Pieces or None
        None if not computed.
    """

    path: Path
    values: tuple[int, ...]
    counts: tuple[int, ...]
    colors: bool = False
    channels: int = 1
    is_jpeg: bool = False
    strays: int = 0
    plateaus: tuple[int, ...] = ()
    pieces: Pieces | None = None

    @property
    def is_crowded(self) -> bool:
        """Whether there are too few pixels per value, as in photographs."""
        return len(self.values) * _PIXELS_PER_VALUE > sum(self.counts)

    def as_colors(self) -> MaskSurvey:
        """Return the survey with grey values written as colours."""
        if self.colors:
            return self
        values = tuple(value * 0x010101 for value in self.values)
        pieces = self.pieces
        if pieces is not None:
            regions = {value * 0x010101: count for value, count in pieces.regions.items()}
            solid = frozenset(value * 0x010101 for value in pieces.solid)
            pieces = Pieces(regions, solid, None if pieces.rim is None else pieces.rim * 0x010101)
        return replace(self, values=values, colors=True, channels=3, pieces=pieces)


def survey_masks(
    masks: Sequence[MaskOfImage],
) -> tuple[list[MaskSurvey], list[Problem], str]:
    """Survey all masks, or 128 spread over the data set.

    Returns
    -------
    surveys : list of MaskSurvey
        Surveys of the readable masks; eight of them with `pieces`.
    problems : list of Problem
        Unreadable masks.
    count : str
        How many were read, in words.
    """
    chosen = [masks[i] for i in spread(len(masks), _MASKS_READ)]
    detailed = set(spread(len(chosen), _MASKS_OF_PIECES))
    tasks = [(*mask, number in detailed) for number, mask in enumerate(chosen)]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda task: _survey(*task), tasks))
    problems = [result for result in results if isinstance(result, Problem)]
    surveys = [result for result in results if isinstance(result, MaskSurvey)]
    count = f"all {len(chosen)}" if len(chosen) == len(masks) else f"{len(chosen)} of {len(masks)}"
    return surveys, problems, count


def spread(count: int, limit: int) -> list[int]:
    """Return up to `limit` indices, evenly spread over 0 to `count` - 1."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, limit))})


def find_solid(surveys: Iterable[MaskSurvey]) -> set[int]:
    """Values that fill a 3 x 3 square in a mask with computed pieces."""
    return {v for survey in surveys if survey.pieces is not None for v in survey.pieces.solid}


def find_thin(surveys: Sequence[MaskSurvey]) -> list[int]:
    """Values that never fill a 3 x 3 square, if there are at least as many as solid ones.

    Edges of smoothed masks have many such values; thin classes are few.
    """
    solid = find_solid(surveys)
    present = {value for s in surveys if s.pieces is not None for value in s.values}
    thin = sorted(present - solid)
    return thin if len(solid) > 1 and len(thin) >= max(len(solid), 2) else []


def count_pixels(surveys: Iterable[MaskSurvey]) -> dict[int, int]:
    """Pixels of each value in all masks."""
    total: dict[int, int] = {}
    for survey in surveys:
        for value, count in zip(survey.values, survey.counts, strict=True):
            total[value] = total.get(value, 0) + count
    return total


def _survey(reader: MaskReader, header: PlanesHeader, detailed: bool) -> MaskSurvey | Problem:
    """Read one mask."""
    path = reader.path
    try:
        raw = reader.read(header)
        colors = not is_grey(raw)
        values = pack_colors(raw) if colors else require_integers(raw[:, 0])
    except PixelwiseError as error:
        return Problem("unreadable", str(path), str(error), fatal=True)
    found, counts = _count_values(values)
    few = len(found) * _PIXELS_PER_VALUE <= max(values.size, 1)
    many_kinds = len(found) > 2 or found[-1] > 1
    is_jpeg = _is_jpeg(path)
    return MaskSurvey(
        path,
        found,
        counts,
        colors=colors,
        channels=raw.shape[1],
        is_jpeg=is_jpeg,
        strays=_count_strays(values) if is_jpeg and not colors else 0,
        plateaus=() if colors or not (is_jpeg or len(found) > _GREYS) else _find_plateaus(values),
        pieces=_find_pieces(values) if detailed and few and many_kinds else None,
    )


def _count_values(values: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sorted distinct values and their pixels; wide ones by runs of equal neighbours."""
    flat = values.ravel()
    low, high = int(flat.min()), int(flat.max())
    if low >= 0 and high < _COUNTED:
        pixels = np.bincount(flat)
        present = np.flatnonzero(pixels)
        return tuple(present.tolist()), tuple(pixels[present].tolist())
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(np.append(starts, flat.size))
    present, place = np.unique(flat[starts], return_inverse=True)
    pixels = np.bincount(place.ravel(), weights=lengths).astype(np.int64)
    return tuple(present.tolist()), tuple(pixels.tolist())


def _find_pieces(values: Array) -> Pieces:
    """Compute the regions, solid values and rim of (N, Y, X) values."""
    from skimage.measure import label

    numbered = label(values, background=0, connectivity=values.ndim)
    of_region = np.zeros(int(numbered.max()) + 1, np.int64)
    of_region[numbered.ravel()] = values.ravel()
    present, regions = np.unique(of_region[1:], return_counts=True)
    before, after = values[..., :-1], values[..., 1:]
    rims = np.concatenate(
        [after[(before == 0) & (after != 0)], before[(after == 0) & (before != 0)]]
    )
    return Pieces(
        dict(zip(present.tolist(), regions.tolist(), strict=True)),
        frozenset(_find_solid(values)),
        int(np.median(rims)) if rims.size else None,
    )


def _find_solid(values: Array) -> list[int]:
    """Values of (N, Y, X) that fill a square of 3 x 3 pixels."""
    if min(values.shape[1:]) < 3:
        return []
    row = values[..., 1:] == values[..., :-1]
    row = row[..., 1:] & row[..., :-1]
    middle = values[..., 1:-1]
    column = middle[:, 1:] == middle[:, :-1]
    square = row[:, :-2] & row[:, 1:-1] & row[:, 2:] & column[:, :-1] & column[:, 1:]
    held = middle[:, 1:-1][square]
    return list(_count_values(held)[0]) if held.size else []


def _count_strays(values: Array) -> int:
    """Count pixels of (N, Y, X) greys far from bright blocks, except the most frequent grey.

    Compression may change black, but to the same value everywhere.
    """
    from scipy.ndimage import maximum_filter

    side = _JPEG_BLOCK
    if min(values.shape[1:]) < side:
        return 0
    height, width = (size // side * side for size in values.shape[1:])
    blocks = values[:, :height, :width].reshape(-1, height // side, side, width // side, side)
    bright = maximum_filter(blocks.max(axis=(2, 4)) > VOID // 2, size=(1, 3, 3))
    far = blocks.transpose(0, 1, 3, 2, 4)[~bright].ravel()
    return far.size - int(np.bincount(far).max()) if far.size else 0


def _find_plateaus(values: Array) -> tuple[int, ...]:
    """Greys at the centre of flat 3 x 3 squares of (N, Y, X), ascending."""
    from scipy.ndimage import maximum_filter, minimum_filter

    low, high = _GREY
    if min(values.shape[1:]) < 3 or values.min() < 0 or values.max() > VOID:
        return ()
    eight = values.astype(np.uint8)
    top, bottom = (f(eight, size=(1, 3, 3)) for f in (maximum_filter, minimum_filter))
    flat = (top - bottom <= _FLAT) & (bottom > low) & (top < high)
    return tuple(np.unique(eight[:, 1:-1, 1:-1][flat[:, 1:-1, 1:-1]]).tolist())


def _is_jpeg(path: Path) -> bool:
    """Whether a file starts like a JPEG."""
    try:
        with open_regular(path) as file:
            return file.read(len(_JPEG)) == _JPEG
    except OSError:  # a folder, or a mask without its own file
        return False
