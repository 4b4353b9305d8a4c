from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from pixelwise.classes import VOID
from pixelwise.config import AugmentationConfig
from pixelwise.errors import ConfigError
from pixelwise.training.augmentation import (
    Augmentation,
    blur,
    draw_affine,
    flip,
    jitter_stains,
    rotate90,
    warp,
)
from pixelwise.training.batch_rng import WHOLE, BatchRng


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def create_rng(count: int = 6, seed: int = 0) -> BatchRng:
    return BatchRng(seeded(seed), count)


def batch(count: int = 6, size: tuple[int, int] = (32, 32)) -> tuple[Tensor, Tensor]:
    """Smooth random blobs whose mask can be told from the image: image > 0."""
    coarse = torch.randn(count, 1, 5, 5, generator=seeded(3))
    image = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=False)
    return image.repeat(1, 3, 1, 1), (image[:, 0] > 0).to(torch.uint8)


@pytest.mark.parametrize("change", [flip, rotate90], ids=["flip", "rotate90"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)], ids=["square", "oblong"])
def test_mask_moves_with_its_image(change: object, size: tuple[int, int]) -> None:
    image, mask = batch(size=size)
    moved, labels = change(image, mask, create_rng(len(image)))
    assert torch.equal(labels, (moved[:, 0] > 0).to(torch.uint8))
    assert not torch.equal(moved, image)
    assert moved.shape == image.shape
    assert torch.equal(moved.flatten(1).sort().values, image.flatten(1).sort().values)


def test_flip_mirrors_about_half_of_the_patches() -> None:
    image, mask = batch(200)
    moved, _ = flip(image, mask, create_rng(200))
    same = (moved == image).flatten(1).all(dim=1)
    mirrored = (moved == image.flip(-1)).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert 60 < int(mirrored.sum()) < 140


def test_rotate90_turns_by_all_quarters() -> None:
    image, mask = batch(60)
    moved, _ = rotate90(image, mask, create_rng(60))
    turns = [
        next(k for k in range(4) if torch.equal(torch.rot90(x, k, (-2, -1)), y))
        for x, y in zip(image, moved, strict=True)
    ]
    assert set(turns) == {0, 1, 2, 3}


def test_warp_by_the_identity_changes_nothing() -> None:
    image, mask = batch(size=(24, 40))
    moved, labels = warp(image, mask, torch.eye(2).expand(6, 2, 2))
    torch.testing.assert_close(moved, image)
    assert torch.equal(labels, mask)


@pytest.mark.parametrize("size", [(33, 33), (33, 65)], ids=["square", "oblong"])
def test_warp_by_a_quarter_turn_equals_rot90(size: tuple[int, int]) -> None:
    image, mask = batch(size=size)
    matrix = torch.tensor([[0.0, -1.0], [1.0, 0.0]]).expand(6, 2, 2)
    moved, labels = warp(image, mask, matrix)
    middle = slice((size[1] - 33) // 2, (size[1] + 33) // 2)
    expected = torch.rot90(image[..., middle], -1, (-2, -1))
    options = [expected, torch.rot90(expected, 2, (-2, -1))]
    assert any(torch.allclose(moved[..., middle], option, atol=1e-4) for option in options)
    assert torch.equal(labels[..., middle][labels[..., middle] != VOID] > 0,
                       (moved[:, 0, :, middle] > 0)[labels[..., middle] != VOID])  # fmt: skip


def test_warp_keeps_image_and_mask_together_and_voids_the_outside() -> None:
    image, mask = batch(20, (64, 64))
    matrix = draw_affine(create_rng(20), degrees=40, zoom=0.3)
    moved, labels = warp(image, mask, matrix)
    inside = labels != VOID
    agree = ((moved[:, 0] > 0).to(torch.uint8) == labels)[inside].float().mean()
    assert agree > 0.97
    assert 0.02 < float((~inside).float().mean()) < 0.4
    assert set(labels.unique().tolist()) <= {0, 1, VOID}


def test_warp_leaves_void_void() -> None:
    image, _ = batch()
    void = torch.full((6, 32, 32), VOID, dtype=torch.uint8)
    assert (warp(image, void, draw_affine(create_rng(), degrees=30, zoom=0.2))[1] == VOID).all()


def test_zoom_in_shows_no_outside() -> None:
    image, mask = batch()
    _, labels = warp(image, mask, torch.eye(2).expand(6, 2, 2) / 1.5)
    assert not (labels == VOID).any()


def test_blur_keeps_the_mean_and_smooths() -> None:
    image = torch.randn(4, 2, 40, 40, generator=seeded())
    sigma = torch.tensor([0.0, 0.5, 1.0, 3.0]).reshape(4, 1, 1, 1)
    blurred = blur(image, sigma, largest=3.0)
    torch.testing.assert_close(blurred[0], image[0])
    spread = blurred.std(dim=(1, 2, 3))
    assert (spread.diff() < 0).all()


def test_blur_equals_scikit_image() -> None:
    from skimage.filters import gaussian

    image = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    sigma = torch.full((1, 1, 1, 1), 1.5)
    ours = blur(torch.from_numpy(image)[None, None], sigma, largest=1.5)[0, 0]
    theirs = gaussian(image, 1.5, mode="mirror", truncate=3.4)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_blur_of_an_image_does_not_depend_on_the_others() -> None:
    image = torch.randn(3, 1, 20, 20, generator=seeded())
    sigma = torch.tensor([1.0, 0.3, 2.0]).reshape(3, 1, 1, 1)
    together, alone = (blur(image[:n], sigma[:n], largest=2.0) for n in (3, 1))
    torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)


