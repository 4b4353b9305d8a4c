from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from pixelwise.errors import ConfigError
from pixelwise.training.distributed import Ranks
from pixelwise.training.sync_batch_norm import SharedBatchNorm2d, synchronize_batch_norms


def create_alone() -> Ranks:
    return Ranks(Fabric(accelerator="cpu", devices=1))


def test_it_is_batch_normalisation() -> None:
    """In one process: output, gradients and running statistics are PyTorch's."""
    plain, shared = nn.BatchNorm2d(3), SharedBatchNorm2d(3, ranks=create_alone())
    image = torch.randn(4, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 3 + 20
    weight = torch.rand(4, 3, 6, 5)
    results = []
    for norm in (plain, shared):
        given = image.clone().requires_grad_()
        output = norm(given)
        (output * weight).sum().backward()
        assert norm.weight.grad is not None
        assert norm.bias.grad is not None
        moved = norm.running_mean, norm.running_var, norm.num_batches_tracked
        results.append((output, given.grad, norm.weight.grad, norm.bias.grad, *moved))
        norm.eval()
        results[-1] += (norm(image),)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)


def test_one_process_needs_none() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    synchronize_batch_norms(network, create_alone())
    assert type(network[1]) is nn.BatchNorm2d


def test_weights_and_names_stay() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2)))
    before = network.state_dict()
    ranks = create_alone()
    ranks.size = 2
    synchronize_batch_norms(network, ranks)
    after = network.state_dict()
    assert isinstance(network[1][0], SharedBatchNorm2d)
    assert list(after) == list(before)
    assert all(after[name] is not None and torch.equal(after[name], before[name]) for name in after)
    assert [p.data_ptr() for p in network.parameters()] == [
        before[name].data_ptr() for name, _ in network.named_parameters()
    ]


def test_config_base_ones_stay_frozen() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2).eval(), nn.BatchNorm2d(2))
    ranks = create_alone()
    ranks.size = 2
    synchronize_batch_norms(network, ranks)
    assert [type(norm) for norm in network] == [SharedBatchNorm2d] * 2
    assert [norm.training for norm in network] == [False, True]


def test_layers_that_do_more_are_refused() -> None:
    class Activated(nn.BatchNorm2d):
        pass

    ranks = create_alone()
    ranks.size = 2
    with pytest.raises(ConfigError, match="Activated"):
        synchronize_batch_norms(nn.Sequential(Activated(3)), ranks)
