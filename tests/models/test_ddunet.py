"""DDU-Net: where it is dilated, and which sizes it takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelwise.models.ddunet import DDUNet, DDUNetForm


def dilations(network: nn.Module) -> list[int]:
    return [c.dilation[0] for c in network.modules() if isinstance(c, nn.Conv2d)]


def test_the_depth_is_dilated() -> None:
    network = DDUNet(3, 2, form=DDUNetForm(2))
    assert dilations(network.encoder) == [1, 1, 1, 1, 3, 3, 3, 3]
    assert dilations(network.decoder) == [3, 3, 1, 1, 1, 1]


def test_other_levels_and_rates_can_be_chosen() -> None:
    form = DDUNetForm(2, dilation=5, dilated_encoder=(1,), dilated_decoder=(2, 1))
    network = DDUNet(3, 2, form=form)
    assert dilations(network.encoder) == [5, 5, 1, 1, 1, 1, 1, 1]
    assert dilations(network.decoder) == [1, 1, 5, 5, 5, 5]


@pytest.mark.parametrize("size", [(32, 40), (56, 104), (128, 32)], ids=str)
@pytest.mark.parametrize("dilation", [1, 3, 4])
def test_every_multiple_of_eight_is_taken_as_it_is(size: tuple[int, int], dilation: int) -> None:
    network = DDUNet(1, 2, form=DDUNetForm(2, dilation=dilation))
    assert network.stride == 8
    assert network.logits(torch.zeros(2, 1, *size)).shape == (2, 2, *size)
