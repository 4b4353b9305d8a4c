"""Patches of a set of images, cut on the fly in their stored dtype."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pixelwise.classes import VOID
from pixelwise.config import PatchConfig
from pixelwise.normalization import Normalization
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.patches.windows import Window, iter_windows, require_all_fit
from pixelwise.training.transfer import send

Array = npt.NDArray[Any]
_DRAWS = 8
MIN_BATCH = 2
"""Batch normalisation over 1 x 1 maps needs two patches."""


@dataclass(frozen=True)
class Batch:
    """Patches on a device.

    Attributes
    ----------
    image : Tensor, (N, C, Y, X)
        Stored dtype.
    mask : uint8 Tensor, (N, Y, X)
        Class indices, 255 = void.
    offset, scale : float32 Tensor, (N, C, 1, 1)
        What normalises the image.
    """

    image: torch.Tensor
    mask: torch.Tensor
    offset: torch.Tensor
    scale: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Put the batch on a device."""
        return Batch(*(send(tensor, device) for tensor in self._tensors()))

    def pin(self) -> Batch:
        """Put the batch into memory from which a GPU can fetch it by itself."""
        return Batch(*(tensor.pin_memory() for tensor in self._tensors()))

    def split(self, parts: int) -> list[Batch]:
        """Give the batch in parts of nearly the same number of patches."""
        pieces = (tensor.tensor_split(parts) for tensor in self._tensors())
        return [Batch(*piece) for piece in zip(*pieces, strict=True)]

    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return self.image, self.mask, self.offset, self.scale


