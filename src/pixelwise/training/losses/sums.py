"""The sums over pixels that losses are made of.

Where several processes hold parts of a batch, `total` adds up their sums, so that the loss is that
of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pixelwise.classes import VOID

_TINY = 1e-7

Total = Callable[[Tensor], Tensor]


def unchanged(tensor: Tensor) -> Tensor:
    """Return the sums of a batch that is not distributed."""
    return tensor


def read_true_class(logits: Tensor, mask: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each pixel's true class and the pixel's weight, both (N, Y, X)."""
    truth, counted = _split_void(mask)
    log_probability = logits.log_softmax(dim=1).gather(1, truth[:, None])[:, 0]
    return log_probability, weights[truth] * counted


def average(values: Tensor, weight: Tensor, total: Total) -> Tensor:
    """Mean over the batch's pixels."""
    sums = total(torch.stack([(values * weight).sum(), weight.sum()]))
    return sums[0] / sums[1].clamp_min(_TINY)


def compare_areas(
    logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total, false_positives: float
) -> Tensor:
    """1 - Tversky index, weighted mean over the classes that occur in the batch's masks."""
    truth, counted = _split_void(mask)
    probability = logits.softmax(dim=1) * counted[:, None]
    expected = torch.zeros_like(probability).scatter_(
        1, truth[:, None], counted[:, None].to(probability.dtype)
    )
    areas = [each.sum(dim=(0, 2, 3)) for each in (probability * expected, probability, expected)]
    sums = total(torch.stack(areas))
    hits, predicted, wanted = sums[0], sums[1], sums[2]
    wrong = false_positives * (predicted - hits) + (1 - false_positives) * (wanted - hits)
    weight = weights * (wanted > 0)
    losses = 1 - hits / (hits + wrong).clamp_min(_TINY)
    return (losses * weight).sum() / weight.sum().clamp_min(_TINY)


def _split_void(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Class of each pixel as int64 (0 where void), and whether it is annotated."""
    counted = mask != VOID
    return torch.where(counted, mask, 0).long(), counted
