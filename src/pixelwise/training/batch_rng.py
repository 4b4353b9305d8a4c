"""Random values for the patches of a batch, independent of which process holds which patch."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

WHOLE = slice(None)


@dataclass(frozen=True)
class BatchRng:
    """A source of random values, one set for each patch.

    Values are drawn on the CPU for the whole batch, so that a seed gives the same values on every
    device and with any number of processes. Methods return those of this process's patches.

    Attributes
    ----------
    generator : Generator
        On the CPU.
    count : int
        Patches in the whole batch.
    part : slice
        The patches that this process holds.
    """

    generator: Generator
    count: int
    part: slice = field(default_factory=lambda: WHOLE)

    def uniform(self, *shape: int) -> Tensor:
        """Draw values from 0 to 1, (N, *shape)."""
        return torch.rand(self.count, *shape, generator=self.generator)[self.part]

    def spread(self, limit: float) -> Tensor:
        """Draw values from -limit to limit, (N, 1, 1, 1)."""
        return (self.uniform(1, 1, 1) * 2 - 1) * limit

    def integers(self, high: int) -> Tensor:
        """Draw integers below `high`, (N,)."""
        return torch.randint(high, (self.count,), generator=self.generator)[self.part]

    def normal(self, *shape: int, device: torch.device) -> Tensor:
        """Draw standard normal values, (N, *shape), on a device.

        A GPU draws its own from a seed: sending them from the CPU would take longer than a step.
        """
        if device.type != "cuda":
            values = torch.randn(self.count, *shape, generator=self.generator)
            return values[self.part].to(device)
        own = torch.Generator(device)
        own.manual_seed(*torch.randint(2**62, (1,), generator=self.generator).tolist())
        return torch.randn(self.count, *shape, generator=own, device=device)[self.part]
