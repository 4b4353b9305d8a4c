"""Building blocks shared by several networks, and their initialisation."""

from __future__ import annotations

from torch import nn

from pixelwise.errors import require_name

RELU_NORM = "relu-norm"
NORM_RELU = "norm-relu"


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each with activation and batch normalisation; keeps the size.

    `dilation` spaces the taps of both kernels; `order` puts the activation before the
    normalisation (``relu-norm``) or after it (``norm-relu``).
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, dilation: int = 1, order: str = RELU_NORM
    ) -> None:
        super().__init__(
            *_conv(in_channels, out_channels, dilation=dilation, order=order),
            *_conv(out_channels, out_channels, dilation=dilation, order=order),
        )


def _conv(in_channels: int, out_channels: int, *, dilation: int, order: str) -> list[nn.Module]:
    require_name("order of activation and normalisation", order, (RELU_NORM, NORM_RELU))
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation)
    steps = [nn.ReLU(inplace=True), nn.BatchNorm2d(out_channels)]
    return [convolution, *(steps if order == RELU_NORM else reversed(steps))]


def create_doubling(
    in_channels: int, out_channels: int, *, kernel: int = 3, bias: bool = True
) -> nn.ConvTranspose2d:
    """Create a transposed convolution, 3x3 or 2x2, that exactly doubles height and width."""
    overlap = kernel - 2
    return nn.ConvTranspose2d(
        in_channels,
        out_channels,
        kernel,
        stride=2,
        padding=overlap,
        output_padding=overlap,
        bias=bias,
    )


def initialize_weights(module: nn.Module) -> None:
    """Set convolutions to Kaiming-normal weights (He et al. 2015) and zero bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
