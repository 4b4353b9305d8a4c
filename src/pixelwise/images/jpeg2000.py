"""JPEG 2000, as a file with boxes (.jp2) or a bare codestream (.j2k), through imagecodecs.

ISO/IEC 15444-1: annex A for the codestream, annex I for the boxes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.axes import NamedAxes
from pixelwise.errors import DataError
from pixelwise.images.colors import TRANSPARENT, describe_depth, split_alpha
from pixelwise.images.damage import explaining_damage
from pixelwise.images.reader import Header, Palette

Array = npt.NDArray[Any]

_CODESTREAM: Final = b"\xff\x4f\xff\x51"
_HEADER_BYTES: Final = 1 << 20
_CMYK: Final = 12
_ALPHA: Final = (1, 2)


@dataclass(frozen=True)
class _Layout:
    """Contents of boxes and codestream: shape (Y, X, C), bits per value, whether alpha is last."""

    shape: tuple[int, int, int]
    bits: int
    is_signed: bool
    has_alpha: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number format that holds the bits."""
        size = 1 if self.bits <= 8 else 2 if self.bits <= 16 else 4
        return np.dtype(f"{'i' if self.is_signed else 'u'}{size}")


def read_header(path: Path, palette: Palette) -> Header:
    """Shape (Y, X) or (Y, X, C) without alpha, and dtype."""
    layout = _read_layout(path)
    height, width, channels = layout.shape
    channels = 1 if palette == "alpha" else channels - layout.has_alpha
    shape: tuple[int, ...] = (height, width)
    axes = NamedAxes("YX", "grey picture")
    if channels > 1:
        shape = (height, width, channels)
        axes = NamedAxes("YXC", "colour picture" if channels == 3 else "components of the picture")
    notes = describe_depth(layout.bits) if palette == "color" else ()
    is_few = channels == 1 and layout.bits in (1, 2, 4)
    return Header(
        shape,
        layout.dtype,
        axes,
        regions=False,
        notes=notes,
        white=(1 << layout.bits) - 1 if is_few else None,
        alpha=layout.has_alpha,
    )


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Decode an image; alpha is dropped, with a note if it hid anything."""
    import imagecodecs

    layout = _read_layout(path)
    with explaining_damage(path):
        pixels: Array = imagecodecs.jpeg2k_decode(path.read_bytes()).reshape(layout.shape)
    pixels = pixels.astype(layout.dtype, copy=False)
    if not layout.has_alpha:
        return pixels[..., 0] if pixels.shape[2] == 1 else pixels, ()
    colors, alpha = split_alpha(pixels, axis=2)
    is_opaque = bool((alpha == (1 << layout.bits) - 1).all())
    return (alpha, ()) if palette == "alpha" else (colors, () if is_opaque else (TRANSPARENT,))


def _read_layout(path: Path) -> _Layout:
    """Parse the boxes, if there are any, and the first marker of the codestream.

    Raises
    ------
    DataError
        Components of different kinds, CMYK, or a palette.
    ReadError
        The file is damaged.
    """
    with explaining_damage(path):
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
        boxes = {} if start.startswith(_CODESTREAM) else dict(_iter_boxes(start))
        shape, depth = _parse_size(path, start[start.index(_CODESTREAM) + 4 :])
        if b"pclr" in boxes or boxes.get(b"colr", b"")[:7] == struct.pack(">BxxI", 1, _CMYK):
            raise DataError(
                f"{path} is a JPEG 2000 with a palette or in CMYK, which is not supported. "
                "Save it as RGB, PNG or TIFF."
            )
        has_alpha = _has_alpha(boxes.get(b"cdef", b""), shape[2])
        return _Layout(shape, (depth & 127) + 1, bool(depth & 128), has_alpha)


def _iter_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the boxes before the codestream, including those in the header box."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        start, end = at + 8, at + size
        if name == b"jp2c" or size < 8:
            return
        if name == b"jp2h":
            yield from _iter_boxes(data[start:end])
        else:
            yield name, data[start:end]
        at = end


def _parse_size(path: Path, marker: bytes) -> tuple[tuple[int, int, int], int]:
    """Parse the marker SIZ, from its length field on: shape (Y, X, C) and stored depth."""
    right, bottom, left, top = struct.unpack_from(">4I", marker, 4)
    (channels,) = struct.unpack_from(">H", marker, 36)
    components = set(struct.iter_unpack("3B", marker[38 : 38 + 3 * channels]))
    if len(components) != 1 or next(iter(components))[1:] != (1, 1):
        raise DataError(
            f"{path} has components of different depth or resolution. Save it as RGB, PNG or TIFF."
        )
    return (bottom - top, right - left, channels), next(iter(components))[0]


def _has_alpha(definitions: bytes, channels: int) -> bool:
    """Whether the last channel is defined as alpha; undefined channels are colours."""
    kinds = {channel: kind for channel, kind, _ in struct.iter_unpack(">3H", definitions[2:])}
    return kinds.get(channels - 1) in _ALPHA
