from __future__ import annotations

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F

from pixelwise.classes import VOID
from pixelwise.config import TrainingConfig
from pixelwise.errors import UnknownNameError
from pixelwise.training.losses import LOSSES, JoinedLoss, create_loss


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, 4, 9, 11, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mask() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    mask = torch.randint(0, 4, (2, 9, 11), generator=generator, dtype=torch.uint8)
    mask[0, :3] = VOID
    return mask


WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 4.0])


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_cross_entropy_equals_torch(
    logits: torch.Tensor, mask: torch.Tensor, weights: torch.Tensor | None
) -> None:
    expected = F.cross_entropy(logits, mask.long(), weights, ignore_index=VOID)
    torch.testing.assert_close(create_loss("cross_entropy", weights)(logits, mask), expected)


def test_cross_entropy_of_two_classes_is_binary_cross_entropy(mask: torch.Tensor) -> None:
    logits = torch.randn(2, 2, 9, 11)
    mask = torch.where(mask == VOID, 0, mask % 2).to(torch.uint8)
    expected = F.binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], mask.float())
    torch.testing.assert_close(create_loss("cross_entropy")(logits, mask), expected)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("dice", smp.losses.DiceLoss("multiclass", ignore_index=VOID)),
        ("tversky", smp.losses.TverskyLoss("multiclass", ignore_index=VOID, alpha=0.3, beta=0.7)),
    ],
    ids=["dice", "tversky"],
)
def test_overlap_losses_equal_smp(
    logits: torch.Tensor, mask: torch.Tensor, name: str, oracle: torch.nn.Module
) -> None:
    # smp sets the ignored pixels' probability to 0 and counts them nowhere, as we do
    torch.testing.assert_close(create_loss(name)(logits, mask), oracle(logits, mask.long()))


def test_focal_without_easy_pixels_is_cross_entropy_times_hardness() -> None:
    logits = torch.zeros(1, 2, 4, 4)  # p = 0.5 everywhere
    mask = torch.zeros(1, 4, 4, dtype=torch.uint8)
    assert float(create_loss("focal")(logits, mask)) == pytest.approx(0.25 * np.log(2))


@pytest.mark.parametrize("name", LOSSES)
def test_void_pixels_change_nothing(name: str, logits: torch.Tensor, mask: torch.Tensor) -> None:
    loss = create_loss(name)
    changed = torch.where((mask == VOID)[:, None], 50 * torch.randn_like(logits), logits)
    torch.testing.assert_close(loss(changed, mask), loss(logits, mask))


@pytest.mark.parametrize("name", LOSSES)
def test_void_pixels_get_no_gradient(name: str, logits: torch.Tensor, mask: torch.Tensor) -> None:
    logits.requires_grad_()
    create_loss(name)(logits, mask).backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(dim=1)[mask == VOID] == 0).all()
    assert (logits.grad.abs().sum(dim=1)[mask != VOID] > 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_void_gives_zero(name: str, logits: torch.Tensor) -> None:
    logits.requires_grad_()
    loss = create_loss(name)(logits, torch.full((2, 9, 11), VOID, dtype=torch.uint8))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_right_is_better_than_wrong(name: str, mask: torch.Tensor) -> None:
    truth = torch.where(mask == VOID, 0, mask).long()
    right = 8 * F.one_hot(truth, 4).permute(0, 3, 1, 2).float()
    loss = create_loss(name)
    assert float(loss(right, mask)) < 0.1 < float(loss(right.roll(1, dims=1), mask))


def test_heads_of_deep_supervision_are_averaged(logits: torch.Tensor, mask: torch.Tensor) -> None:
    loss = create_loss("dice_cross_entropy")
    heads = (logits, logits * 2)
    torch.testing.assert_close(loss(heads, mask), (loss(heads[0], mask) + loss(heads[1], mask)) / 2)


def test_half_precision_logits_are_computed_in_full(
    logits: torch.Tensor, mask: torch.Tensor
) -> None:
    assert create_loss("dice_cross_entropy")(logits.bfloat16(), mask).dtype == torch.float32


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="tversky"):
        create_loss("twersky")


def test_config_and_losses_have_the_same_names() -> None:
    for name in LOSSES:
        assert TrainingConfig(loss=name).loss == name


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_a_batch_in_parts_has_the_loss_of_the_whole(
    name: str, weights: torch.Tensor | None, logits: torch.Tensor, mask: torch.Tensor
) -> None:
    loss = create_loss(name, weights)
    logits, mask = logits.repeat(2, 1, 1, 1), torch.cat([mask, mask.flip(1)])
    whole = JoinedLoss(loss).add(logits, mask)
    assert torch.equal(whole, loss(logits, mask))
    joined = JoinedLoss(loss)
    for part in (slice(0, 1), slice(1, 3), slice(3, 4)):
        found = joined.add(logits[part], mask[part])
    torch.testing.assert_close(found, whole)