def test_stain_jitter_of_zero_changes_nothing() -> None:
    image = torch.rand(3, 3, 8, 8, generator=seeded()) * 0.9 + 0.05
    torch.testing.assert_close(
        jitter_stains(image, 0.0, create_rng(3)), image, atol=1e-5, rtol=1e-4
    )


def test_stain_jitter_changes_colour_and_stays_in_range() -> None:
    image = torch.rand(3, 3, 8, 8, generator=seeded())
    changed = jitter_stains(image, 0.5, create_rng(3))
    assert (changed - image).abs().mean() > 0.01
    assert (changed >= 0).all()
    assert (changed <= 1).all()


def test_stains_need_rgb() -> None:
    augmentation = Augmentation(AugmentationConfig(preset="histology"), 255.0)
    augmentation.require_channels(3)
    with pytest.raises(ConfigError, match="1 channels"):
        augmentation.require_channels(1)


SWITCHES = {
    "flips": True, "rotate90": True, "rotate": 20.0, "scale": 0.3, "brightness": 0.5,
    "contrast": 0.5, "stain": 0.5, "noise": 0.5, "blur": 2.0,
}  # fmt: skip


def augment(
    config: AugmentationConfig, seed: int = 0, part: slice = WHOLE
) -> tuple[Tensor, Tensor]:
    image, mask = batch()
    augmentation = Augmentation(config, 255.0)
    values = BatchRng(seeded(seed), len(image), part)
    image = (image - image.min()) / (image.max() - image.min()) * 255
    image, mask = image[part], mask[part]
    image, mask = augmentation.change_geometry(image, mask, values)
    image = augmentation.change_stains(image, values)
    return augmentation.change_intensities(image, values), mask


def test_without_switches_nothing_changes() -> None:
    image, mask = augment(AugmentationConfig(preset="none"))
    again, same = augment(AugmentationConfig(preset="none"), seed=9)
    assert torch.equal(image, again)
    assert torch.equal(mask, same)


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_works_alone_and_repeats_with_its_seed(switch: str) -> None:
    plain, _ = augment(AugmentationConfig(preset="none"))
    config = AugmentationConfig(preset="none", **{switch: SWITCHES[switch]})
    image, mask = augment(config)
    assert not torch.equal(image, plain)
    assert torch.isfinite(image).all()
    again, same = augment(config)
    part, part_mask = augment(config, part=slice(2, 5))
    torch.testing.assert_close(part, image[2:5], atol=1e-4 if switch == "blur" else 0, rtol=0)
    assert torch.equal(part_mask, mask[2:5])
    assert torch.equal(image, again)
    assert torch.equal(mask, same)
    assert not torch.equal(image, augment(config, seed=1)[0])


def test_a_field_overrides_its_preset() -> None:
    assert AugmentationConfig(preset="light").strength("flips") == 1
    assert AugmentationConfig(preset="light", flips=False).strength("flips") == 0
    assert AugmentationConfig(preset="none", noise=0.3).strength("noise") == 0.3


@pytest.mark.parametrize("preset", AugmentationConfig.PRESETS)
def test_presets_name_only_switches(preset: str) -> None:
    assert set(AugmentationConfig.PRESETS[preset]) <= {*SWITCHES, "shift"}
    AugmentationConfig(preset=preset)
