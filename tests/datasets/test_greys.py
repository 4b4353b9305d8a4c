"""Greys of lossy and soft masks: cut in two only where there are two levels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pixelwise.datasets import inspect_dataset, load_dataset
from tests.datasets.test_mask_files import byte, compress, fatal, inspect, shares, smooth
from tests.disks import SHARE, SIDE, write_set

Array = np.ndarray


def with_square(seed: int, mask: Array, *, value: int, side: int) -> Array:
    """Disks of 255 and one small square of another value; `side` in pixels."""
    drawn = byte(mask)
    square = np.zeros_like(mask)
    square[40 + seed : 40 + seed + side, 60 : 60 + side] = True
    drawn[square & ~mask] = value
    return drawn


@pytest.mark.parametrize("value", [64, 128, 160, 200])
@pytest.mark.parametrize(("quality", "side"), [(95, 6), (90, 8), (75, 12), (40, 16)])
def test_a_small_third_level_of_jpeg_is_not_cut_away(
    tmp_path: Path, value: int, quality: int, side: int
) -> None:
    def draw(seed: int, mask: Array) -> Array:
        return with_square(seed, mask, value=value, side=side)

    root = write_set(tmp_path, draw, suffix=".jpg", quality=quality)
    message = fatal(inspect(root))
    assert "not clean" in message
    assert "0-127" not in message  # what would cut it away all the same


@pytest.mark.parametrize("value", [128, 200])
def test_a_third_level_in_one_mask_of_many(tmp_path: Path, value: int) -> None:
    def draw(seed: int, mask: Array) -> Array:
        return with_square(seed, mask, value=value, side=12 if seed == 11 else 0)

    root = write_set(tmp_path, draw, count=20, suffix=".jpg", quality=90)
    assert "not clean" in fatal(inspect(root))


@pytest.mark.parametrize("quality", [20, 25, 30, 50, 60, 85])
@pytest.mark.parametrize("shape", ["disks", "holes", "lines"])
def test_two_levels_of_jpeg_are_cut(tmp_path: Path, quality: int, shape: str) -> None:
    y, x = np.mgrid[:SIDE, :SIDE]

    def draw(seed: int, mask: Array) -> Array:
        drawn = {"disks": mask, "holes": ~mask, "lines": (y + 2 * x // 7 + seed) % 17 < 4}
        return byte(drawn[shape])

    found = inspect(write_set(tmp_path, draw, suffix=".jpg", quality=quality))
    assert found.sound
    if shape == "disks":
        assert shares(found)["foreground"] == pytest.approx(SHARE, abs=5e-3)


def soft(seed: int, mask: Array, *, value: int, side: int = 14) -> Array:
    drawn = with_square(seed, mask, value=value, side=side).astype(float)
    return gaussian_filter(drawn, 0.6).round().astype(np.uint8)


@pytest.mark.parametrize("value", [128, 200])
def test_a_small_third_level_of_soft_masks_is_not_cut_away(tmp_path: Path, value: int) -> None:
    message = fatal(inspect(write_set(tmp_path, lambda s, m: soft(s, m, value=value))))
    assert "not clean" in message
    assert "--classes" not in message


def advised(message: str) -> str:
    found = re.search(r"--classes ('[^']+'|\S+)\.", message)
    assert found, message
    return found[1].strip("'")


def reach_200(_: int, mask: Array) -> Array:
    return gaussian_filter(mask * 200.0, 1.2).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("draw", "ranges"),
    [
        (smooth(2), "0-127=background,128-255=foreground"),
        (reach_200, "0-100=background,101-255=foreground"),
    ],
    ids=["0-255", "0-200"],
)
def test_soft_masks_of_two_levels_get_one_cut(tmp_path: Path, draw: Any, ranges: str) -> None:
    root = write_set(tmp_path, draw)
    assert advised(fatal(inspect(root))) == ranges
    found = inspect_dataset(load_dataset(root, classes=ranges))
    assert shares(found)["foreground"] == pytest.approx(SHARE, abs=5e-3)


def test_lossy_masks_saved_again_with_a_third_level(tmp_path: Path) -> None:
    def draw(seed: int, mask: Array) -> Array:
        return compress(with_square(seed, mask, value=128, side=12), 90)

    assert "not clean" in fatal(inspect(write_set(tmp_path, draw)))
