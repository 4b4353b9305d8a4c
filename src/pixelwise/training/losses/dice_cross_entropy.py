"""Dice loss and cross-entropy together."""

from __future__ import annotations

from torch import Tensor

from pixelwise.training.losses import cross_entropy, dice
from pixelwise.training.losses.sums import Total


def compute(logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total) -> Tensor:
    """Sum of `dice` and `cross_entropy`."""
    areas = dice.compute(logits, mask, weights, total=total)
    return areas + cross_entropy.compute(logits, mask, weights, total=total)
