"""Positions of patches on an image, by size and step (the stride): pure geometry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pixelwise.config import FULL_PATCH, TRAINED_PATCH, Edge, PatchConfig
from pixelwise.errors import ConfigError, DataError

_STEP: Final = 16
"""Sides that "auto" chooses are multiples of this many pixels, which networks halve evenly."""


@dataclass(frozen=True)
class Window:
    """A rectangle on an image, in pixels; (y, x) is its upper left pixel."""

    y: int
    x: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index into an array whose last two axes are Y and X: ``a[..., *window.slices]``."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def window_origins(length: int, size: int, *, step: int, edge: Edge) -> tuple[int, ...]:
    """First pixels of the windows along one axis of `length` pixels, ascending.

    ``drop`` gives 0, step, 2 step, ... while a whole window fits: floor((length - size) / step) + 1
    of them. ``cover`` adds a window that ends at the border if pixels would be left over; it
    overlaps more with the one before. With step > size there are gaps between windows.

    Raises
    ------
    ConfigError
        A size or step below 1.
    DataError
        The window is larger than the axis.
    """
    if size < 1 or step < 1:
        raise ConfigError(f"Patch size and step must be at least 1 pixel, got {size} and {step}.")
    if size > length:
        raise DataError(f"A patch of {size} pixels does not fit into {length} pixels.")
    origins = tuple(range(0, length - size + 1, step))
    last = length - size
    return origins if edge == "drop" or origins[-1] == last else (*origins, last)


def iter_windows(shape_yx: tuple[int, int], config: PatchConfig) -> Iterator[Window]:
    """Windows on an image of (height, width) pixels, row by row from the upper left.

    Raises
    ------
    DataError
        The patch is larger than the image; the message gives both sizes.
    """
    height, width = config.size_px
    require_fit(shape_yx, config.size_px)
    step_y, step_x = config.step_px
    columns = window_origins(shape_yx[1], width, step=step_x, edge=config.edge)
    for y in window_origins(shape_yx[0], height, step=step_y, edge=config.edge):
        for x in columns:
            yield Window(y, x, height, width)


def fit_windows(
    config: PatchConfig,
    shapes: Iterable[tuple[int, int]],
    *,
    largest: tuple[int, int] = FULL_PATCH,
) -> PatchConfig:
    """Settle the size of the patches for images of these shapes (height, width).

    A size that was given stays as it is. "auto" becomes the `largest`, or the largest square with
    sides of a multiple of 16 pixels that fits into all images. Images with sides under
    `TRAINED_PATCH` pixels are too small to train on, which `require_all_fit` reports.
    """
    if config.size != "auto":
        return config
    side = min(*largest, *(side for shape in shapes for side in shape)) // _STEP * _STEP
    size = (side, side) if side >= TRAINED_PATCH else largest
    return config.model_copy(update={"size": size})


def require_fit(
    shape_yx: tuple[int, int], size: tuple[int, int], *, name: str = "the image"
) -> None:
    """Raise `DataError` if a patch of `size` is larger than an image; both (height, width)."""
    require_all_fit([(name, shape_yx)], size)


def require_all_fit(
    images: Iterable[tuple[str, tuple[int, int]]], size: tuple[int, int], *, least: int = 1
) -> None:
    """Raise `DataError` if a patch of `size` is larger than an image, given by name and shape.

    The message suggests a patch size that fits all images, unless a side is under `least` pixels.
    """
    shapes = dict(images)
    small = {n: s for n, s in shapes.items() if size[0] > s[0] or size[1] > s[1]}
    if not small:
        return
    name, shape = min(small.items(), key=lambda item: min(item[1]))
    fitting = min(min(shape), *size)
    others = f", and {len(small) - 1} more images are too small" if len(small) > 1 else ""
    smaller = f"smaller patches (--size {fitting}) or " if fitting >= least else ""
    raise DataError(
        f"Patches of {size[0]} x {size[1]} pixels are larger than {name}, which has {shape[0]} x "
        f"{shape[1]} (height x width){others}: take {smaller}larger images (--resize "
        f"{size[0]}x{size[1]})."
    )