class PatchStore:
    """Patches by number, from planes that are held in memory or mapped from a file.

    Parameters
    ----------
    planes : sequence of DecodedImage
        With one channel count.
    patches : PatchConfig
        Size, step, edge and smallest foreground share.
    normalization : Normalization
    background : int or None
        Class that is no foreground.
    skip_void : bool
        Whether patches without an annotated pixel, which teach nothing, are left out, on the grid
        and at random places.
    once : bool
        Whether patches are for `read_once`: those are left out, too, that then show none.
    """

    def __init__(
        self,
        planes: Sequence[DecodedImage],
        patches: PatchConfig,
        normalization: Normalization,
        *,
        background: int | None = 0,
        skip_void: bool = False,
        once: bool = False,
    ) -> None:
        self.planes = planes
        self.size = patches.size
        self._least, self._background = patches.min_foreground, background
        self._skip_void = skip_void
        require_all_fit(((plane.name, _shape(plane)) for plane in planes), patches.size)
        grids = [list(iter_windows(_shape(plane), patches)) for plane in planes]
        self._shown = [_shown_before(grid) for grid in grids]
        self._shares = [
            _share_axes(grid, _shape(plane)) for plane, grid in zip(planes, grids, strict=True)
        ]
        self._windows = [
            (number, window)
            for number, (plane, grid) in enumerate(zip(planes, grids, strict=True))
            for window in grid
            if self._is_wanted(
                plane.mask[self._first_shown(number, window) if once else window.slices]
            )
        ]
        self._norms = [normalization.parameters(plane.image) for plane in planes]
        self._resident: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def nbytes(self) -> int:
        """Bytes of all images and masks."""
        return sum(plane.image.nbytes + plane.mask.nbytes for plane in self.planes)

    @property
    def is_resident(self) -> bool:
        """Whether patches are cut on the device."""
        return bool(self._resident)

    def put_on(self, device: torch.device) -> None:
        """Copy images and masks to a device; patches are cut there from now on."""
        dtype = np.result_type(*{plane.image.dtype for plane in self.planes})  # as on the host
        self._resident = [
            (
                torch.tensor(plane.image.astype(dtype, copy=False), device=device),
                torch.tensor(plane.mask, device=device),
            )
            for plane in self.planes
        ]

    def take_back(self) -> None:
        """Free what is on the device; patches are cut on the host from now on."""
        self._resident = []

    def read(
        self,
        numbers: Sequence[int],
        *,
        rng: np.random.Generator | None = None,
        part: slice = slice(None),
    ) -> Batch:
        """Cut the patches with these numbers.

        Parameters
        ----------
        numbers : sequence of int
        rng : Generator, optional
            Moves every patch to a random place within its share of the plane, as long as what it
            shows there does not leave it out.
        part : slice
            Which of the patches to cut; the others are only given their places.
        """
        places = [self._place(number, rng) for number in numbers][part]
        norms = zip(*(self._norms[plane] for plane, _ in places), strict=True)
        offset, scale = (torch.from_numpy(np.stack(each)[..., None, None]) for each in norms)
        return Batch(*self._cut(places), offset, scale)

    def read_once(self, numbers: Sequence[int]) -> Batch:
        """Cut patches for scoring: pixels that an earlier patch of the grid shows become void."""
        batch = self.read(numbers)
        for mask, number in zip(batch.mask, numbers, strict=True):
            plane_number, window = self._windows[number]
            rows, columns = self._shown[plane_number]
            mask[: rows[window.y]] = VOID
            mask[:, : columns[window.x]] = VOID
        return batch

    def _first_shown(self, plane_number: int, window: Window) -> tuple[slice, slice]:
        """Where in a plane is what a window shows and none before it."""
        rows, columns = self._shown[plane_number]
        y, x = window.slices
        return slice(y.start + rows[window.y], y.stop), slice(x.start + columns[window.x], x.stop)

    def _place(self, number: int, rng: np.random.Generator | None) -> tuple[int, Window]:
        """DecodedImage and window of a patch."""
        plane, window = self._windows[number]
        return plane, window if rng is None else self._move(window, plane, rng)

    def _cut(self, places: Sequence[tuple[int, Window]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, C, Y, X) and masks (N, Y, X), on the host or where the planes are."""
        if self._resident:
            planes = [(*self._resident[plane], window.slices) for plane, window in places]
            # CUDA is sure to stack unsigned 16-bit integers only where they are contiguous.
            images = torch.stack([image[:, *area].contiguous() for image, _, area in planes])
            return images, torch.stack([mask[area] for _, mask, area in planes])
        held = [(self.planes[plane], window.slices) for plane, window in places]
        images_read = np.stack([plane.image[:, *area] for plane, area in held])
        masks_read = np.stack([plane.mask[area] for plane, area in held])
        return torch.from_numpy(images_read), torch.from_numpy(masks_read)

    def _move(self, window: Window, plane_number: int, rng: np.random.Generator) -> Window:
        """Give a window a random place within its own share of each axis.

        Where none of a few places is wanted, it stays on the grid.
        """
        rows, columns = self._shares[plane_number]
        for _ in range(_DRAWS):
            moved = replace(window, y=rows[window.y].draw(rng), x=columns[window.x].draw(rng))
            if self._is_wanted(self.planes[plane_number].mask[moved.slices]):
                return moved
        return window

    def _is_wanted(self, mask: Array) -> bool:
        """Whether a patch with this mask has the foreground, and the annotation, asked for."""
        return _has_foreground(mask, self._least, self._background) and not (
            self._skip_void and bool((mask == VOID).all())
        )


def iter_batch_numbers(
    count: int, batch_size: int, *, rng: np.random.Generator | None = None
) -> Iterator[list[int]]:
    """Numbers of the patches of each batch.

    With `rng` (training) they are shuffled and every batch is full: the last is topped up from the
    start, and a batch never has fewer than `MIN_BATCH` patches. Without, each patch comes once.
    """
    order = np.arange(count) if rng is None else rng.permutation(count)
    if rng is not None:
        size = max(min(batch_size, count), MIN_BATCH)
        order = np.resize(order, -(-count // size) * size)
        batch_size = size
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size].tolist()


def _shape(plane: DecodedImage) -> tuple[int, int]:
    """Height and width of a plane."""
    height, width = plane.mask.shape
    return height, width


def _has_foreground(mask: Array, share: float, background: int | None) -> bool:
    """Whether at least this share of a mask is annotated and no background."""
    empty = VOID if background is None else background
    return share == 0 or bool(np.mean((mask != VOID) & (mask != empty)) >= share)


@dataclass(frozen=True)
class _Share:
    """Where a window may begin on one axis: from `low` to `high`, but not beyond 0 or `last`."""

    low: int
    high: int
    last: int

    def draw(self, rng: np.random.Generator) -> int:
        """Draw an origin."""
        return min(max(int(rng.integers(self.low, self.high + 1)), 0), self.last)


def _share_axes(
    grid: Sequence[Window], shape: tuple[int, int]
) -> tuple[dict[int, _Share], dict[int, _Share]]:
    """For each row origin, and each column origin, the origins that a random window may take.

    The windows of an axis share all possible origins evenly, whatever the grid leaves out.
    """
    rows, columns = sorted({w.y for w in grid}), sorted({w.x for w in grid})
    height, width = grid[0].height, grid[0].width
    return _share(rows, shape[0], size=height), _share(columns, shape[1], size=width)


def _share(starts: Sequence[int], length: int, *, size: int) -> dict[int, _Share]:
    """Origins of each of the windows that begin at `starts` on an axis.

    The pixel at a border is in one possible window only, one inside in as many as a window is
    long. So origins are drawn from beyond both ends, too, and those put at the border. With three
    quarters of a window at each end, a border pixel is shown three quarters as often as one far
    inside, and one in four of the windows there still moves. An axis that leaves a window less
    room than that is widened by the room.
    """
    last = length - size
    beyond, count = min(size * 3 // 4, last), len(starts)
    ends = [(last + 1 + 2 * beyond) * k // count - beyond for k in range(count + 1)]
    return {s: _Share(ends[k], ends[k + 1] - 1, last) for k, s in enumerate(starts)}


def _shown_before(grid: Sequence[Window]) -> tuple[dict[int, int], dict[int, int]]:
    """For each row origin, and each column origin, how many pixels the one before has shown."""
    rows = {window.y: window.height for window in grid}
    columns = {window.x: window.width for window in grid}
    return _overlaps(rows), _overlaps(columns)


def _overlaps(lengths: dict[int, int]) -> dict[int, int]:
    """Overlap of each interval, given as start and length, with the one before."""
    starts = sorted(lengths)
    ends = [start + lengths[start] for start in starts]
    shown = [max(0, end - start) for end, start in zip(ends, starts[1:], strict=False)]
    return dict(zip(starts, [0, *shown], strict=True))
