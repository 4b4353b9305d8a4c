"""R2U-Net: recurrence, shared weights, the two published forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelwise.errors import UnknownNameError
from pixelwise.models.r2unet import R2UNet, R2UNetForm, RecurrentConv, RecurrentResidualBlock

SYSTEM_B = R2UNetForm(norm=None, skip="add", base_channels=2)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("t", [1, 2, 3])
def test_recurrence_follows_the_paper(t: int) -> None:
    layer = RecurrentConv(3, form=R2UNetForm(t=t, norm=None))
    entry = torch.randn(1, 3, 8, 8)
    expected = layer.conv(entry).relu()
    for _ in range(t - 1):
        expected = layer.conv(expected + entry).relu()
    assert torch.equal(layer(entry), expected)


def test_blocks_are_residual() -> None:
    block = RecurrentResidualBlock(2, 3, form=SYSTEM_B)
    image = torch.randn(1, 2, 8, 8)
    entry = block.entry(image)
    first, second = block.recurrent
    assert torch.allclose(block(image), second(first(entry)) + entry)


def test_further_recurrences_share_their_convolution() -> None:
    counts = {count(R2UNet(3, 2, form=R2UNetForm(t=t, norm=None, base_channels=2))) for t in (1, 4)}
    assert len(counts) == 1


def test_each_recurrence_has_its_own_statistics() -> None:
    """With shared running averages a trained network would differ in evaluation."""
    layer = RecurrentConv(4, form=R2UNetForm(t=3))
    image = torch.randn(8, 4, 16, 16)
    for _ in range(60):
        trained = layer(image)
    layer.eval()
    assert torch.allclose(layer(image), trained, atol=0.05)


def test_without_normalisation_logits_start_small() -> None:
    network = R2UNet(3, 2, form=R2UNetForm(norm=None, skip="add", base_channels=16))
    with torch.no_grad():
        assert network(torch.randn(2, 3, 64, 64)).std() < 5


@pytest.mark.parametrize(
    ("form", "kernel"),
    [
        (R2UNetForm(), 1),
        (SYSTEM_B, 3),
        (R2UNetForm(entry=3), 3),
        (R2UNetForm(skip="add", entry=1), 1),
    ],
    ids=["paper", "system B", "wide entry", "narrow entry"],
)
def test_the_entry_follows_the_form(form: R2UNetForm, kernel: int) -> None:
    assert form.entry_kernel == kernel


@pytest.mark.parametrize(
    ("form", "message"),
    [(R2UNetForm(skip="stack"), "add, concat"), (R2UNetForm(norm="layer"), "batch")],
    ids=["skip", "norm"],
)
def test_unknown_choices_are_refused(form: R2UNetForm, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        R2UNet(1, 2, form=form)


@pytest.mark.parametrize("skip", ["concat", "add"])
def test_skips_reach_the_logits(skip: str) -> None:
    """The highest skip alone is left: what comes from below, and through the block, is zero."""
    network = R2UNet(3, 2, form=R2UNetForm(skip=skip, base_channels=4)).eval()
    network.ups[-1].register_forward_hook(lambda _, __, found: torch.zeros_like(found))
    if skip == "add":
        network.decoder[-1].register_forward_hook(lambda _, __, found: torch.zeros_like(found))
    with torch.inference_mode():
        assert network(torch.randn(1, 3, 32, 32)).std(dim=(2, 3)).min() > 1e-4
