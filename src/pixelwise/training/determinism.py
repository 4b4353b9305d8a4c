"""Deterministic algorithms and random state: settings of the process, restored after training."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import torch

_CUBLAS: Final = "CUBLAS_WORKSPACE_CONFIG"


def choose_algorithms(*, deterministic: bool) -> None:
    """Allow only algorithms that give the same bits every time, or else the fastest."""
    if deterministic:
        os.environ.setdefault(_CUBLAS, ":4096:8")
    _use_deterministic(deterministic, warn_only=False)
    torch.backends.cudnn.benchmark = not deterministic  # every step has the same shapes


def _use_deterministic(mode: bool, *, warn_only: bool) -> None:
    """Set torch's choice of algorithms unless it is set: torch loads its compiler to do so."""
    now = torch.are_deterministic_algorithms_enabled()
    now_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    if (now, now_warns) != (mode, warn_only):
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)


@contextmanager
def restoring_torch_settings(device: torch.device) -> Iterator[None]:
    """Restore torch's choice of algorithms and its random state at the end.

    Parameters
    ----------
    device : torch.device
        The training device. With CUDA the random state of every GPU is restored, because
        `torch.manual_seed` seeds them all.
    """
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get(_CUBLAS)
    cuda = device.type == "cuda" or cast("Any", torch.cuda).is_initialized()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count()) if cuda else []):
            yield
    finally:
        _use_deterministic(is_deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            os.environ.pop(_CUBLAS, None)
