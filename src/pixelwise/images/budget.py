"""The memory limit for one decoded image, checked against the header before decoding."""

from __future__ import annotations

import os
import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.errors import BudgetError, ConfigError
from pixelwise.host_memory import measure_host_memory

VARIABLE = "PIXELWISE_MEMORY_BUDGET"
_SHARE = 0.5
_ALWAYS_FITS = 1 << 20
"""Small images skip the check of free memory, which is slow for thousands of masks."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def read_budget() -> int:
    """Bytes one image may take: the environment variable, or half of the available memory.

    Raises
    ------
    ConfigError
        The variable is not a size such as ``8GB`` or ``500000000``.
    """
    text = os.environ.get(VARIABLE)
    if text:
        return parse_bytes(text)
    return int(measure_host_memory() * _SHARE)


def parse_bytes(text: str) -> int:
    """Read ``8GB``, ``500 MB`` or ``1e9`` as a number of bytes (1 kB = 1000 B).

    Raises
    ------
    ConfigError
        The text is not a positive size.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    try:
        count = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    except (ValueError, OverflowError):
        count = 0
    if count <= 0:
        raise ConfigError(f"{VARIABLE} must be a size such as 8GB or 500MB, got {text!r}.")
    return count


def require_budget(
    path: Path, shape: tuple[int, ...], *, dtype: np.dtype[Any], budget_bytes: int | None
) -> None:
    """Raise if an image of this shape and dtype would take more than the budget.

    Raises
    ------
    BudgetError
        The message gives both figures and how to raise the budget.
    """
    needed = prod(shape) * dtype.itemsize
    if budget_bytes is None and needed <= _ALWAYS_FITS and VARIABLE not in os.environ:
        return
    budget = read_budget() if budget_bytes is None else budget_bytes
    if needed > budget:
        raise BudgetError(
            f"{path} has {' x '.join(map(str, shape))} pixels of {dtype}, which need "
            f"{needed / 1e9:.3g} GB of memory; the budget is {budget / 1e9:.3g} GB. "
            f"Raise it with budget_bytes or {VARIABLE}={_round_up(needed)}, or use a smaller image."
        )


def _round_up(needed: int) -> str:
    return f"{needed // 10**9 + 1}GB" if needed >= 10**9 else f"{needed // 10**6 + 1}MB"
