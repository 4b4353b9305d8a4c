"""U-Net: the three published forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelwise.errors import UnknownNameError
from pixelwise.models.smp import create_encoder
from pixelwise.models.unet import EncoderUNet, UNet, UNetForm, create_up


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_narrow_form_counts_as_keras_counts() -> None:
    """Keras counts the running statistics of batch normalisation as parameters too."""
    form = UNetForm(16, up="transposed", order="norm-relu", dropout=0.05)
    network = UNet(3, 3, form=form)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert count(network) == 2_161_683
    assert count(network) + sum(2 * norm.num_features for norm in norms) == 2_164_627


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("up", ["bilinear", "nearest", "transposed"])
def test_every_depth_works(depth: int, up: str) -> None:
    network = UNet(2, 3, form=UNetForm(2, depth, up=up))
    assert network.stride == 2**depth
    assert network(torch.zeros(2, 2, 45, 64)).shape == (2, 3, 45, 64)


def test_both_convolutions_of_a_level_matter() -> None:
    """The narrow form's original fed each level's input past its first convolution."""
    network = UNet(1, 2, form=UNetForm(2, 2))
    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.head.parameters())
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert all(layer.weight.grad is not None for layer in convolutions)
    assert all(layer.weight.grad.abs().sum() > 0 for layer in convolutions)  # type: ignore[union-attr]


def test_dropout_acts_in_training_only() -> None:
    network = UNet(1, 2, form=UNetForm(4, 2, dropout=0.5))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()  # so that only dropout differs between passes
    image = torch.randn(2, 1, 32, 32)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_dropout_follows_every_pooling_and_every_concatenation() -> None:
    network = UNet(1, 2, form=UNetForm(4, 3, dropout=0.05))
    dropped: list[int] = []
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.register_forward_hook(lambda _, __, output: dropped.append(output.shape[1]))
    network(torch.randn(2, 1, 32, 32))
    assert dropped == [4, 8, 16, 32 + 16, 16 + 8, 8 + 4]


def test_an_unknown_way_up_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="bilinear, nearest, transposed"):
        create_up("bicubic", 2, out_channels=1)


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "resnet18", "vgg11_bn", "tu-convnext_atto"])
def test_transposed_decoders_stand_on_any_encoder(encoder: str) -> None:
    network = EncoderUNet(3, 2, encoder=create_encoder(encoder, 3))
    assert network(torch.zeros(2, 3, 64, 96)).shape == (2, 2, 64, 96)


def test_the_transposed_decoder_has_the_published_widths() -> None:
    network = EncoderUNet(3, 2, encoder=create_encoder("mobilenet_v2", 3))
    ups = [layer for layer in network.ups.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [(up.in_channels, up.out_channels) for up in ups] == [
        (1280, 512),
        (512 + 96, 256),
        (256 + 32, 128),
        (128 + 24, 64),
    ]
    assert (network.head.in_channels, network.head.out_channels) == (64 + 16, 2)
