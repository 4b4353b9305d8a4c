"""U-Net (Ronneberger et al. 2015): plain, and with transposed convolutions on any encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from pixelwise.architectures import find_architecture
from pixelwise.errors import ConfigError, require_name
from pixelwise.models.blocks import (
    RELU_NORM,
    DoubleConv,
    create_doubling,
    initialize_weights,
)
from pixelwise.models.network import NetworkSpec, SegmentationNetwork

TRANSPOSED = "transposed"
UPS = ("bilinear", "nearest", TRANSPOSED)


@dataclass(frozen=True)
class UNetForm:
    """What distinguishes one plain U-Net from another.

    The defaults are the widths 64 to 1024 with bilinear enlargement. The narrow U-Net of the
    MoNuSeg system is ``UNetForm(16, up="transposed", order="norm-relu", dropout=0.05)``.

    Attributes
    ----------
    base_channels : int
        Channels of the first level; each level below has twice as many.
    depth : int
        Number of poolings, 1 to 5.
    up : str
        ``bilinear``, ``nearest`` or ``transposed``.
    order : str
        ``relu-norm`` or ``norm-relu``.
    dropout : float
        Share of features dropped after each pooling and each concatenation while training.
    """

    base_channels: int = 64
    depth: int = 4
    up: str = "bilinear"
    order: str = RELU_NORM
    dropout: float = 0.0

    @property
    def widths(self) -> list[int]:
        """Channels of each level, the finest first."""
        return [self.base_channels * 2**level for level in range(self.depth + 1)]


class UNet(SegmentationNetwork):
    """Plain U-Net: double convolutions, max-pooling, and concatenated skip connections.

    Source: Ronneberger et al. 2015, arXiv:1505.04597, padded so that the size is kept.
    """

    def __init__(self, in_channels: int, classes: int, *, form: UNetForm | None = None) -> None:
        form = form or UNetForm()
        super().__init__(in_channels, classes, stride=2**form.depth)
        self.encoder = ContractingPath(in_channels, form)
        self.decoder = ExpandingPath(form)
        self.head = nn.Conv2d(form.base_channels, classes, 1)
        initialize_weights(self)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """Compute (N, classes, Y, X) logits for a size divisible by `stride`."""
        found: torch.Tensor = self.head(self.decoder(self.encoder(image)))
        return found


class ContractingPath(nn.Module):
    """The way down: returns the map of every level, the finest first."""

    def __init__(self, in_channels: int, form: UNetForm) -> None:
        super().__init__()
        self.pool = nn.Sequential(nn.MaxPool2d(2), nn.Dropout(form.dropout))
        self.levels = nn.ModuleList(
            DoubleConv(before, after, order=form.order)
            for before, after in pairwise([in_channels, *form.widths])
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return one map (N, C, Y / 2^level, X / 2^level) for each level."""
        maps = [self.levels[0](image)]
        for level in self.levels[1:]:
            maps.append(level(self.pool(maps[-1])))
        return maps


class ExpandingPath(nn.Module):
    """The way up: from the maps of every level to one of the finest level's size."""

    def __init__(self, form: UNetForm) -> None:
        super().__init__()
        steps = list(pairwise(reversed(form.widths)))
        self.dropout = nn.Dropout(form.dropout)
        self.ups = nn.ModuleList(
            create_up(form.up, deep, out_channels=shallow) for deep, shallow in steps
        )
        self.levels = nn.ModuleList(
            DoubleConv(
                shallow + (shallow if form.up == TRANSPOSED else deep), shallow, order=form.order
            )
            for deep, shallow in steps
        )

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Return the map (N, base_channels, Y, X)."""
        *skips, found = maps
        for up, level, skip in zip(self.ups, self.levels, reversed(skips), strict=True):
            found = level(self.dropout(torch.cat([up(found), skip], dim=1)))
        return found


def create_up(kind: str, in_channels: int, *, out_channels: int) -> nn.Module:
    """Create what doubles height and width; only ``transposed`` changes the channels.

    Raises
    ------
    UnknownNameError
        `kind` is none of ``bilinear``, ``nearest`` and ``transposed``.
    """
    require_name("way to enlarge", kind, UPS)
    if kind == TRANSPOSED:
        return create_doubling(in_channels, out_channels)
    if kind == "nearest":
        return nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


class EncoderUNet(SegmentationNetwork):
    """U-Net on a classification network, enlarged by transposed convolutions.

    The decoder of the cell-nuclei system (TensorFlow's segmentation tutorial after
    Isola et al. 2017): transposed convolutions 3x3 with batch normalisation and ReLU, 512 to 64
    channels, skips at strides 16 to 2, and a last transposed convolution to the classes.

    Parameters
    ----------
    encoder : module
        An encoder of segmentation-models-pytorch with depth 5.
    """

    WIDTHS = (512, 256, 128, 64)

    def __init__(self, in_channels: int, classes: int, *, encoder: Any) -> None:
        super().__init__(in_channels, classes, stride=32)
        self.encoder = encoder
        deepest, *skips = reversed(encoder.out_channels[1:])
        entries = [deepest, *(w + skip for w, skip in zip(self.WIDTHS, skips, strict=True))]
        self.ups = nn.ModuleList(map(_up_block, entries[:-1], self.WIDTHS))
        self.head = create_doubling(entries[-1], classes)
        initialize_weights(self.ups)
        initialize_weights(self.head)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """Compute (N, classes, Y, X) logits for a size divisible by 32."""
        deepest, *skips = reversed(self.encoder(image)[1:])
        for up, skip in zip(self.ups, skips, strict=True):
            deepest = torch.cat([up(deepest), skip], dim=1)
        found: torch.Tensor = self.head(deepest)
        return found


def _up_block(in_channels: int, out_channels: int) -> nn.Sequential:
    doubling = create_doubling(in_channels, out_channels, bias=False)
    return nn.Sequential(doubling, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def create_network(spec: NetworkSpec) -> SegmentationNetwork:
    """Create the plain network or, with an encoder, smp's or that of transposed convolutions."""
    if not spec.encoder:
        return UNet(spec.in_channels, spec.classes, form=UNetForm(**spec.options))
    _refuse_plain_options(spec)
    from pixelwise.models import smp

    if spec.options["up"] == TRANSPOSED:
        encoder = smp.create_encoder(spec.encoder, spec.in_channels)
        return EncoderUNet(spec.in_channels, spec.classes, encoder=encoder)
    return smp.create_network(replace(spec, options={"up": spec.options["up"]}))


def _refuse_plain_options(spec: NetworkSpec) -> None:
    """Raise if an option is set that has no effect with an encoder."""
    defaults = find_architecture(spec.name).defaults
    changed = [o for o, value in spec.options.items() if o != "up" and value != defaults[o]]
    if changed:
        raise ConfigError(
            f"Option {changed[0]!r} belongs to the plain U-Net and has no effect with the encoder "
            f"{spec.encoder!r}: leave out one of the two."
        )
