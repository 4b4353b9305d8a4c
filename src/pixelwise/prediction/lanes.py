"""Tiles computed side by side on a CPU: each on a thread of its own, by one network.

This is faster than a batch whose layers all threads share, for they wait for each other after every
layer. And the bits of a tile do not depend on how many others are under way, nor, up to 8 cores, on
the number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Barrier
from traceback import clear_frames
from typing import Final, TypeVar

import torch
from torch import Tensor

from pixelwise.errors import is_memory_error

Item = TypeVar("Item")
Predict = Callable[[Tensor], Tensor]

_MOST_LANES: Final = 8
"""More would wait for Python's lock; on more cores each lane has several threads."""


@contextmanager
def leaving_cores() -> Iterator[None]:
    """Let tensor operations of this thread use one core, while lanes need the others.

    Threads that shared such an operation go on turning for a while, in case another comes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Lanes:
    """Threads that compute tiles side by side.

    Parameters
    ----------
    most : int
        Tiles that may be under way at a time; halved when the memory is full.

    Attributes
    ----------
    count : int
        Number of lanes.
    most : int
    """

    def __init__(self, most: int | None = None) -> None:
        threads = torch.get_num_threads()
        self.count = min(threads, _MOST_LANES)
        self.most = self.count if most is None else most
        self._executor = ThreadPoolExecutor(self.count, "pixelwise lane")
        # The number of cores of a thread is set in it, but by a call that changes what other new
        # threads begin with: so all are started now, and that is put back.
        barrier = Barrier(self.count + 1)

        def prepare() -> None:
            torch.get_num_threads()  # the first call in a thread sets its number once more
            torch.set_num_threads(max(threads // self.count, 1))
            barrier.wait()

        for _ in range(self.count):
            self._executor.submit(prepare)
        barrier.wait()
        torch.set_num_threads(threads)

    def iter_predicted(
        self, predict: Predict, tiles: Iterable[tuple[Item, Tensor]]
    ) -> Iterator[tuple[Item, Tensor]]:
        """Probabilities of tiles, in their order, each with what came with it.

        Parameters
        ----------
        predict : callable
            Gives the probabilities of one tile (1, C, Y, X); called from several threads.
        tiles : iterable of (anything, Tensor)
        """
        waiting: deque[tuple[Item, Tensor, Future[Tensor]]] = deque()
        try:
            for item, tile in tiles:
                # With one tile more for each lane, none waits for who takes the results.
                while len(waiting) >= (2 * self.count if self.most >= self.count else self.most):
                    yield self._take(predict, waiting)
                waiting.append((item, tile, self._executor.submit(predict, tile)))
            while waiting:
                yield self._take(predict, waiting)
        finally:
            for _, _, future in waiting:
                future.cancel()

    def _take(
        self, predict: Predict, waiting: deque[tuple[Item, Tensor, Future[Tensor]]]
    ) -> tuple[Item, Tensor]:
        """Wait for the first tile; where the memory was full, compute it again, alone."""
        item, tile, future = waiting.popleft()
        try:
            return item, future.result()
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
        wait([other for _, _, other in waiting])
        for failed in (future, *(other for _, _, other in waiting)):
            if (found := failed.exception()) is not None:
                clear_frames(found.__traceback__)  # it keeps what the network has computed
        self.most = max(self.most // 2, 1)
        return item, self._executor.submit(predict, tile).result()
