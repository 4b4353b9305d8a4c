from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.classes import VOID
from pixelwise.config import PatchConfig
from pixelwise.errors import DataError
from pixelwise.normalization import create_percentile, create_range
from pixelwise.patches.dataset import PatchDataset
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.training.batches import BatchReader


def create_reader(*args: Any, **options: Any) -> BatchReader:
    return BatchReader(PatchDataset(*args, **options))


def plane(height: int = 40, width: int = 50, dtype: type = np.uint8) -> DecodedImage:
    numbers = np.arange(height * width).reshape(height, width) % 251
    return DecodedImage("p", numbers[None].astype(dtype), (numbers % 3).astype(np.uint8))


def store(*planes: DecodedImage, **patches: object) -> BatchReader:
    config = PatchConfig.create(**({"size": 16} | patches))
    return create_reader(planes, config, create_range(planes[0].image.dtype, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32], ids=["u1", "u2", "f4"])
def test_patches_keep_their_dtype_and_pixels(dtype: type) -> None:
    one = plane(dtype=dtype)
    batch = store(one).read([0, 5])
    assert batch.image.numpy().dtype == dtype
    np.testing.assert_array_equal(batch.image[0].numpy(), one.image[:, :16, :16])
    np.testing.assert_array_equal(batch.mask[1].numpy(), one.mask[16:32, 16:32])
    assert batch.image.float().shape == (2, 1, 16, 16)


def test_planes_of_several_dtypes_are_cut_on_a_device_as_on_the_host() -> None:
    planes = plane(), plane(dtype=np.uint16)
    patches = create_reader(planes, PatchConfig.create(size=16), create_percentile())
    numbers = [0, len(patches) - 1]
    before = patches.read(numbers)
    patches.put_on(torch.device("cpu"))
    assert torch.equal(patches.read(numbers).image.float(), before.image.float())


@given(st.integers(16, 45), st.integers(16, 45), st.sampled_from([8, 12, 16]))
def test_read_once_counts_every_pixel_once(height: int, width: int, step: int) -> None:
    one = plane(height, width)
    patches = store(one, step=step)
    counted = sum(
        np.bincount(mask[mask != VOID].numpy(), minlength=3)
        for number in range(len(patches))
        for mask in patches.read_once([number]).mask
    )
    np.testing.assert_array_equal(counted, np.bincount(one.mask.ravel(), minlength=3))


