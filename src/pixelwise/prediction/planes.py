"""Planes that a model takes, from an array or from a file that is read while it is predicted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from pixelwise.axes import planes_shape, to_planes
from pixelwise.cards import Card
from pixelwise.errors import DataError
from pixelwise.images import ImageFile

Array = npt.NDArray[Any]

BLOCK_ROWS: Final = 1024
"""Rows that are read at once: those of a usual chunk, and of several rows of tiles."""


class Planes(Protocol):
    """Planes (N, C, Y, X), one after another."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of planes, channels, height and width."""
        ...

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


class FilePlanes:
    """Planes (N, C, Y, X) of an image file whose format can read regions.

    Parameters
    ----------
    source : ImageFile
    card : Card
        Of the model; grey is repeated for RGB models.

    Raises
    ------
    DataError
        The image has another channel count than the model takes, or its pixels are no numbers.
    """

    def __init__(self, source: ImageFile, card: Card) -> None:
        self._source = source
        count, channels, *size = planes_shape(source.axes.names, source.shape)
        self._repeats = _count_repeats(channels, card)
        self.shape = (count, channels * self._repeats, *size)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[FilePlane]:
        return (FilePlane(self, number) for number in range(len(self)))

    def read_rows(self, number: int, rows: range) -> Array:
        """Read rows (C, rows, X) of one plane; NaN is refused as in `require_planes`."""
        names, shape = self._source.axes.names, self._source.shape
        sizes = dict(zip(names, shape, strict=True))
        place = dict(zip("TZ", divmod(number, sizes.get("Z", 1)), strict=True))
        parts = {x: slice(i, i + 1) for x, i in place.items()}
        parts["Y"] = slice(rows.start, rows.stop)
        region = tuple(parts.get(letter, slice(0, sizes[letter])) for letter in names)
        plane: Array = to_planes(self._source.read_region(region), names)[0]
        _require_finite(plane)
        return np.repeat(plane, self._repeats, axis=0) if self._repeats > 1 else plane


class FilePlane:
    """One plane (C, Y, X); `plane[:, 10:20]` reads rows, in blocks of which two are kept."""

    def __init__(self, planes: FilePlanes, number: int) -> None:
        self._planes = planes
        self._number = number
        self._blocks: dict[int, Array] = {}
        self.shape = planes.shape[1:]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: tuple[slice, slice]) -> Array:
        channels, part = key
        rows = range(self.shape[1])[part]
        blocks = range(rows.start // BLOCK_ROWS, -(-rows.stop // BLOCK_ROWS))
        found = np.concatenate([self._read_block(block) for block in blocks], axis=1)
        first = blocks.start * BLOCK_ROWS
        return found[channels, rows.start - first : rows.stop - first]

    def _read_block(self, block: int) -> Array:
        if block not in self._blocks:
            start = block * BLOCK_ROWS
            rows = range(start, min(start + BLOCK_ROWS, self.shape[1]))
            kept = {n: pixels for n, pixels in self._blocks.items() if n == block - 1}
            self._blocks = {**kept, block: self._planes.read_rows(self._number, rows)}
        return self._blocks[block]


def read_planes(source: ImageFile, card: Card) -> Planes:
    """Planes of an image file, which are read row by row if its format can.

    Raises
    ------
    DataError
        As in `require_planes`; NaN is found when it is read.
    ReadError
        The file is damaged.
    """
    if source.region_reader is not None:
        return FilePlanes(source, card)
    return require_planes(to_planes(source.read(), source.axes.names), card)


def require_planes(planes: Array, card: Card) -> Array:
    """Give planes (N, C, Y, X) with the channels that a model takes; grey is repeated for RGB.

    Raises
    ------
    DataError
        Another channel count, no pixels, or NaN.
    """
    repeats = _count_repeats(planes.shape[1], card)
    planes = np.repeat(planes, repeats, axis=1) if repeats > 1 else planes
    if not planes.size:
        raise DataError(f"The image has no pixels: its planes have shape {planes.shape}.")
    _require_finite(planes)
    if planes.dtype.kind not in "biuf":
        raise DataError(f"Images of dtype {planes.dtype} cannot be predicted; expected numbers.")
    return planes


def _count_repeats(channels: int, card: Card) -> int:
    """Count how often a channel is repeated to give the model's number of channels."""
    if channels == 1 < card.in_channels == 3:
        return 3
    if channels != card.in_channels:
        raise DataError(
            f"The image has {channels} channels, the model takes {card.in_channels}: expected the "
            "same. If the axes were read wrongly, name them with --axes, e.g. ZYX or YXC."
        )
    return 1


def _require_finite(pixels: Array) -> None:
    """Raise if a pixel is NaN or infinite."""
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DataError(
            f"The image holds {int((~np.isfinite(pixels)).sum())} NaN or infinite pixels: expected "
            "finite intensities. Replace them, e.g. by 0."
        )
