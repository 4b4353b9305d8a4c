"""SegNet: pooling by index against torch's own, and what can be done with the network."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from pixelwise.models.segnet import SegNet, SegNetForm, Unpool


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_unpooling_equals_torchs(n: int, c: int, y: int, x: int, ties: bool) -> None:
    image = torch.randn(n, c, 2 * y, 2 * x)
    image = image.round() if ties else image
    pooled, indices = F.max_pool2d(image, 2, return_indices=True)
    assert torch.equal(Unpool()(pooled, indices), F.max_unpool2d(pooled, indices, 2))


def test_gradients_of_unpooling_equal_torchs() -> None:
    values = torch.randn(2, 3, 4, 5, requires_grad=True)
    _, indices = F.max_pool2d(torch.randn(2, 3, 8, 10), 2, return_indices=True)
    weights = torch.randn(2, 3, 8, 10)
    (ours,) = torch.autograd.grad((Unpool()(values, indices) * weights).sum(), values)
    (theirs,) = torch.autograd.grad((F.max_unpool2d(values, indices, 2) * weights).sum(), values)
    assert torch.equal(ours, theirs)


def test_the_encoder_is_torchvisions() -> None:
    ours, theirs = SegNet(3, 2).eval(), make_layers(cfgs["D"], batch_norm=True).eval()
    assert {n: t.shape for n, t in ours.encoder.state_dict().items()} == {
        n: t.shape for n, t in theirs.state_dict().items()
    }
    ours.encoder.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 64, 32)
    deepest, indices = ours.encoder(image)
    assert torch.equal(deepest, theirs(image))
    assert len(indices) == 5


def small() -> SegNet:
    return SegNet(3, 2, form=SegNetForm(2)).eval()


def test_it_can_be_exported_for_every_multiple_of_the_stride() -> None:
    network = small()
    number = torch.export.Dim("n", min=1, max=8)
    y, x = (32 * torch.export.Dim(name, min=2, max=16) for name in ("y", "x"))
    shapes = {"image": {0: number, 2: y, 3: x}}
    program = torch.export.export(network, (torch.randn(2, 3, 64, 96),), dynamic_shapes=shapes)
    image = torch.randn(3, 3, 96, 64)
    assert torch.equal(program.module()(image), network(image))


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:FutureWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # sizes are Python numbers
def test_it_can_be_traced() -> None:
    network, image = small(), torch.randn(2, 3, 64, 64)
    traced = torch.jit.trace(network, image)
    assert torch.equal(traced(image), network(image))
