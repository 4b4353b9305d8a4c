"""R2U-Net (Alom et al. 2018): a U-Net of recurrent residual blocks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from pixelwise.errors import require_name
from pixelwise.models.blocks import create_doubling, initialize_weights
from pixelwise.models.network import NetworkSpec, SegmentationNetwork

CONCATENATION = "concat"
ADDITION = "add"


@dataclass(frozen=True)
class R2UNetForm:
    """Options of an R2U-Net.

    The defaults are the paper's; the Cityscapes system's is ``R2UNetForm(norm=None, skip="add")``.

    Attributes
    ----------
    t : int
        Number of times each recurrent convolution is applied, 1 or more.
    norm : str or None
        ``batch``: normalise after each convolution; None: never.
    skip : str
        ``concat`` or ``add``.
    entry : int or None
        Kernel of the convolution that enters each block; None: 1 with concatenated skips,
        3 with added ones, as in the two systems.
    base_channels : int
        Channels of the first level; each level below has twice as many.
    depth : int
        Number of poolings: 4 gives five levels.
    """

    t: int = 2
    norm: str | None = "batch"
    skip: str = CONCATENATION
    entry: int | None = None
    base_channels: int = 64
    depth: int = 4

    @property
    def entry_kernel(self) -> int:
        """Kernel of the convolution that enters each block."""
        return self.entry or (1 if self.skip == CONCATENATION else 3)


class R2UNet(SegmentationNetwork):
    """R2U-Net: every block applies the same convolutions several times and adds its input.

    With concatenated skips, enlarging halves the channels; with added skips it keeps them, the
    block halves them, and the skip is added after it.

    Source: Alom et al. 2018, arXiv:1802.06955.
    """

    encoder: nn.ModuleList

    def __init__(self, in_channels: int, classes: int, *, form: R2UNetForm | None = None) -> None:
        form = form or R2UNetForm()
        require_name("skip connection", form.skip, (CONCATENATION, ADDITION))
        super().__init__(in_channels, classes, stride=2**form.depth)
        self.form = form
        widths = [form.base_channels * 2**level for level in range(form.depth + 1)]
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            RecurrentResidualBlock(before, after, form=form)
            for before, after in pairwise([in_channels, *widths])
        )
        steps = list(pairwise(reversed(widths)))
        self.ups = nn.ModuleList(_create_up(deep, shallow, form=form) for deep, shallow in steps)
        self.decoder = nn.ModuleList(
            RecurrentResidualBlock(deep, shallow, form=form) for deep, shallow in steps
        )
        self.head = nn.Conv2d(form.base_channels, classes, 1)
        if form.norm is not None:  # otherwise Kaiming weights would give logits of 10^4
            initialize_weights(self)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """Compute (N, classes, Y, X) logits for a size divisible by `stride`."""
        maps = [self.encoder[0](image)]
        for block in self.encoder[1:]:
            maps.append(block(self.pool(maps[-1])))
        *skips, found = maps
        for up, block, skip in zip(self.ups, self.decoder, reversed(skips), strict=True):
            found = self._ascend(up(found), skip, block=block)
        logits: torch.Tensor = self.head(found)
        return logits

    def _ascend(self, up: torch.Tensor, skip: torch.Tensor, *, block: nn.Module) -> torch.Tensor:
        if self.form.skip == CONCATENATION:
            joined: torch.Tensor = block(torch.cat([up, skip], dim=1))
            return joined
        return torch.add(block(up), skip)


class RecurrentConv(nn.Module):
    """x = f(x_in), then t - 1 further times x = f(x + x_in), with one shared convolution in f.

    Only the convolution is shared: each application has its own batch normalisation, because the
    statistics of the sums differ from the input's, and shared running averages would fit neither
    in evaluation.
    """

    def __init__(self, channels: int, *, form: R2UNetForm) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norms = nn.ModuleList(create_norm(form.norm, channels) for _ in range(form.t))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, entry: torch.Tensor) -> torch.Tensor:
        """Apply the convolution t times to (N, C, Y, X); the shape is kept."""
        found: torch.Tensor | None = None
        for norm in self.norms:
            found = self.relu(norm(self.conv(entry if found is None else found + entry)))
        return entry if found is None else found


class RecurrentResidualBlock(nn.Module):
    """Entry convolution e, then rec(rec(e)) + e."""

    def __init__(self, in_channels: int, out_channels: int, *, form: R2UNetForm) -> None:
        super().__init__()
        kernel = form.entry_kernel
        self.entry = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2),
            create_norm(form.norm, out_channels),
        )
        self.recurrent = nn.Sequential(
            RecurrentConv(out_channels, form=form), RecurrentConv(out_channels, form=form)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn (N, in_channels, Y, X) into (N, out_channels, Y, X)."""
        entry = self.entry(image)
        found: torch.Tensor = self.recurrent(entry) + entry
        return found


def create_norm(norm: str | None, channels: int) -> nn.Module:
    """Create the named normalisation; None gives the identity.

    Raises
    ------
    UnknownNameError
        `norm` is neither ``batch`` nor None.
    """
    if norm is None:
        return nn.Identity()
    require_name("normalisation", norm, ("batch",))
    return nn.BatchNorm2d(channels)


def _create_up(deep: int, shallow: int, *, form: R2UNetForm) -> nn.Sequential:
    channels = shallow if form.skip == CONCATENATION else deep
    doubling = create_doubling(deep, channels, kernel=2)
    if form.norm is None:
        return nn.Sequential(doubling)
    return nn.Sequential(doubling, create_norm(form.norm, channels), nn.ReLU(inplace=True))


def create_network(spec: NetworkSpec) -> R2UNet:
    """Create the network described by `spec`."""
    return R2UNet(spec.in_channels, spec.classes, form=R2UNetForm(**spec.options))
