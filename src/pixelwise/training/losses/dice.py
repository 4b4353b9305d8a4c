"""Dice loss."""

from __future__ import annotations

from torch import Tensor

from pixelwise.training.losses.sums import Total, compare_areas


def compute(logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total) -> Tensor:
    """1 - soft Dice over the batch, mean over the classes in it (Milletari et al. 2016)."""
    return compare_areas(logits, mask, weights, total=total, false_positives=0.5)
