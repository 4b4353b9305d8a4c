"""What all networks share: padding, cropping, refusing, freezing."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pixelwise.errors import ConfigError, DataError
from pixelwise.models.network import (
    SegmentationNetwork,
    freeze_encoder,
    pad_to_multiple,
    unfreeze_encoder,
)


class Pointwise(SegmentationNetwork):
    """A network whose logits at a pixel are the image's values there."""

    def __init__(self, in_channels: int = 2, *, stride: int = 16) -> None:
        super().__init__(in_channels, in_channels, stride=stride)
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, 4, 1), nn.BatchNorm2d(4))
        self.decoder = nn.Sequential(nn.Conv2d(4, in_channels, 1), nn.BatchNorm2d(in_channels))
        self.seen: tuple[int, ...] = ()

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        self.seen = tuple(image.shape)
        return image


@settings(deadline=None)
@given(st.integers(32, 100), st.integers(32, 100), st.sampled_from([1, 4, 8, 16, 32]))
def test_every_size_is_padded_to_the_stride_and_cropped_back(y: int, x: int, stride: int) -> None:
    network = Pointwise(stride=stride)
    image = torch.randn(1, 2, y, x)
    assert torch.equal(network(image), image)
    assert all(
        seen % stride == 0 and 0 <= seen - size < stride
        for seen, size in zip(network.seen[2:], (y, x), strict=True)
    )


def test_padding_mirrors_at_the_bottom_and_the_right() -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    padded = pad_to_multiple(image, 4)
    assert padded[0, 0].tolist() == [
        [0, 1, 2, 1],
        [3, 4, 5, 4],
        [6, 7, 8, 7],
        [3, 4, 5, 4],
    ]


@pytest.mark.parametrize("stride", [1, 16, 32, 64])
def test_mirroring_always_has_enough_pixels(stride: int) -> None:
    network = Pointwise(stride=stride)
    size = network.smallest_px
    assert size == max(32, stride)
    assert network(torch.zeros(1, 2, size, size + 1)).shape == (1, 2, size, size + 1)


def test_several_heads_are_all_cropped() -> None:
    network = Pointwise()
    network.logits = lambda image: (image, 2 * image)  # type: ignore[method-assign]
    image = torch.randn(1, 2, 35, 47)
    first, second = network(image)
    assert torch.equal(first, image)
    assert torch.equal(second, 2 * image)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (2, 64, 64), (1, 1, 64, 64)], ids=str)
def test_wrong_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"takes \(N, 2, Y, X\), got .* \(in_channels\)"):
        Pointwise()(torch.zeros(shape))


@pytest.mark.parametrize("size", [(31, 64), (64, 31), (1, 1)], ids=str)
def test_small_images_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"32 x 32 pixels or larger, got .* larger patches"):
        Pointwise()(torch.zeros(1, 2, *size))


@pytest.mark.parametrize(("in_channels", "classes"), [(0, 2), (-1, 2), (3, 1), (3, 0)])
def test_impossible_sizes_are_refused(in_channels: int, classes: int) -> None:
    with pytest.raises(ConfigError, match="or more"):
        SegmentationNetwork(in_channels, classes, stride=1)


def test_the_base_computes_nothing() -> None:
    with pytest.raises(NotImplementedError, match="logits"):
        SegmentationNetwork(1, 2, stride=1)(torch.zeros(1, 1, 32, 32))


def test_a_frozen_encoder_stays_frozen_through_train() -> None:
    network = Pointwise()
    freeze_encoder(network)
    for mode, _ in product((True, False), range(2)):
        network.train(mode)
        assert not any(layer.training for layer in network.encoder.modules())
        assert network.decoder.training is mode
    assert not any(parameter.requires_grad for parameter in network.encoder_parameters())
    assert all(parameter.requires_grad for parameter in network.decoder.parameters())


def test_a_frozen_encoder_keeps_its_statistics() -> None:
    network = Pointwise().train()
    freeze_encoder(network)
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    network.encoder(torch.randn(4, 2, 32, 32))
    after = network.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_unfrozen_encoder_learns_again() -> None:
    network = Pointwise().train()
    freeze_encoder(network)
    unfreeze_encoder(network)
    assert all(layer.training for layer in network.encoder.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_freezing_keeps_evaluation_mode() -> None:
    network = Pointwise().eval()
    freeze_encoder(network)
    assert not network.decoder.training
