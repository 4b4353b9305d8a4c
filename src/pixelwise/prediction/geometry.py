"""Geometry of the sliding window: where tiles lie and how they are blended; no torch, no files.

There is one grid of tiles per image, whichever rows are computed and in whichever order. Every
origin is a multiple of the network's stride, so that the network sees each pixel at the same phase
in a tile as in the whole image. The blending window is the outer product of two vectors, and so is
the sum of all windows: no map of counts is needed. Lengths are in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixelwise.config import WindowName

Vector = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

# Width of the Gaussian window as a fraction of the tile, as in MONAI and nnU-Net.
_GAUSSIAN_SIGMA = 0.125
_GAUSSIAN_FLOOR = 1e-3


@dataclass(frozen=True)
class TileAxis:
    """Tiles along one axis.

    Attributes
    ----------
    length : int
        Pixels of the image.
    padded : int
        Pixels of the grid: `length` and a margin on both sides, padded to a multiple of the stride
        and to at least one tile.
    tile : int
        Pixels of a tile, a multiple of the stride.
    margin : int
        Pixels of the grid before the image, a multiple of the stride.
    origins : tuple of int
        First pixel of each tile on the grid, ascending, multiples of the stride.
    weights : tuple of Vector, each (tile,)
        Window of each tile, divided by the sum of all windows: at every pixel of the grid the
        weights of the tiles add up to 1.
    """

    length: int
    padded: int
    tile: int
    margin: int
    origins: tuple[int, ...]
    weights: tuple[Vector, ...]

    @property
    def sources(self) -> Indices:
        """Pixel of the image for each pixel of the grid: mirrored beyond the ends."""
        after = self.padded - self.length - self.margin
        return np.pad(np.arange(self.length), (self.margin, after), mode="reflect")

    def tiles_of(self, pixels: range) -> range:
        """Numbers of the tiles that touch some pixels of the image."""
        first, stop = pixels.start + self.margin, pixels.stop + self.margin
        found = [n for n, at in enumerate(self.origins) if at < stop and at + self.tile > first]
        return range(found[0], found[-1] + 1)

    def finished(self, number: int) -> int:
        """First pixel of the image that tiles after the one with this number still change."""
        is_last = number + 1 == len(self.origins)
        return self.length if is_last else self.origins[number + 1] - self.margin


def plan_axis(
    length: int,
    *,
    tile: int,
    overlap: float,
    stride: int,
    window: WindowName,
    context: bool = False,
) -> TileAxis:
    """Lay tiles along an axis.

    Parameters
    ----------
    length : int
        Pixels of the image, at least 1.
    tile : int
        Pixels of a tile; rounded up to a multiple of the stride.
    overlap : float
        Least fraction of a tile, 0 to 0.9, that overlaps the next one; in pixels it is rounded up
        so that the step is a multiple of the stride. The last tile is moved back to the end of the
        grid.
    stride : int
        Pixels of the image per pixel of the network's deepest map.
    window : "hann", "gaussian" or "flat"
    context : bool
        Extend the grid by a margin of half the overlap on both sides, so that pixels at the ends
        see mirrored pixels and not the zeros with which networks pad.
    """
    tile = _round_up(tile, stride)
    step = max(int(round(tile * (1 - overlap), 6)) // stride * stride, stride)
    margin = _round_up((tile - step) // 2, stride) if context else 0
    padded = max(_round_up(length + 2 * margin, stride), tile)
    origins = tuple(sorted({*range(0, padded - tile, step), padded - tile}))
    windows = [
        blend_window(tile, tile - step, window, first=origin == 0, last=origin == padded - tile)
        for origin in origins
    ]
    total = np.zeros(padded, np.float32)
    for origin, values in zip(origins, windows, strict=True):
        total[origin : origin + tile] += values
    weights = [w / total[o : o + tile] for o, w in zip(origins, windows, strict=True)]
    return TileAxis(length, padded, tile, margin, origins, tuple(weights))


def blend_window(
    tile: int, overlap_px: int, window: WindowName, *, first: bool = False, last: bool = False
) -> Vector:
    """Weights (tile,) of a tile's pixels along one axis, 0 to 1.

    "hann" is 1 outside of the overlap, falls as a raised cosine in it, and is 0 in its outer
    quarter, the halo: what the network computes there lacks context. So tiled prediction equals
    that of the whole image for receptive fields of up to half the overlap. "gaussian" is the window
    of MONAI and nnU-Net. "flat" gives every pixel the same weight. The weights of the `first` and
    `last` tile of an axis do not fall towards the border of the image.
    """
    if window == "flat":
        return np.ones(tile, np.float32)
    if window == "gaussian":
        distance = np.arange(tile) - (tile - 1) / 2
        values = np.exp(-0.5 * (distance / (_GAUSSIAN_SIGMA * tile)) ** 2)
        return np.asarray(np.maximum(values, _GAUSSIAN_FLOOR), np.float32)
    halo = overlap_px // 4
    ramp_length = overlap_px - 2 * halo
    ramp = np.sin(np.pi / 2 * (np.arange(ramp_length) + 0.5) / max(ramp_length, 1)) ** 2
    rise = np.concatenate([np.zeros(halo), ramp])
    values = np.ones(tile)
    if not first:
        values[: len(rise)] *= rise
    if not last:
        values[tile - len(rise) :] *= rise[::-1]
    return values.astype(np.float32)


def _round_up(value: int, multiple: int) -> int:
    """Smallest multiple of `multiple` that is at least `value`."""
    return -(-value // multiple) * multiple
