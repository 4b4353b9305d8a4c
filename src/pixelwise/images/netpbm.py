"""PBM, PGM and PPM, with 8 and 16 bits, as text and as bytes; values are read as stored.

The format is https://netpbm.sourceforge.net/doc/. Pillow would stretch values to 255 or 65535, and
truncate 16-bit colours to 8 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.axes import NamedAxes
from pixelwise.errors import DataError, ReadError
from pixelwise.images.reader import Header, Palette, Region, RegionReader

Array = npt.NDArray[Any]

_HEADER_BYTES: Final = 4096
_HIGHEST: Final = 65535
_ITEM: Final = rb"(?:\s|#[^\n\r]*[\n\r])+([0-9]+)"
_BITMAP: Final = re.compile(rb"P([14])" + _ITEM * 2 + rb"(?:#[^\n\r]*[\n\r]|\s)")
_VALUES: Final = re.compile(rb"P([2356])" + _ITEM * 3 + rb"(?:#[^\n\r]*[\n\r]|\s)")


@dataclass(frozen=True)
class _Layout:
    """Contents of the header: kind 1 to 6, shape, highest value, and offset of the pixels."""

    kind: int
    shape: tuple[int, ...]
    highest: int
    offset: int

    @property
    def is_text(self) -> bool:
        """Whether values are written as decimal numbers."""
        return self.kind <= 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored dtype: big-endian."""
        return np.dtype("uint8" if self.highest < 256 else ">u2")

    @property
    def white(self) -> int | None:
        """Value of white in grey of few bits."""
        is_grey = len(self.shape) == 2
        return self.highest if is_grey and self.highest < 255 and 255 % self.highest == 0 else None

    @property
    def promised(self) -> int:
        """Bytes of header and pixels, for the binary kinds."""
        if self.kind == 4:
            return self.offset + self.shape[0] * -(-self.shape[1] // 8)
        return self.offset + prod(self.shape) * self.dtype.itemsize


def read_header(path: Path, palette: Palette) -> Header:
    """Shape (Y, X) or (Y, X, 3) and dtype of an image."""
    layout = _read_layout(path)
    names = "YX" if len(layout.shape) == 2 else "YXC"
    axes = NamedAxes(names, "grey picture" if names == "YX" else "colour picture")
    is_more = not layout.is_text and path.stat().st_size > layout.promised + 1
    more = "holds more than one picture; the first was read" if is_more else ""
    notes = _describe_values(layout) if layout.kind in (1, 4) or palette == "color" else ()
    return Header(
        layout.shape,
        layout.dtype.newbyteorder("="),
        axes,
        regions=layout.kind >= 5,
        notes=(*notes, more) if more else notes,
        white=layout.white,
        ambiguous=more,
    )


def _describe_values(layout: _Layout) -> tuple[str, ...]:
    """Note the meaning of values that are not whole bytes."""
    if layout.kind in (1, 4):
        return ("stores black as 1 (PBM): read as displayed, black as 0 and white as 1",)
    if layout.highest in (255, _HIGHEST):
        return ()
    return (f"stores values up to {layout.highest}: read as 0 to {layout.highest}",)


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:  # noqa: ARG001
    """Decode an image."""
    layout = _read_layout(path)
    if layout.kind == 4:
        rows = np.fromfile(path, np.uint8, offset=layout.offset)
        rows = rows[: layout.promised - layout.offset].reshape(layout.shape[0], -1)
        return 1 - np.unpackbits(rows, axis=1, count=layout.shape[1]), ()
    if layout.is_text:
        return _decode_text(path, layout), ()
    pixels = np.fromfile(path, layout.dtype, prod(layout.shape), offset=layout.offset)
    return _finish(path, layout, pixels.reshape(layout.shape)), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Yield a function that reads regions of the memory-mapped file."""
    layout = _read_layout(path)
    stored = np.memmap(path, layout.dtype, "r", layout.offset, layout.shape)

    def read(region: Region) -> Array:
        return _finish(path, layout, np.array(stored[region]))

    yield read


def _read_layout(path: Path) -> _Layout:
    """Parse the header.

    Raises
    ------
    ReadError
        The header is damaged, or the file is truncated.
    DataError
        The image has no pixels.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    match = _BITMAP.match(start) or _VALUES.match(start)
    if match is None:
        raise ReadError(f"{path} is damaged: its header is not that of a {start[:2]!r} picture.")
    kind, width, height, *highest = map(int, match.groups())
    top = highest[0] if highest else 1
    if not 0 < top <= _HIGHEST:
        raise ReadError(f"{path} is damaged: its highest value is {top}; expected 1 to {_HIGHEST}.")
    if not width * height:
        raise DataError(f"{path} says it is {width} x {height} pixels: it holds no pixels.")
    shape = (height, width, 3) if kind in (3, 6) else (height, width)
    layout = _Layout(kind, shape, top, match.end())
    size = path.stat().st_size
    # as text, a value takes one byte at least, and two with the space after it
    least = layout.offset + prod(shape) if layout.is_text else layout.promised
    if size < least:
        raise ReadError(
            f"{path} is truncated: {' x '.join(map(str, shape))} pixels need at least {least} "
            f"bytes, the file has {size}. Copy or save it again."
        )
    return layout


def _decode_text(path: Path, layout: _Layout) -> Array:
    """Decode decimal numbers; digits of a bitmap need no space between them."""
    text = re.sub(rb"#[^\n\r]*", b"", path.read_bytes()[layout.offset :])
    words = text.split()
    if layout.kind == 1:
        words = [bytes([digit]) for digit in b"".join(words)]
    count = prod(layout.shape)
    try:
        values = np.array([int(word) for word in words[:count]], np.int64)
    except ValueError as error:
        raise ReadError(f"{path} is damaged: {error}. Save it again or leave it out.") from error
    if len(values) < count:
        raise ReadError(
            f"{path} is truncated: expected {count} values, found {len(values)}. Save it again."
        )
    pixels = _finish(path, layout, values.reshape(layout.shape))
    return 1 - pixels if layout.kind == 1 else pixels


def _finish(path: Path, layout: _Layout, pixels: Array) -> Array:
    """Convert to native byte order; raise if a value exceeds the highest of the header."""
    if pixels.size and (pixels.max() > layout.highest or pixels.min() < 0):
        raise ReadError(
            f"{path} is damaged: it has the value {pixels.max()}, but its header says "
            f"{layout.highest} is the highest. Save it again."
        )
    return pixels.astype(layout.dtype.newbyteorder("="), copy=False)
