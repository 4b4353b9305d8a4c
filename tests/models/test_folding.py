from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pixelwise.models.folding import fold_batch_norms
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.registry import create_model


def settle(network: SegmentationNetwork) -> SegmentationNetwork:
    """Statistics and weights as after a training: not 0 and 1."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def count_norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("unet", {"encoder": "mobilenet_v2"}, 0.9),
        ("unet", {"base_channels": 4, "depth": 2}, 0.0),
        ("unetplusplus", {"encoder": "resnet18"}, 0.9),
        ("segnet", {}, 0.0),
        ("deeplabv3", {}, 0.9),
        ("r2unet", {"base_channels": 4}, 0.0),
        ("ddunet", {"base_channels": 4}, 0.0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_folded_computes_the_same(name: str, options: dict[str, Any], least: float) -> None:
    network = settle(create_model(name, 3, classes=3, **options))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded, count = fold_batch_norms(network)
    assert count_norms(folded) == count_norms(network) - count
    assert count >= least * count_norms(network)
    image = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            folded(image).softmax(1), network(image).softmax(1), atol=1e-4, rtol=0
        )
    assert before.keys() == network.state_dict().keys(), "the network itself is left alone"
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


class Shared(SegmentationNetwork):
    """A convolution whose output goes past its norm as well; a norm after an activation."""

    def __init__(self) -> None:
        super().__init__(1, 2, stride=1)
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.after = nn.Conv2d(4, 2, 3, padding=1), nn.BatchNorm2d(2)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        found = self.first(image)
        found = self.norm(found) + found
        return self.after(torch.relu_(self.second(found)))


def test_a_wrong_pair_is_noticed() -> None:
    network = settle(Shared())
    folded, count = fold_batch_norms(network)
    assert (folded, count) == (network, 0)
