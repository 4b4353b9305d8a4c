"""Cross-entropy."""

from __future__ import annotations

from torch import Tensor

from pixelwise.training.losses.sums import Total, average, read_true_class


def compute(logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total) -> Tensor:
    """Weighted mean of -log p over annotated pixels; binary cross-entropy for two classes."""
    log_probability, weight = read_true_class(logits, mask, weights)
    return average(-log_probability, weight, total)
