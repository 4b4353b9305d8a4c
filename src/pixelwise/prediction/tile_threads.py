"""Tiles computed in parallel on a CPU, one thread for each tile, by one network.

This is faster than one batch on all cores, because there the cores wait for each other after every
layer. The bits of a tile depend neither on how many other tiles are in progress nor, on up to 8
cores, on the number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Barrier
from traceback import clear_frames
from typing import Final, TypeVar

import torch
from torch import Tensor

from pixelwise.errors import is_memory_error

Item = TypeVar("Item")
Predict = Callable[[Tensor], Tensor]

_MOST_THREADS: Final = 8
"""More would wait for Python's global lock; with more cores, each tile is computed on several."""


class TileThreads:
    """Threads that compute tiles in parallel.

    Parameters
    ----------
    most : int
        Tiles that may be in progress at a time; halved when the memory is full.

    Attributes
    ----------
    count : int
        Number of threads.
    most : int
    """

    def __init__(self, most: int | None = None) -> None:
        threads = torch.get_num_threads()
        self.count = min(threads, _MOST_THREADS)
        self.most = self.count if most is None else most
        self._executor = ThreadPoolExecutor(self.count, "pixelwise tile")
        # A thread sets its own number of cores, but the call also changes the default of new
        # threads. So all threads are started now, and the default is restored afterwards.
        barrier = Barrier(self.count + 1)

        def prepare() -> None:
            torch.get_num_threads()  # a thread's first call sets the number again
            torch.set_num_threads(max(threads // self.count, 1))
            barrier.wait()

        for _ in range(self.count):
            self._executor.submit(prepare)
        barrier.wait()
        torch.set_num_threads(threads)

    def iter_predicted(
        self, predict: Predict, tiles: Iterable[tuple[Item, Tensor]]
    ) -> Iterator[tuple[Item, Tensor]]:
        """Probabilities of tiles, in the order of the tiles, each with its item.

        Parameters
        ----------
        predict : callable
            Gives the probabilities of one tile (1, C, Y, X); called from several threads.
        tiles : iterable of (anything, Tensor)
        """
        waiting: deque[tuple[Item, Tensor, Future[Tensor]]] = deque()
        try:
            for item, tile in tiles:
                # With one more tile queued for each thread, no thread waits for the consumer.
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
        """Wait for the first tile; if the memory was full, compute it again on its own."""
        item, tile, future = waiting.popleft()
        try:
            return item, future.result()
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
        wait([other for _, _, other in waiting])
        for failed in (future, *(other for _, _, other in waiting)):
            if (found := failed.exception()) is not None:
                clear_frames(found.__traceback__)  # it keeps the network's tensors alive
        self.most = max(self.most // 2, 1)
        return item, self._executor.submit(predict, tile).result()
