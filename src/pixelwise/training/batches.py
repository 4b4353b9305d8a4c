"""Batches on time: cut on the device where the images fit there, else ahead by one thread.

What a batch holds follows from (seed, epoch, step) alone, so it does not matter who cuts it when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch

from pixelwise.errors import is_memory_error
from pixelwise.models.devices import free_cache
from pixelwise.training.distributed import Ranks
from pixelwise.training.memory import measure_available
from pixelwise.training.store import Batch, PatchStore, iter_batch_numbers

RESIDENT_SHARE = 0.2
"""Share of a GPU's free memory that images and masks may take."""
AHEAD = 2
"""Batches that wait for the device."""

_SEEDS = 2**62


def draw_seeds(seed: int, epoch: int, step: int) -> tuple[int, int, np.random.Generator]:
    """Give a step's seeds for augmentation and for dropout, and the generator of its places."""
    rng = np.random.default_rng([seed, epoch, step])
    return int(rng.integers(_SEEDS)), int(rng.integers(_SEEDS)), rng


def make_resident(stores: Sequence[PatchStore], device: torch.device) -> bool:
    """Put the images of all stores on a GPU, if they take no more than their share of it.

    Others may use the GPU too: where its memory is full after all, the images stay on the host.
    """
    if sum(store.nbytes for store in stores) > RESIDENT_SHARE * _measure_free(device):
        return False
    try:
        for store in stores:
            store.put_on(device)
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
    else:
        return True
    for store in stores:
        store.take_back()
    free_cache(device)
    return False


def _measure_free(device: torch.device) -> int:
    """Bytes of memory that are free on a GPU; 0 for what has no memory of its own."""
    return measure_available(device) if device.type == "cuda" else 0


class Feeder:
    """Batches of a training, by epoch and step.

    Parameters
    ----------
    store : PatchStore
    batch_size : int
    seed : int
    shift : bool
        Whether patches are cut at random places.
    ranks : Ranks
        Which part of each batch is wanted here, and whether for a GPU.
    """

    def __init__(
        self, store: PatchStore, batch_size: int, *, seed: int, shift: bool, ranks: Ranks
    ) -> None:
        self._store, self._batch_size = store, batch_size
        self._seed, self._shift, self._ranks = seed, shift, ranks
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._pending: dict[tuple[int, int], tuple[list[int], Future[Batch]]] = {}
        self._epoch, self._drawn = -1, list[list[int]]()

    def draw(self, epoch: int) -> list[list[int]]:
        """Numbers of the patches of each step of an epoch."""
        if epoch != self._epoch:
            rng = np.random.default_rng([self._seed, epoch])
            drawn = iter_batch_numbers(len(self._store), self._batch_size, rng=rng)
            self._epoch, self._drawn = epoch, list(drawn)
            self._pending.clear()
        return self._drawn

    def take(self, numbers: list[int], *, epoch: int, step: int) -> Batch:
        """Give the batch of a step, and let the thread begin with those that follow."""
        if self._store.is_resident:
            return self._read(numbers, epoch, step)
        for number, drawn in enumerate(self.draw(epoch)[step : step + AHEAD + 1], start=step):
            if (epoch, number) not in self._pending:
                future = self._thread.submit(self._read, drawn, epoch, number)
                self._pending[epoch, number] = drawn, future
        expected, future = self._pending.pop((epoch, step))
        return future.result() if expected == numbers else self._read(numbers, epoch, step)

    def _read(self, numbers: list[int], epoch: int, step: int) -> Batch:
        rng = draw_seeds(self._seed, epoch, step)[-1]
        part = self._ranks.part(len(numbers))
        batch = self._store.read(numbers, rng=rng if self._shift else None, part=part)
        pin = self._ranks.fabric.device.type == "cuda" and not self._store.is_resident
        return batch.pin() if pin else batch


def iter_scored(store: PatchStore, batch_size: int, ranks: Ranks) -> Generator[Batch, None, None]:
    """Batches that show every pixel of a store's images once, cut ahead of their use.

    Of several processes each gets every so many-th batch.
    """
    batches = islice(iter_batch_numbers(len(store), batch_size), ranks.rank, None, ranks.size)
    if store.is_resident:
        yield from map(store.read_once, batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        pending = deque[Future[Batch]]()
        for numbers in batches:
            pending.append(thread.submit(store.read_once, numbers))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
