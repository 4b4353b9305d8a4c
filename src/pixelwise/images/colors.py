"""From stored values to visible colours: palettes, alpha, and grey of few bits.

All formats are converted to one form: a palette is a tuple of colours 0xRRGGBBAA, and alpha is the
last channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Colormap = tuple[int, ...]
"""Colours 0xRRGGBBAA of the entries 0, 1, 2, ... of a palette; empty if there is none."""

TRANSPARENT: Final = "has transparent pixels; the alpha channel was dropped"
_OPAQUE: Final = 0xFF


def pack_colormap(colors: Array, alpha: Sequence[int] = ()) -> Colormap:
    """Pack (entries, 3) colours of 0 to 255 into a colormap; entries without alpha are opaque."""
    entries = colors.astype(np.int64)
    packed = (entries[:, 0] << 24) | (entries[:, 1] << 16) | (entries[:, 2] << 8) | _OPAQUE
    for i, value in enumerate(alpha[: len(packed)]):
        packed[i] = (packed[i] & ~_OPAQUE) | value
    return tuple(packed.tolist())


def is_grey_colormap(colormap: Colormap) -> bool:
    """Whether every entry is a grey, transparent or not."""
    return all(color >> 24 == color >> 16 & 255 == color >> 8 & 255 for color in colormap)


def is_ramp(colormap: Colormap) -> bool:
    """Whether entry i is the grey i, so that indices are grey values."""
    return all(color == i * 0x01010100 + _OPAQUE for i, color in enumerate(colormap))


def has_alpha(colormap: Colormap) -> bool:
    """Whether an entry is transparent."""
    return any(color & 255 != _OPAQUE for color in colormap)


def apply_colormap(indices: Array, colormap: Colormap) -> Array:
    """Colours of palette indices.

    Parameters
    ----------
    indices : ndarray of unsigned integers
        Any shape; indices beyond the palette are black.
    colormap : tuple of int

    Returns
    -------
    ndarray of uint8
        The shape of `indices`, with a last axis of colours: grey (none), grey and alpha (2), RGB
        (3) or RGB and alpha (4).
    """
    size = max(len(colormap), int(indices.max(initial=0)) + 1)
    table = np.zeros((size, 4), np.uint8)
    table[:, 3] = _OPAQUE
    for i, color in enumerate(colormap):
        table[i] = tuple(color.to_bytes(4, "big"))
    kept = [0] if is_grey_colormap(colormap) else [0, 1, 2]
    kept += [3] if has_alpha(colormap) else []
    colors: Array = table[:, kept][indices]
    return colors[..., 0] if len(kept) == 1 else colors


def split_alpha(pixels: Array, *, axis: int, count: int = 1) -> tuple[Array, Array]:
    """Colours and alpha of pixels whose last `count` channels on `axis` are alpha and other extras.

    A single channel that is left, and the alpha, lose the axis.
    """
    colors, extra = np.split(pixels, [pixels.shape[axis] - count], axis)
    if colors.shape[axis] == 1:
        colors = colors.squeeze(axis)
    return np.ascontiguousarray(colors), np.ascontiguousarray(extra.take(0, axis))


def describe_alpha(alpha: Array) -> tuple[str, ...]:
    """Note that the dropped alpha channel was not fully opaque; empty if it was."""
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    return () if (alpha == opaque).all() else (TRANSPARENT,)


def describe_depth(bits: int) -> tuple[str, ...]:
    """Note on an unusual bit depth; empty for whole bytes."""
    if bits % 8 == 0:
        return ()
    return (f"stores {bits} bit{'s' * (bits > 1)} per value: read as 0 to {2**bits - 1}",)
