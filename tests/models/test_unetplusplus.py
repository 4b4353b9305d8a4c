"""UNet++: nested nodes against smp's own, and deep supervision."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pixelwise.errors import ConfigError, UnknownNameError
from pixelwise.models.network import NetworkSpec
from pixelwise.models.smp import SmpNetwork, create_smp_model
from pixelwise.models.unetplusplus import HEADS, DeeplySupervisedUNetPlusPlus

SIZES = {"in_channels": 3, "classes": 2}


@pytest.fixture
def model() -> Any:
    return create_smp_model(NetworkSpec("unetplusplus", encoder="resnet18", options={}, **SIZES))


def test_the_last_head_is_smps(model: Any) -> None:
    supervised = DeeplySupervisedUNetPlusPlus(model, head="4", **SIZES).eval()
    image = torch.randn(2, 3, 64, 96)
    assert torch.equal(supervised(image), SmpNetwork(model, **SIZES).eval()(image))


def test_training_gives_four_heads_the_last_first(model: Any) -> None:
    network = DeeplySupervisedUNetPlusPlus(model, **SIZES)
    image = torch.randn(2, 3, 70, 64)
    heads = network(image)
    assert [tuple(head.shape) for head in heads] == [(2, 2, 70, 64)] * 4
    network.eval()
    network.head = "4"
    heads = network.train()(image)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None
    assert torch.allclose(network.eval()(image), heads[0], atol=1e-5)


def test_every_head_learns(model: Any) -> None:
    network = DeeplySupervisedUNetPlusPlus(model, **SIZES)
    torch.stack(network(torch.randn(2, 3, 64, 64))).square().mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None]
    assert idle == []


def test_the_average_is_that_of_the_probabilities(model: Any) -> None:
    network = DeeplySupervisedUNetPlusPlus(model, **SIZES).eval()
    image = torch.randn(1, 3, 64, 64)
    average = network(image).softmax(1)
    each = []
    for network.head in HEADS[1:]:
        each.append(network(image).softmax(1))
    assert torch.allclose(average, torch.stack(each).mean(0), atol=1e-6)
    assert not torch.allclose(each[0], each[3])


def test_a_shallow_head_computes_less(model: Any) -> None:
    calls = []
    for name, block in model.decoder.blocks.items():
        block.register_forward_hook(lambda *_, name=name: calls.append(name))
    network = DeeplySupervisedUNetPlusPlus(model, head="1", **SIZES).eval()
    network(torch.randn(1, 3, 64, 64))
    assert calls == ["x_3_3"]


def test_wrong_choices_are_refused(model: Any) -> None:
    with pytest.raises(UnknownNameError, match="1, 2, 3, 4, average"):
        DeeplySupervisedUNetPlusPlus(model, head="5", **SIZES)
    without_stride_2 = create_smp_model(
        NetworkSpec("unetplusplus", encoder="tu-convnext_atto", options={}, **SIZES)
    )
    with pytest.raises(ConfigError, match="stride 2"):
        DeeplySupervisedUNetPlusPlus(without_stride_2, **SIZES)
