"""The blocks that several networks share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelwise.errors import UnknownNameError
from pixelwise.models.blocks import DoubleConv, create_doubling, initialize_weights


@pytest.mark.parametrize(
    ("order", "kinds"),
    [
        ("relu-norm", [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]),
        ("norm-relu", [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]),
    ],
)
def test_double_convolutions_keep_the_order(order: str, kinds: list[type]) -> None:
    assert [type(layer) for layer in DoubleConv(3, 5, order=order)] == kinds * 2


@pytest.mark.parametrize("dilation", [1, 2, 3, 7])
def test_double_convolutions_keep_the_size(dilation: int) -> None:
    assert DoubleConv(3, 5, dilation=dilation)(torch.zeros(2, 3, 9, 13)).shape == (2, 5, 9, 13)


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="norm-relu, relu-norm"):
        DoubleConv(1, 1, order="norm")


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 8)], ids=str)
def test_doubling_doubles(kernel: int, size: tuple[int, int]) -> None:
    doubled = create_doubling(3, 2, kernel=kernel)(torch.zeros(1, 3, *size))
    assert doubled.shape == (1, 2, 2 * size[0], 2 * size[1])


def test_initial_weights_keep_the_size_of_responses() -> None:
    convolution = nn.Conv2d(64, 64, 3, padding=1)
    initialize_weights(convolution)
    assert not convolution.bias.any()  # type: ignore[union-attr]
    responses = convolution(torch.randn(1, 64, 32, 32)).relu()
    assert responses.square().mean().item() == pytest.approx(1, rel=0.2)
