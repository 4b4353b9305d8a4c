"""Every network can learn: four real patches by heart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pixelwise.classes import VOID
from pixelwise.models.registry import create_model
from pixelwise.samples import load_samples
from pixelwise.scores import count_confusion, create_scores
from pixelwise.training.losses import LOSSES, create_loss

SMALL: dict[str, dict[str, Any]] = {
    "unet": {"base_channels": 8, "depth": 3},
    "unet, transposed": {"base_channels": 8, "depth": 3, "up": "transposed", "dropout": 0.05},
    "unet, mobilenet_v2": {"encoder": "mobilenet_v2"},
    "unet, mobilenet_v2, transposed": {"encoder": "mobilenet_v2", "up": "transposed"},
    "unetplusplus": {"encoder": "mobilenet_v2"},
    "unetplusplus, deep supervision": {"encoder": "mobilenet_v2", "deep_supervision": True},
    "segnet": {"base_channels": 16},
    "deeplabv3": {"encoder": "mobilenet_v2", "decoder_channels": 32, "dropout": 0.0},
    "r2unet": {"base_channels": 8, "depth": 3},
    "r2unet, as published": {"base_channels": 8, "depth": 3, "norm": None, "skip": "add"},
    "ddunet": {"base_channels": 8},
}
RATES = {"deeplabv3": 1e-2}  # its coarse map takes twice the steps to learn at the rate of others
ENOUGH = {"deeplabv3": 0.93}  # the last pixels of outlines on a map of an eighth take it long
FULL: dict[str, dict[str, Any]] = {
    name: {} for name in ("unet", "unetplusplus", "segnet", "deeplabv3", "r2unet", "ddunet")
}


def load_patches(size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Four patches with nuclei, normalised one by one: (4, 3, Y, X) float and (4, Y, X) uint8."""
    images, masks = [], []
    for sample in load_samples():
        mask = sample.mask[64 : 64 + size, 64 : 64 + size]
        if 0.1 < mask.mean() < 0.6 and len(images) < 4:
            image = sample.image[64 : 64 + size, 64 : 64 + size].astype(np.float32)
            images.append(((image - image.mean()) / image.std()).transpose(2, 0, 1))
            masks.append(mask)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))


def overfit(
    network: torch.nn.Module,
    loss_name: str,
    mask: torch.Tensor,
    *,
    steps: int = 300,
    rate: float = 3e-3,
    enough: float = 0.95,
) -> float:
    """Train until foreground Dice on what is annotated is enough; give the best Dice seen."""
    image, _ = load_patches()
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    loss, dice = create_loss(loss_name), 0.0
    for _ in range(steps):
        optimizer.zero_grad()
        logits = network(image)
        dice = max(dice, score(logits, mask))
        if dice >= enough:
            break
        loss(logits, mask).backward()
        optimizer.step()
    return dice


def score(logits: torch.Tensor | tuple[torch.Tensor, ...], mask: torch.Tensor) -> float:
    """Foreground Dice, batch normalisation as in training: the patches are all there is."""
    logits = logits[0] if isinstance(logits, tuple) else logits
    matrix = count_confusion(mask.numpy(), logits.argmax(dim=1).numpy(), 2)
    return create_scores(matrix, ["background", "nucleus"]).per_class()["nucleus"].dice


@pytest.mark.parametrize("name", SMALL)
def test_every_network_learns_four_patches_by_heart(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name.split(",")[0], **SMALL[name])
    mask, rate, enough = load_patches()[1], RATES.get(name, 3e-3), ENOUGH.get(name, 0.95)
    assert overfit(network, "dice_cross_entropy", mask, rate=rate, enough=enough) >= enough


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_every_network_of_full_width_learns_four_patches_by_heart(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, **FULL[name])
    assert overfit(network, "dice_cross_entropy", load_patches()[1]) >= 0.95


def hide(mask: torch.Tensor, how: str) -> torch.Tensor:
    """Take a part of the annotation away: none, half of the pixels, or nine of ten squares."""
    if how == "void":
        return torch.where(torch.rand(mask.shape) > 0.5, VOID, mask)
    if how == "sparse":
        squares = torch.rand(len(mask), 16, 16) > 0.1
        return torch.where(squares.repeat_interleave(4, 1).repeat_interleave(4, 2), VOID, mask)
    return mask


@pytest.mark.parametrize("how", ["dense", "void", "sparse"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_teaches_four_patches(loss: str, how: str) -> None:
    torch.manual_seed(0)
    network = create_model("unet", base_channels=8, depth=3)
    assert overfit(network, loss, hide(load_patches()[1], how)) >= 0.95
