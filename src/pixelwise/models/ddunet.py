"""DDU-Net: a U-Net of four levels with dilated convolutions in the deep ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from pixelwise.models.blocks import (
    DoubleConv,
    create_doubling,
    initialize_weights,
)
from pixelwise.models.network import NetworkSpec, SegmentationNetwork

LEVELS = 4
# Transposed convolutions from the deepest to the finest level. With the last one 2x2, the network
# has exactly the parameters of the original Cityscapes system.
UP_KERNELS = (3, 3, 2)


@dataclass(frozen=True)
class DDUNetForm:
    """What distinguishes one DDU-Net from another.

    Attributes
    ----------
    base_channels : int
        Channels of the first of four levels; each level below has twice as many.
    dilation : int
        Spacing of the kernel's taps in dilated levels.
    dilated_encoder : tuple of int
        Levels dilated on the way down, 1 (finest) to 4 (deepest).
    dilated_decoder : tuple of int
        Levels dilated on the way up, 3 (deepest) to 1 (finest).
    """

    base_channels: int = 64
    dilation: int = 3
    dilated_encoder: tuple[int, ...] = (3, 4)
    dilated_decoder: tuple[int, ...] = (3,)

    def dilation_at(self, level: int, dilated: tuple[int, ...]) -> int:
        """Dilation at a level: 1 unless the level is in `dilated`."""
        return self.dilation if level in dilated else 1


class DDUNet(SegmentationNetwork):
    """DDU-Net: double convolutions, padded by their dilation so that every level keeps its size.

    Transposed convolutions double the size and keep the channels; skips are concatenated.

    Source: the dilated U-Net of the Cityscapes system; dilation after Yu and Koltun 2016,
    arXiv:1511.07122.
    """

    encoder: nn.ModuleList

    def __init__(self, in_channels: int, classes: int, *, form: DDUNetForm | None = None) -> None:
        form = form or DDUNetForm()
        super().__init__(in_channels, classes, stride=2 ** (LEVELS - 1))
        widths = [form.base_channels * 2**level for level in range(LEVELS)]
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            DoubleConv(before, after, dilation=form.dilation_at(level, form.dilated_encoder))
            for level, (before, after) in enumerate(pairwise([in_channels, *widths]), start=1)
        )
        self.ups = nn.ModuleList(
            create_doubling(width, width, kernel=kernel)
            for width, kernel in zip(widths[:0:-1], UP_KERNELS, strict=True)
        )
        self.decoder = nn.ModuleList(
            DoubleConv(
                widths[level] + widths[level - 1],
                widths[level - 1],
                dilation=form.dilation_at(level, form.dilated_decoder),
            )
            for level in range(LEVELS - 1, 0, -1)
        )
        self.head = nn.Conv2d(widths[0], classes, 1)
        initialize_weights(self)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """Compute (N, classes, Y, X) logits for a size divisible by 8."""
        maps = [self.encoder[0](image)]
        for level in self.encoder[1:]:
            maps.append(level(self.pool(maps[-1])))
        *skips, found = maps
        for up, level, skip in zip(self.ups, self.decoder, reversed(skips), strict=True):
            found = level(torch.cat([up(found), skip], dim=1))
        logits: torch.Tensor = self.head(found)
        return logits


def create_network(spec: NetworkSpec) -> DDUNet:
    """Create the network described by `spec`."""
    return DDUNet(spec.in_channels, spec.classes, form=DDUNetForm(**spec.options))
