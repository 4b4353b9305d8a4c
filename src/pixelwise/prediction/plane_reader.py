"""Planes (C, Y, X) of an image with the channels that a model takes, read as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.axes import plane_region, to_planes
from pixelwise.cards import Card
from pixelwise.errors import DataError
from pixelwise.images import ImageFile, ImageSource, RegionReader
from pixelwise.input_check import describe_darkness, require_sign, shape_planes

Array = npt.NDArray[Any]

READ_ROWS: Final = 1024
"""Rows that are read at once: as many as a usual chunk has, and several rows of tiles."""


class PlaneReader:
    """Reads the planes (N, C, Y, X) of an image one after another; made by `reading_planes`.

    A thread reads blocks of rows, one block ahead of the caller. Memory holds the blocks in use and
    the next one.

    Attributes
    ----------
    shape : tuple of int
        Number of planes, channels, height and width; grey is repeated for RGB models.
    """

    def __init__(self, source: ImageSource, card: Card, *, read: RegionReader) -> None:
        self._axes = source.axes.names
        self._sizes = dict(zip(self._axes, source.shape, strict=True))
        self.shape = shape_planes(source, card)
        self._repeats = self.shape[1] // self._sizes.get("C", 1)
        self._read = read
        self._source, self._card = source, card
        self._largest = 0.0
        self._thread = ThreadPoolExecutor(1, "pixelwise reader")
        self._blocks: dict[tuple[int, int], Future[Array]] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[LazyPlane]:
        return (LazyPlane(self, number) for number in range(len(self)))

    def __getitem__(self, number: int) -> LazyPlane:
        return LazyPlane(self, number)

    def read_rows(self, number: int, rows: range) -> Array:
        """Rows (C, rows, X) of one plane.

        Raises
        ------
        DataError
            A pixel is NaN or infinite.
        ReadError
            The file is damaged there.
        """
        wanted = range(rows.start // READ_ROWS, -(-rows.stop // READ_ROWS))
        keys = [(number, block) for block in wanted]
        last = wanted.stop * READ_ROWS >= self.shape[2]
        ahead = (number + 1, 0) if last else (number, wanted.stop)
        keys += [ahead] if ahead[0] < len(self) else []
        known = self._blocks
        self._blocks = {
            key: known[key] if key in known else self._thread.submit(self._read_block, *key)
            for key in keys
        }
        pieces = [
            self._blocks[number, block].result()[
                :, max(rows.start - block * READ_ROWS, 0) : rows.stop - block * READ_ROWS
            ]
            for block in wanted
        ]
        found = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
        return np.repeat(found, self._repeats, axis=0) if self._repeats > 1 else found

    @property
    def notes(self) -> tuple[str, ...]:
        """What the decoder noted, and whether the rows read so far are suspiciously dark."""
        heard = self._source.heard if isinstance(self._source, ImageFile) else ()
        dark = describe_darkness(self._card, self._source.dtype, self._largest)
        return (*heard, *(() if dark is None else (dark,)))

    def close(self) -> None:
        """Stop the thread that reads ahead."""
        self._thread.shutdown(cancel_futures=True)

    def _read_block(self, number: int, block: int) -> Array:
        """Read one block (C, rows, X) in the stored dtype."""
        start = block * READ_ROWS
        rows = slice(start, min(start + READ_ROWS, self._sizes["Y"]))
        region = plane_region(self._axes, self._source.shape, number, rows=rows)
        plane: Array = to_planes(self._read(region), self._axes)[0]
        _require_finite(plane)
        self._largest = max(self._largest, float(plane.max(initial=0)))
        if plane.dtype.kind in "if":
            least = float(plane.min(initial=0))
            reach = max(
                self._largest, *(self._card.intensities or (0.0,))
            )  # this block may be dark
            require_sign(self._card, self._source.dtype, least=least, largest=reach)
        return plane


class LazyPlane:
    """One plane (C, Y, X); `plane[:, 10:20]` reads rows."""

    def __init__(self, planes: PlaneReader, number: int) -> None:
        self._planes = planes
        self._number = number
        self.shape = planes.shape[1:]

    def __getitem__(self, key: tuple[slice, slice]) -> Array:
        channels, rows = key
        return self._planes.read_rows(self._number, range(self.shape[1])[rows])[channels]


@contextmanager
def reading_planes(source: ImageSource, card: Card) -> Iterator[PlaneReader]:
    """Open an image for reading planes; the file is closed when the block ends.

    Parameters
    ----------
    source : ImageSource
        A file, or an array of any kind.
    card : Card
        Of the model; grey is repeated for RGB models.

    Raises
    ------
    DataError
        The image has another channel count than the model takes, no pixels, or no numbers.
    ReadError, BudgetError
        The file is damaged, or can only be decoded as a whole and is too large for the memory.
    """
    with source.reading() as read:
        planes = PlaneReader(source, card, read=read)
        try:
            yield planes
        finally:
            planes.close()


def _require_finite(pixels: Array) -> None:
    """Raise if a pixel is NaN or infinite."""
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DataError(
            f"The image holds {int((~np.isfinite(pixels)).sum())} NaN or infinite pixels: expected "
            "finite intensities. Replace them, e.g. by 0."
        )
