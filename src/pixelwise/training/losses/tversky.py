"""Tversky loss."""

from __future__ import annotations

from torch import Tensor

from pixelwise.training.losses.sums import Total, compare_areas

_FALSE_POSITIVES = 0.3


def compute(logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total) -> Tensor:
    """Like `dice`, but a missed pixel costs more than a false one, 7 : 3 (Salehi et al. 2017)."""
    return compare_areas(logits, mask, weights, total=total, false_positives=_FALSE_POSITIVES)
