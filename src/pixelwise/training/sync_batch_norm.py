"""Batch normalisation over the patches of all processes instead of those of each."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pixelwise.errors import ConfigError
from pixelwise.training.distributed import Ranks


def synchronize_batch_norms(network: nn.Module, ranks: Ranks) -> None:
    """Replace a network's batch normalisations by synchronised ones; weights and names stay.

    PyTorch has them for GPUs only; on CPUs `SharedBatchNorm2d` is used.

    Raises
    ------
    ConfigError
        A layer does more than normalise.
    """
    if ranks.size == 1:
        return
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _replace(child, ranks))
            elif isinstance(child, _BatchNorm):
                raise ConfigError(
                    f"The encoder's {type(child).__name__} cannot see the patches of other "
                    "processes: leave out --sync-batch-norm, or take another encoder."
                )


def _replace(norm: nn.BatchNorm2d, ranks: Ranks) -> nn.Module:
    """Make a synchronised normalisation with the parameters and buffers of a plain one."""
    shape = norm.num_features, norm.eps, norm.momentum
    shared = (
        nn.SyncBatchNorm(*shape)
        if ranks.fabric.device.type == "cuda"
        else SharedBatchNorm2d(*shape, ranks=ranks)
    )
    shared.weight, shared.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers(recurse=False):
        setattr(shared, name, buffer)
    return shared.train(norm.training)  # a frozen one stays as it is


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with the mean and variance of all processes' patches.

    Parameters
    ----------
    features : int
    eps, momentum : float
        As in `torch.nn.BatchNorm2d`.
    ranks : Ranks
    """

    def __init__(
        self, features: int, eps: float = 1e-5, momentum: float | None = 0.1, *, ranks: Ranks
    ) -> None:
        super().__init__(features, eps, momentum)
        self._ranks = ranks

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        """Normalise a batch (N, C, Y, X)."""
        if not self.training:
            return super().forward(input)
        pixels = torch.full((1,), input[:, 0].numel(), dtype=torch.float32, device=input.device)
        image = input.float()
        sums = self._ranks.total(torch.cat([image.sum(dim=(0, 2, 3)), pixels]))
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centred = image - mean[:, None, None]
        variance = self._ranks.total(centred.square().sum(dim=(0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None]).to(
            input.dtype
        )

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics."""
        share = 0.1 if self.momentum is None else self.momentum
        for running, value in ((self.running_mean, mean), (self.running_var, variance)):
            if running is not None:
                running.lerp_(value, share)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
