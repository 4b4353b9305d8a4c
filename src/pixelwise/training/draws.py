"""Random values for the patches of a batch, the same whichever process holds which of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

WHOLE = slice(None)


@dataclass(frozen=True)
class Draws:
    """A source of values for each patch.

    Values are drawn on the CPU for the whole batch, so that a seed means the same on every device
    and for every number of processes; given are those of the patches that are here.

    Attributes
    ----------
    generator : Generator
        On the CPU.
    count : int
        Patches of the whole batch.
    part : slice
        Those that this process has.
    """

    generator: Generator
    count: int
    part: slice = field(default_factory=lambda: WHOLE)

    def uniform(self, *shape: int) -> Tensor:
        """Draw values of 0 to 1, (N, *shape)."""
        return torch.rand(self.count, *shape, generator=self.generator)[self.part]

    def spread(self, limit: float) -> Tensor:
        """Draw values of -limit to limit, (N, 1, 1, 1)."""
        return (self.uniform(1, 1, 1) * 2 - 1) * limit

    def integers(self, high: int) -> Tensor:
        """Draw integers below `high`, (N,)."""
        return torch.randint(high, (self.count,), generator=self.generator)[self.part]

    def normal(self, *shape: int, device: torch.device) -> Tensor:
        """Draw standard normal values, (N, *shape), on a device.

        A GPU draws them itself, from a seed: to draw and send them would take longer than a step.
        """
        if device.type != "cuda":
            values = torch.randn(self.count, *shape, generator=self.generator)
            return values[self.part].to(device)
        own = torch.Generator(device)
        own.manual_seed(*torch.randint(2**62, (1,), generator=self.generator).tolist())
        return torch.randn(self.count, *shape, generator=own, device=device)[self.part]