@given(st.integers(16, 45), st.integers(16, 45), st.sampled_from([8, 12, 16]), st.integers(0, 99))
def test_patches_to_score_are_those_with_something_to_score(
    height: int, width: int, step: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.full((height, width), VOID, np.uint8)
    mask[rng.integers(0, height, 3), rng.integers(0, width, 3)] = rng.integers(0, 3, 3)
    one, config = plane(height, width), PatchConfig.create(size=16, step=step)
    norm = create_range(one.image.dtype, 1)
    sparse = DecodedImage("sparse", one.image, mask)
    patches = create_reader([sparse], config, norm, skip_void=True, once=True)
    counted = np.zeros(3, int)
    for number in range(len(patches)):
        shown = patches.read_once([number]).mask.numpy()
        assert (shown != VOID).any()
        counted += np.bincount(shown[shown != VOID], minlength=3)
    np.testing.assert_array_equal(counted, np.bincount(mask[mask != VOID], minlength=3))


def test_random_places_stay_inside_and_keep_mask_with_image() -> None:
    one = plane()
    patches = store(one)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(100):
        batch = patches.read([0, len(patches) - 1], rng=rng)
        assert torch.equal((batch.image[:, 0] % 251 % 3).to(torch.uint8), batch.mask)
        seen.add(int(batch.image[0, 0, 0, 0]))
    assert len(seen) > 5


def test_parts_of_a_batch_make_the_whole() -> None:
    batch = store(plane()).read([0, 1, 2, 3, 4])
    parts = batch.split(2)
    assert [len(part.mask) for part in parts] == [3, 2]
    for name in ("image", "mask", "offset", "scale"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(batch, name)), name


@pytest.mark.parametrize("edge", ["drop", "cover"])
def test_random_places_cover_the_whole_plane(edge: str) -> None:
    one = DecodedImage("p", np.arange(40 * 50).reshape(1, 40, 50).astype(np.uint16), plane().mask)
    patches = store(one, edge=edge, step=30)
    rng = np.random.default_rng(0)
    numbers = list(range(len(patches)))
    seen = {int(v) for _ in range(200) for v in patches.read(numbers, rng=rng).image.flatten()}
    assert len(seen) > 0.97 * 40 * 50


def show(patches: BatchReader, shape: tuple[int, int], *, epochs: int) -> np.ndarray:
    """How often each pixel of the plane, whose first channel counts its pixels, is shown."""
    rng = np.random.default_rng(0)
    shown = np.zeros(shape[0] * shape[1])
    for _ in range(epochs):
        image = patches.read(range(len(patches)), rng=rng).image[:, 0].numpy()
        shown += np.bincount(image.ravel(), minlength=shown.size)
    return (shown / epochs).reshape(shape)


@pytest.mark.parametrize("length", [64, 33, 56, 160])
def test_random_places_show_borders_about_as_often_as_the_rest(length: int) -> None:
    pixels = np.arange(length * 32, dtype=np.uint16).reshape(1, length, 32)
    one = DecodedImage("p", pixels, np.zeros((length, 32), np.uint8))
    shown = show(store(one, size=32), (length, 32), epochs=400)[:, 0]
    assert shown[[0, -1]].min() > 0.25 * shown.max()
    assert shown.min() > 0.25 * shown.max()
    assert shown[0] == pytest.approx(shown[-1], rel=0.3)


def test_corners_are_shown_too() -> None:
    one = DecodedImage(
        "p", np.arange(64 * 64, dtype=np.uint16).reshape(1, 64, 64), plane(64, 64).mask
    )
    shown = show(store(one, size=32), (64, 64), epochs=400)
    assert shown.min() > shown.max() / 8  # two axes


@pytest.mark.parametrize("least", [0.0, 0.05], ids=["annotated", "foreground"])
def test_random_places_show_what_the_grid_asks_for(least: float) -> None:
    mask = np.full((128, 128), VOID, np.uint8)
    mask[:4] = np.arange(128) % 2  # 4 rows of 32
    mask[90:94, 60:64] = 1
    pixels = np.arange(128 * 128, dtype=np.uint16).reshape(1, 128, 128)
    config = PatchConfig.create(size=32, min_foreground=least)
    norm = create_range(pixels.dtype, 1)
    patches = create_reader([DecodedImage("p", pixels, mask)], config, norm, skip_void=True)
    numbers, rng = list(range(len(patches))), np.random.default_rng(0)
    places = set()
    for _ in range(100):
        batch = patches.read(numbers, rng=rng)
        assert (batch.mask != VOID).flatten(1).any(1).all()
        assert ((batch.mask == 1).float().mean((1, 2)) >= least).all()
        places |= set(batch.image[:, 0, 0, 0].tolist())
    assert len(places) > len(patches)


def test_a_part_of_a_batch_has_the_places_of_the_whole() -> None:
    mask = np.full((128, 128), VOID, np.uint8)
    mask[60:64, 60:64] = 1
    pixels = np.arange(128 * 128, dtype=np.uint16).reshape(1, 128, 128)
    norm = create_range(pixels.dtype, 1)
    config = PatchConfig.create(size=32, step=8)
    patches = create_reader([DecodedImage("p", pixels, mask)], config, norm, skip_void=True)
    numbers = list(range(len(patches)))
    whole, half = (
        patches.read(numbers, rng=np.random.default_rng(4), part=part)
        for part in (slice(None), slice(5, 9))
    )
    assert torch.equal(whole.image[5:9], half.image)


def test_percentiles_are_those_of_the_whole_image() -> None:
    dark, bright = plane(), DecodedImage("b", plane().image // 2 + 100, plane().mask)
    patches = create_reader([dark, bright], PatchConfig.create(size=16), create_percentile())
    first, last = patches.read([0]), patches.read([len(patches) - 1])
    assert float(first.offset) == pytest.approx(np.percentile(dark.image, 1), abs=0.5)
    assert float(last.offset) == pytest.approx(np.percentile(bright.image, 1), abs=0.5)


def test_patches_without_annotation_can_be_left_out() -> None:
    one = plane(32, 32)
    mask = np.full((32, 32), VOID, np.uint8)
    mask[20, 5] = 0
    sparse = DecodedImage("sparse", one.image, mask)
    norm, patches = create_range(one.image.dtype, 1), PatchConfig.create(size=16)
    assert len(create_reader([sparse], patches, norm)) == 4
    left = create_reader([sparse], patches, norm, skip_void=True)
    assert len(left) == 1
    assert torch.equal(left.read([0]).mask[0], torch.from_numpy(mask[16:, :16]))


def test_foreground_share_leaves_patches_out() -> None:
    empty = DecodedImage("e", plane().image, np.zeros((40, 50), np.uint8))
    void = DecodedImage("v", plane().image, np.full((40, 50), VOID, np.uint8))
    assert len(store(plane(), empty, void)) == 3 * len(store(plane()))
    assert len(store(plane(), empty, void, min_foreground=0.5)) == len(store(plane()))


def test_a_patch_larger_than_an_image_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"larger than p.+40 x 50.+--size"):
        store(plane(), size=48)
