"""Where patches lie on an image: pure geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pixelwise.config import Edge, PatchConfig
from pixelwise.errors import ConfigError, DataError


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
    of them. ``cover`` adds one window that ends at the border where pixels would be left over; its
    overlap with the one before is then larger. With ``cover`` and step > size, gaps stay between
    windows, as asked.

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
    require_fit(shape_yx, config.size)
    height, width = config.size
    step_y, step_x = config.step_px
    columns = window_origins(shape_yx[1], width, step=step_x, edge=config.edge)
    for y in window_origins(shape_yx[0], height, step=step_y, edge=config.edge):
        for x in columns:
            yield Window(y, x, height, width)


def require_fit(
    shape_yx: tuple[int, int], size: tuple[int, int], *, name: str = "the image"
) -> None:
    """Raise if a patch of `size` is larger than image `name` of `shape_yx`; both (height, width).

    Raises
    ------
    DataError
        The message names the image, both sizes, and what to do.
    """
    if size[0] > shape_yx[0] or size[1] > shape_yx[1]:
        raise DataError(
            f"Patches of {size[0]} x {size[1]} pixels are larger than {name}, which has "
            f"{shape_yx[0]} x {shape_yx[1]} (height x width): take smaller patches "
            f"(--size {min(*shape_yx, *size)}) or larger images (--resize)."
        )
