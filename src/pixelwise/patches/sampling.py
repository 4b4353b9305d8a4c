"""Which patches form a batch, and how far a patch may move from its grid position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pixelwise.patches.windows import Window

MIN_BATCH = 2
"""Batch normalisation over 1 x 1 maps needs two patches."""


def iter_batch_numbers(
    count: int, batch_size: int, *, rng: np.random.Generator | None = None
) -> Iterator[list[int]]:
    """Numbers of the patches of each batch, out of `count`.

    With `rng` (training) they are shuffled and every batch is full: the last one is filled from the
    start, and a batch has at least `MIN_BATCH` patches. Without it each patch occurs once.
    """
    order = np.arange(count) if rng is None else rng.permutation(count)
    if rng is not None:
        size = max(min(batch_size, count), MIN_BATCH)
        order = np.resize(order, -(-count // size) * size)
        batch_size = size
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size].tolist()


def iter_mixed_numbers(
    count: int, corrected: int, batch_size: int, *, rng: np.random.Generator
) -> Iterator[list[int]]:
    """Numbers of the patches of each batch, half of which are corrections: the last ones.

    The other patches are gone through as in `iter_batch_numbers`, and corrections are repeated, or
    some are left out, to be as many. Without corrections, or others, it is `iter_batch_numbers`.
    """
    others, half = count - corrected, batch_size // 2
    if not (others and corrected and half):
        yield from iter_batch_numbers(count, batch_size, rng=rng)
        return
    repeated = _iter_shuffled(range(others, count), rng)
    size = batch_size - half
    order = np.resize(rng.permutation(others), -(-others // size) * size)
    for start in range(0, len(order), size):
        yield [*order[start : start + size].tolist(), *islice(repeated, half)]


def _iter_shuffled(numbers: Sequence[int], rng: np.random.Generator) -> Iterator[int]:
    """Numbers in random order, again and again."""
    while True:
        yield from rng.permutation(numbers).tolist()


@dataclass(frozen=True)
class Share:
    """Possible origins of a window on one axis, in pixels: `low` to `high`, clipped to 0-`last`."""

    low: int
    high: int
    last: int

    def draw(self, rng: np.random.Generator) -> int:
        """Draw an origin."""
        return min(max(int(rng.integers(self.low, self.high + 1)), 0), self.last)


def share_axes(
    grid: Sequence[Window], shape: tuple[int, int]
) -> tuple[dict[int, Share], dict[int, Share]]:
    """For each row and column origin on the grid, the origins that a moved window may have.

    The windows of an axis divide all possible origins evenly, even those that the grid skips.
    """
    rows, columns = sorted({w.y for w in grid}), sorted({w.x for w in grid})
    height, width = grid[0].height, grid[0].width
    return _share(rows, shape[0], size=height), _share(columns, shape[1], size=width)


def _share(starts: Sequence[int], length: int, *, size: int) -> dict[int, Share]:
    """Possible origins of each window that starts at one of `starts` on an axis.

    A border pixel is in only one possible window, an inner pixel in as many as a window is long. To
    compensate, origins are drawn from beyond both ends too, and clipped to the border. With three
    quarters of a window at each end, a border pixel is shown three quarters as often as an inner
    one, and a quarter of the windows there still moves. An axis with less room than that is
    extended by the room it has.
    """
    last = length - size
    beyond, count = min(size * 3 // 4, last), len(starts)
    ends = [(last + 1 + 2 * beyond) * k // count - beyond for k in range(count + 1)]
    return {s: Share(ends[k], ends[k + 1] - 1, last) for k, s in enumerate(starts)}


def find_shown(grid: Sequence[Window]) -> tuple[dict[int, int], dict[int, int]]:
    """For each row and column origin, how many of its pixels the previous window shows."""
    rows = {window.y: window.height for window in grid}
    columns = {window.x: window.width for window in grid}
    return _overlaps(rows), _overlaps(columns)


def _overlaps(lengths: dict[int, int]) -> dict[int, int]:
    """Overlap of each interval, given as start and length, with the one before."""
    starts = sorted(lengths)
    ends = [start + lengths[start] for start in starts]
    shown = [max(0, end - start) for end, start in zip(ends, starts[1:], strict=False)]
    return dict(zip(starts, [0, *shown], strict=True))
