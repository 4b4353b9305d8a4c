"""Loss functions over softmax probabilities; all ignore void pixels (ignore index 255).

A loss takes logits (N, C, Y, X) and a class mask (N, Y, X) of uint8 with 255 = void, and gives one
number. A batch without a single annotated pixel gives 0, with gradients of 0. The computation is
in float32 whatever the network's precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Final, get_args

import torch
from torch import Tensor

from pixelwise.config.names import LossName
from pixelwise.errors import require_name
from pixelwise.training.losses.sums import Total, unchanged
from pixelwise.training.transfer import send

LOSSES: Final[dict[str, Callable[..., Tensor]]] = {
    name: import_module(f"pixelwise.training.losses.{name}").compute for name in get_args(LossName)
}


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
    """Make a loss by its name.

    Raises
    ------
    UnknownNameError
        There is no such loss.
    """
    return Loss(require_name("loss", name, LOSSES), weights)
