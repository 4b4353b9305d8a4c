"""Loss functions over softmax probabilities; all ignore void pixels (ignore index 255).

A loss takes logits (N, C, Y, X) and a class mask (N, Y, X) of uint8 with 255 = void, and gives one
number. A batch without a single annotated pixel gives 0, with gradients of 0. The computation is
in float32 whatever the network's precision.

Where several processes hold parts of a batch, `total` adds up their sums over pixels, so that the
loss is that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelwise.classes import VOID
from pixelwise.errors import require_name
from pixelwise.training.transfer import send

_FOCUS = 2.0
_TVERSKY_FALSE_POSITIVES = 0.3
_TINY = 1e-7

Total = Callable[[Tensor], Tensor]


def unchanged(tensor: Tensor) -> Tensor:
    """Return the sums of a batch that is not distributed."""
    return tensor


@dataclass(frozen=True)
class Loss:
    """A loss by name, with class weights.

    Attributes
    ----------
    name : str
        One of `LOSSES`.
    weights : Tensor or None, (C,)
        Weight of each class's pixels in cross-entropy and focal loss, and of each class's term in
        Dice and Tversky loss.
    """

    name: str
    weights: Tensor | None = None

    def __call__(
        self, logits: Tensor | tuple[Tensor, ...], mask: Tensor, *, total: Total = unchanged
    ) -> Tensor:
        """Loss of a batch; the mean over the heads of a network with deep supervision."""
        if isinstance(logits, tuple):
            return torch.stack([self(head, mask, total=total) for head in logits]).mean()
        if self.weights is None:
            weights = torch.ones(logits.shape[1], device=logits.device)
        else:
            weights = send(self.weights.float(), logits.device)
        return LOSSES[self.name](logits.float(), mask, weights, total=total)


class JoinedLoss:
    """The loss of a batch that is computed in micro-batches.

    Every loss is a function of sums over pixels, so that of the whole batch needs no more than the
    sums of its parts, and does not depend on them, up to rounding.

    Parameters
    ----------
    loss : Loss
    """

    def __init__(self, loss: Loss) -> None:
        self._loss = loss
        self._sums: list[Tensor] = []

    def add(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of all parts so far and this one, together."""
        earlier, sums = iter(self._sums), list[Tensor]()

        def total(tensor: Tensor) -> Tensor:
            sums.append(tensor + next(earlier, 0))
            return sums[-1]

        loss = self._loss(logits, mask, total=total)
        self._sums = sums
        return loss


def create_loss(name: str, weights: Tensor | None = None) -> Loss:
    """Make a loss: cross_entropy, dice, dice_cross_entropy, focal or tversky.

    Raises
    ------
    UnknownNameError
        There is no such loss.
    """
    return Loss(require_name("loss", name, LOSSES), weights)


def cross_entropy(
    logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total = unchanged
) -> Tensor:
    """Weighted mean of -log p over annotated pixels; binary cross-entropy for two classes."""
    log_probability, weight = _of_true_class(logits, mask, weights)
    return _weighted_mean(-log_probability, weight, total)


def focal(logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total = unchanged) -> Tensor:
    """Cross-entropy that down-weights easy pixels: -(1-p)^2 log p (Lin et al. 2017)."""
    log_probability, weight = _of_true_class(logits, mask, weights)
    hard = (1 - log_probability.exp()) ** _FOCUS
    return _weighted_mean(-hard * log_probability, weight, total)


def dice(logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total = unchanged) -> Tensor:
    """1 - soft Dice over the batch, mean over the classes in it (Milletari et al. 2016)."""
    return _tversky(logits, mask, weights, total=total, false_positives=0.5)


def tversky(logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total = unchanged) -> Tensor:
    """Like `dice`, but a missed pixel costs more than a false one, 7 : 3 (Salehi et al. 2017)."""
    return _tversky(logits, mask, weights, total=total, false_positives=_TVERSKY_FALSE_POSITIVES)


def dice_cross_entropy(
    logits: Tensor, mask: Tensor, weights: Tensor, *, total: Total = unchanged
) -> Tensor:
    """Sum of `dice` and `cross_entropy`."""
    areas = dice(logits, mask, weights, total=total)
    return areas + cross_entropy(logits, mask, weights, total=total)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "dice_cross_entropy": dice_cross_entropy,
    "focal": focal,
    "tversky": tversky,
}


def _of_true_class(logits: Tensor, mask: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each pixel's true class and the pixel's weight, both (N, Y, X)."""
    truth, counted = _split_void(mask)
    log_probability = logits.log_softmax(dim=1).gather(1, truth[:, None])[:, 0]
    return log_probability, weights[truth] * counted


def _weighted_mean(values: Tensor, weight: Tensor, total: Total) -> Tensor:
    """Mean over the batch's pixels."""
    sums = total(torch.stack([(values * weight).sum(), weight.sum()]))
    return sums[0] / sums[1].clamp_min(_TINY)


def _tversky(
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
