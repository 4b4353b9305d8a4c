"""Prefetching: batches are cut on the device if the images fit there, else ahead by a thread.

The content of a batch follows from (seed, epoch, step) alone, so it does not matter when it is cut,
or by which thread or process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice, repeat

import numpy as np
import torch

from pixelwise.errors import is_memory_error
from pixelwise.models.devices import free_cache
from pixelwise.patches.sampling import iter_batch_numbers, iter_mixed_numbers
from pixelwise.training.batches import Batch, BatchReader
from pixelwise.training.distributed import Ranks
from pixelwise.training.memory import measure_available

RESIDENT_SHARE = 0.2
"""Share of a GPU's free memory that images and masks may take."""
AHEAD = 2
"""Batches that wait for the device."""

_SEEDS = 2**62


def draw_seeds(seed: int, epoch: int, step: int) -> tuple[int, int, np.random.Generator]:
    """Give a step's seeds for augmentation and for dropout, and the generator of its positions."""
    rng = np.random.default_rng([seed, epoch, step])
    return int(rng.integers(_SEEDS)), int(rng.integers(_SEEDS)), rng


def make_resident(readers: Sequence[BatchReader], device: torch.device) -> bool:
    """Put the images of all readers on a GPU, if they take no more than their share of it.

    Others may use the GPU too: where its memory is full after all, the images stay on the host.
    """
    if sum(reader.dataset.nbytes for reader in readers) > RESIDENT_SHARE * _measure_free(device):
        return False
    try:
        for reader in readers:
            reader.put_on(device)
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
    else:
        return True
    for reader in readers:
        reader.take_back()
    free_cache(device)
    return False


def _measure_free(device: torch.device) -> int:
    """Bytes of memory that are free on a GPU; 0 for what has no memory of its own."""
    return measure_available(device) if device.type == "cuda" else 0


class Prefetcher:
    """Batches of a training run, by epoch and step, read ahead of their use.

    Parameters
    ----------
    reader : BatchReader
    batch_size : int
    seed : int
    shift : bool
        Whether patches are cut at random places.
    ranks : Ranks
        Which part of each batch is wanted here, and whether for a GPU.
    """

    def __init__(
        self,
        reader: BatchReader,
        batch_size: int,
        *,
        seed: int,
        shift: bool,
        ranks: Ranks,
    ) -> None:
        self._reader, self._batch_size = reader, batch_size
        self._steps: int | None = None
        self._seed, self._shift, self._ranks = seed, shift, ranks
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._pending: dict[tuple[int, int], tuple[list[int], Future[Batch]]] = {}
        self._epoch, self._drawn = -1, list[list[int]]()

    def limit(self, steps: int | None) -> None:
        """Set how many steps an epoch has; None for one pass over all patches, as at first."""
        if steps != self._steps:
            self._steps, self._epoch = steps, -1

    def draw(self, epoch: int) -> list[list[int]]:
        """Numbers of the patches of each step of an epoch."""
        if epoch != self._epoch:
            rng = np.random.default_rng([self._seed, epoch])
            self._epoch, self._drawn = epoch, list(self._iter_steps(rng))
            self._pending.clear()
        return self._drawn

    def _iter_steps(self, rng: np.random.Generator) -> Iterator[list[int]]:
        """Pass over all patches once, or as often as the steps of an epoch need."""
        passes = repeat(None, 1) if self._steps is None else repeat(None)
        count, corrected = len(self._reader), self._reader.corrected
        drawn = (iter_mixed_numbers(count, corrected, self._batch_size, rng=rng) for _ in passes)
        yield from islice(chain.from_iterable(drawn), self._steps)

    def take(self, numbers: list[int], *, epoch: int, step: int) -> Batch:
        """Give the batch of a step, and let the thread start on those that follow."""
        if self._reader.is_resident:
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
        batch = self._reader.read(numbers, rng=rng if self._shift else None, part=part)
        pin = self._ranks.fabric.device.type == "cuda" and not self._reader.is_resident
        return batch.pin() if pin else batch


def iter_scored(reader: BatchReader, batch_size: int, ranks: Ranks) -> Generator[Batch, None, None]:
    """Batches that show every pixel of a reader's images once, cut ahead of their use.

    Of N processes each gets every N-th batch.
    """
    batches = islice(iter_batch_numbers(len(reader), batch_size), ranks.rank, None, ranks.size)
    if reader.is_resident:
        yield from map(reader.read_once, batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        pending = deque[Future[Batch]]()
        for numbers in batches:
            pending.append(thread.submit(reader.read_once, numbers))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
