"""Torch's global switches: they belong to the process, and a training gives them back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch


def choose_algorithms(*, deterministic: bool) -> None:
    """Let torch take the fastest algorithms, or those that give the same bits every time."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic  # every step has the same shapes


@contextmanager
def keeping_switches(device: torch.device) -> Iterator[None]:
    """Give the choice of algorithms and the state of the random numbers back as they were.

    Parameters
    ----------
    device : torch.device
        What is trained on. With CUDA the random numbers of all its devices are given back, as
        a seed goes to all of them.
    """
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    cuda = device.type == "cuda" or cast("Any", torch.cuda).is_initialized()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count()) if cuda else []):
            yield
    finally:
        torch.use_deterministic_algorithms(is_deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
