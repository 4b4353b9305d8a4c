"""The averaged weights of a network: over its last steps; they are validated, saved and predict.

Weights jump from step to step, the more so with few images and high learning rates; their
exponential moving average does not, and generalises better (Polyak & Juditsky 1992; Izmailov et
al. 2018). The running statistics of batch normalisation are averaged with the weights that they
belong to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_RAMP = 10  # steps; an average over more of them than there were would remember random weights


class WeightAverage:
    """Exponential moving average of what training changes in a network.

    Parameters
    ----------
    network : Module
        On its device, with its first weights.
    decay : float
        Share of the average that a step keeps, 0 to 1, once there were many: 0.99 averages over
        about the last hundred steps. With 0 the average is the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
        buffers = {n: b for n, b in network.named_buffers() if b.is_floating_point()}
        self._current: dict[str, Tensor] = trained | buffers
        self.decay = decay
        copies = {name: value.detach().clone() for name, value in self._current.items()}
        self._average = copies if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 0 over all epochs.

        The first steps are averaged over fewer: a tenth of all at least has passed by then.
        """
        if self._average:
            decay = min(self.decay, (1 + step) / (_RAMP + step))
            current = list(self._current.values())
            torch._foreach_lerp_(list(self._average.values()), current, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the network, and the current weights back at the end."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        """Exchange the memory of both, which copies nothing and cannot fail."""
        for name, average in self._average.items():
            current = self._current[name]
            current.data, average.data = average.data, current.data

    def join(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replace the current weights in a network's state dict by their average."""
        return state | self._average

    def state_dict(self) -> dict[str, Any]:
        """Give the average, for a checkpoint; its tensors are not copied."""
        return dict(self._average)

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the average.

        Raises
        ------
        KeyError, RuntimeError
            It is of another network.
        """
        if state and self._average:
            restored = [state[name] for name in self._average]
            torch._foreach_copy_(list(self._average.values()), restored)

    @torch.no_grad()
    def restart(self) -> None:
        """Begin with the current weights."""
        for name, value in self._average.items():
            value.copy_(self._current[name])

    def switch_off(self) -> None:
        """Take the network itself for its average, as a run that began without one does."""
        self.decay, self._average = 0.0, {}
