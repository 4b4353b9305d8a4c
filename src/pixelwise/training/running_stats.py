"""The running statistics of batch normalisation, which a failed step must not change."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStats:
    """Floating-point buffers of a network, and their values after the last good step.

    The values are kept in one tensor, so that a step costs three small launches on a GPU instead
    of three for each layer.

    Parameters
    ----------
    network : Module
        On its device.
    """

    def __init__(self, network: nn.Module) -> None:
        self._buffers = [b for b in network.buffers() if b.dtype == torch.float32]
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        self._momenta = [(norm, norm.momentum) for norm in norms if norm.momentum]
        self._first = max((int(1 / momentum) for _, momentum in self._momenta), default=-1)
        self.remember()

    def begin(self, step: int) -> None:
        """Prepare for a step, counted from 0 over all epochs.

        The first steps are averaged: the values from before them, which are those of no data or of
        other data, would be remembered for dozens of steps.
        """
        if step <= self._first:
            for norm, momentum in self._momenta:
                norm.momentum = max(momentum, 1 / (step + 1))

    def remember(self) -> None:
        """Accept the current values as good."""
        self._good = self._decided = self._join()

    def restore(self) -> None:
        """Put the last good values back."""
        self._write(self._good)

    def undo_unless(self, finite: Tensor) -> None:
        """Put the last good values back unless a flag on the device is true."""
        if self._buffers:
            self._decided = torch.where(finite, self._join(), self._good)
            self._write(self._decided)

    def accept(self) -> None:
        """Accept the values that `undo_unless` left; this cannot fail."""
        self._good = self._decided

    def _join(self) -> Tensor:
        return torch.cat([b.flatten() for b in self._buffers]) if self._buffers else torch.empty(0)

    def _write(self, joined: Tensor) -> None:
        if not self._buffers:  # torch refuses to copy nothing
            return
        pieces = torch.split(joined, [b.numel() for b in self._buffers])
        shaped = [p.view_as(b) for p, b in zip(pieces, self._buffers, strict=True)]
        torch._foreach_copy_(self._buffers, shaped)
