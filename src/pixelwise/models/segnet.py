"""SegNet (Badrinarayanan et al. 2017): VGG16, whose pooling positions guide the decoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from pixelwise.models.blocks import initialize_weights
from pixelwise.models.network import NetworkSpec, SegmentationNetwork

# Widths of the convolutions in units of the base channels. Encoder: VGG16 (Simonyan and
# Zisserman 2014, configuration D), one group before each pooling. Decoder: after each unpooling.
ENCODER_GROUPS = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
DECODER_GROUPS = ((8, 8, 8), (8, 8, 4), (4, 4, 2), (2, 1), (1,))


@dataclass(frozen=True)
class SegNetForm:
    """Width of a SegNet: `base_channels` of its first level, 64 in VGG16 and for its weights."""

    base_channels: int = 64


class SegNet(SegmentationNetwork):
    """SegNet: convolutions with batch normalisation, pooled and unpooled by index five times.

    The indices of the maxima are the only skip connections. The encoder has the structure of
    torchvision's ``vgg16_bn().features``, so that ImageNet weights fit unchanged.

    Source: Badrinarayanan et al. 2017, arXiv:1511.00561.
    """

    def __init__(self, in_channels: int, classes: int, *, form: SegNetForm | None = None) -> None:
        super().__init__(in_channels, classes, stride=32)
        base = (form or SegNetForm()).base_channels
        self.encoder = Encoder(in_channels, base)
        self.unpool = Unpool()
        self.decoder = nn.ModuleList(
            nn.Sequential(*_iter_convs(before * base, [after * base for after in group]))
            for before, group in zip((8, 8, 4, 2, 1), DECODER_GROUPS, strict=True)
        )
        self.head = nn.Conv2d(base, classes, 1)
        initialize_weights(self)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """Compute (N, classes, Y, X) logits for a size divisible by 32."""
        found, indices = self.encoder(image)
        for group, positions in zip(self.decoder, reversed(indices), strict=True):
            found = group(self.unpool(found, positions))
        logits: torch.Tensor = self.head(found)
        return logits


class Encoder(nn.ModuleList):
    """VGG16's convolutions and poolings in one flat list, numbered as in torchvision."""

    def __init__(self, in_channels: int, base: int) -> None:
        super().__init__()
        for group in ENCODER_GROUPS:
            widths = [base * factor for factor in group]
            self.extend(_iter_convs(in_channels, widths))
            self.append(nn.MaxPool2d(2, return_indices=True))
            in_channels = widths[-1]

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the deepest map, and the positions of the maxima of each pooling."""
        found, indices = image, []
        for layer in self:
            if isinstance(layer, nn.MaxPool2d):
                found, positions = layer(found)
                indices.append(positions)
            else:
                found = layer(found)
        return found, indices


class Unpool(nn.Module):
    """Put each value back where 2x2 max-pooling found it, with zeros elsewhere.

    Equals ``F.max_unpool2d``, which refuses deterministic mode and cannot be traced.
    """

    def forward(self, pooled: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Spread (N, C, Y, X) values over (N, C, 2Y, 2X) at flat positions `indices`."""
        number, channels, height, width = pooled.shape
        empty = pooled.new_zeros(number, channels, 4 * height * width)
        filled = empty.scatter(2, indices.flatten(2), pooled.flatten(2))
        return filled.view(number, channels, 2 * height, 2 * width)


def _iter_convs(in_channels: int, widths: list[int]) -> Iterator[nn.Module]:
    for width in widths:
        yield nn.Conv2d(in_channels, width, 3, padding=1)
        yield nn.BatchNorm2d(width)
        yield nn.ReLU(inplace=True)
        in_channels = width


def create_network(spec: NetworkSpec) -> SegNet:
    """Create the network described by `spec`."""
    return SegNet(spec.in_channels, spec.classes, form=SegNetForm(**spec.options))
