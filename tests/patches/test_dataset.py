"""Patches by number: which there are, where they lie, and that image and mask go together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.classes import VOID
from pixelwise.config import PatchConfig
from pixelwise.errors import DataError
from pixelwise.normalization import create_percentile, create_range
from pixelwise.patches.dataset import PatchDataset
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.patches.windows import Window, iter_windows

RANGE = create_range(np.dtype(np.uint16), 2)


def decode(mask: np.ndarray, name: str = "a") -> DecodedImage:
    """Make an image whose pixels tell where they are: rows in one channel, columns in the other."""
    return DecodedImage(name, np.indices(mask.shape).astype(np.uint16), mask)


def create(*masks: np.ndarray, size: int = 16, **options: Any) -> PatchDataset:
    windows = {
        name: options.pop(name) for name in ("step", "edge", "min_foreground") & options.keys()
    }
    images = [decode(mask, f"image {number}") for number, mask in enumerate(masks)]
    return PatchDataset(images, PatchConfig.create(size=size, **windows), RANGE, **options)


def list_places(dataset: PatchDataset) -> list[tuple[int, Window]]:
    return dataset.place(range(len(dataset)))


@given(st.lists(st.tuples(st.integers(16, 50), st.integers(16, 50)), min_size=1, max_size=3))
def test_numbers_go_through_the_grids_of_all_images(shapes: list[tuple[int, int]]) -> None:
    dataset = create(*(np.zeros(shape, np.uint8) for shape in shapes), step=12)
    grid = PatchConfig.create(size=16, step=12)
    expected = [
        (n, window) for n, shape in enumerate(shapes) for window in iter_windows(shape, grid)
    ]
    assert list_places(dataset) == expected
    assert len(dataset) == len(expected)


@given(st.integers(0, 99), st.booleans())
def test_what_is_cut_is_what_lies_there(seed: int, moved: bool) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.integers(0, 9, shape).astype(np.uint8) for shape in ((40, 50), (16, 33))]
    dataset = create(*masks)
    places = dataset.place(rng.permutation(len(dataset)).tolist(), rng if moved else None)
    images, cut = dataset.cut(places)
    assert (images.dtype, images.shape) == (np.uint16, (len(places), 2, 16, 16))
    for image, mask, (number, window) in zip(images, cut, places, strict=True):
        assert image[:, 0, 0].tolist() == [window.y, window.x]
        assert image[:, -1, -1].tolist() == [window.y + 15, window.x + 15]
        np.testing.assert_array_equal(mask, masks[number][window.slices])


def test_the_same_generator_gives_the_same_places() -> None:
    dataset = create(np.zeros((70, 80), np.uint8))
    numbers = list(range(len(dataset)))
    first, again = (dataset.place(numbers, np.random.default_rng(3)) for _ in range(2))
    assert first == again
    assert first != dataset.place(numbers, np.random.default_rng(4))
    assert first != dataset.place(numbers)


@pytest.mark.parametrize(("background", "kept"), [(0, [0, 1]), (None, [0, 1, 2])])
def test_foreground_is_annotated_and_no_background(background: int | None, kept: list[int]) -> None:
    mask = np.zeros((16, 64), np.uint8)
    mask[:, :16] = 1  # the first patch is all foreground, the second half, the last void
    mask[:8, 16:32] = 2
    mask[:, 48:] = VOID
    dataset = create(mask, min_foreground=0.5, background=background)
    assert [window.x // 16 for _, window in list_places(dataset)] == kept


@given(st.integers(0, 999))
def test_a_moved_patch_is_wanted_too_or_stays(seed: int) -> None:
    mask = np.full((40, 40), VOID, np.uint8)
    mask[4:7, 30:33] = 1
    dataset = create(mask, skip_void=True)
    (place,) = list_places(dataset)[:1]
    (moved,) = dataset.place([0], np.random.default_rng(seed))
    assert (dataset.cut([moved])[1] != VOID).any()
    assert abs(moved[1].y - place[1].y) <= 16


def test_patches_of_void_are_left_out_where_that_is_asked() -> None:
    mask = np.full((32, 32), VOID, np.uint8)
    mask[0, 0] = 0
    assert len(create(mask)) == 4
    assert list_places(create(mask, skip_void=True)) == [(0, Window(0, 0, 16, 16))]


@pytest.mark.parametrize("once", [False, True])
def test_a_patch_that_shows_nothing_new_is_left_out_for_scoring(once: bool) -> None:
    mask = np.full((16, 24), VOID, np.uint8)
    mask[:, 10] = 1  # both patches show it: 0 to 16 and 8 to 24
    dataset = create(mask, skip_void=True, once=once)
    assert [window.x for _, window in list_places(dataset)] == ([0] if once else [0, 8])


def test_what_was_shown_before_is_hidden() -> None:
    dataset = create(np.zeros((24, 24), np.uint8))
    _, masks = dataset.cut(list_places(dataset))
    dataset.hide_shown(masks, range(len(dataset)))
    assert [int((mask != VOID).sum()) for mask in masks] == [256, 128, 128, 64]
    assert (masks[3][8:, 8:] == 0).all()


def test_each_image_is_normalised_by_its_own_percentiles() -> None:
    images = [
        DecodedImage(
            "dark", np.arange(256, dtype=np.uint16).reshape(1, 16, 16), np.zeros((16, 16))
        ),
        DecodedImage("bright", np.full((1, 16, 16), 900, np.uint16), np.zeros((16, 16))),
    ]
    normalization = create_percentile()
    dataset = PatchDataset(images, PatchConfig.create(size=16), normalization)
    offset, scale = dataset.find_normalization(dataset.place([1, 0, 1]))
    assert offset.shape == scale.shape == (3, 1, 1, 1)
    expected = [normalization.parameters(images[n].image) for n in (1, 0, 1)]
    np.testing.assert_array_equal(offset.ravel(), [low[0] for low, _ in expected])
    np.testing.assert_array_equal(scale.ravel(), [width[0] for _, width in expected])


def test_bytes_are_those_of_images_and_masks() -> None:
    assert create(np.zeros((20, 30), np.uint8)).nbytes == 20 * 30 * (2 * 2 + 1)


def test_an_image_that_is_too_small_is_named() -> None:
    with pytest.raises(DataError, match=r"larger than image 1, which has 15 x 40"):
        create(np.zeros((40, 40), np.uint8), np.zeros((15, 40), np.uint8))
