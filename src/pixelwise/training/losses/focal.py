"""Focal loss."""

from __future__ import annotations

from torch import Tensor

from pixelwise.training.losses.sums import Total, average, read_true_class

_FOCUS = 2.0


def compute(logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total) -> Tensor:
    """Cross-entropy that down-weights easy pixels: -(1-p)^2 log p (Lin et al. 2017)."""
    log_probability, weight = read_true_class(logits, mask, weights)
    hard = (1 - log_probability.exp()) ** _FOCUS
    return average(-hard * log_probability, weight, total)
