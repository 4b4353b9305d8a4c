from __future__ import annotations

import resource
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pixelwise.training.allocator import keeping_freed_memory

BYTES = 8 * 2**20


def count_faults(times: int = 20) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(BYTES, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_freed_block_costs_no_page_faults_the_second_time() -> None:
    pages = BYTES // resource.getpagesize()
    with keeping_freed_memory() as kept:
        if not kept:
            pytest.skip("another C library than glibc")
        count_faults()
        assert count_faults() < pages
    assert count_faults() > pages


def test_blocks_of_every_size_can_be_had_in_any_thread() -> None:
    with keeping_freed_memory(), ThreadPoolExecutor(2) as pool:
        sizes = [2**10, 2**20, 2**27, 2**28]
        blocks = list(pool.map(lambda size: torch.ones(size, dtype=torch.uint8), sizes))
    assert [block.sum(dtype=torch.int64).item() for block in blocks] == sizes
