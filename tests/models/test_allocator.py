from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pixelwise.models.allocator import keeping_freed_memory

COUNT_FAULTS = """
import ctypes, resource, torch
from pixelwise.models.allocator import keeping_freed_memory

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # small pages, or a block is one fault
BYTES = 64 * 2**20  # more than glibc ever takes from its heap by itself

def count_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(BYTES, dtype=torch.uint8)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()

with keeping_freed_memory() as kept:
    for _ in range(3):  # until the heap has grown around the small things that stay
        count_faults()
    inside = count_faults()
print(kept, inside < BYTES, count_faults() > BYTES)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_blocks_cost_no_page_faults_when_they_are_had_again() -> None:
    """In a process of its own: what other tests leave in the heap is no matter there."""
    done = subprocess.run([sys.executable, "-c", COUNT_FAULTS], capture_output=True, text=True)
    if done.stdout.startswith("False"):
        pytest.skip("another C library than glibc")
    assert done.stdout.split() == ["True", "True", "True"], done.stderr


def test_blocks_of_every_size_can_be_had_in_any_thread() -> None:
    with keeping_freed_memory(), ThreadPoolExecutor(2) as pool:
        sizes = [2**10, 2**20, 2**27, 2**28]
        blocks = list(pool.map(lambda size: torch.ones(size, dtype=torch.uint8), sizes))
    assert [block.sum(dtype=torch.int64).item() for block in blocks] == sizes
