"""Synthetic disks on a noisy ground: images and masks whose shares are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

Array = npt.NDArray[Any]
SIDE = 96
SHARE = 5221 / (6 * SIDE * SIDE)
"""Share of the disks in the pixels of the first six masks."""


def disks(seed: int, shape: tuple[int, int] = (SIDE, SIDE)) -> Array:
    """Six disks, bool (Y, X)."""
    height, width = shape
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    y, x = np.mgrid[:height, :width]
    for _ in range(6):
        row, column = rng.integers(4, height - 4), rng.integers(4, width - 4)
        mask |= (y - row) ** 2 + (x - column) ** 2 < rng.integers(4, 11) ** 2
    return mask


def picture(mask: Array, seed: int) -> Array:
    """Noisy picture of a mask, uint8 (Y, X)."""
    noise = np.random.default_rng(seed + 100).normal(0, 15, mask.shape)
    return np.clip(60 + 100 * mask + noise, 0, 255).astype(np.uint8)


def number(mask: Array) -> tuple[Array, int]:
    """Connected regions of a mask, numbered from 1, and their count."""
    from skimage.measure import label

    numbered = label(mask)
    return numbered, int(numbered.max())


def write_set(
    root: Path,
    draw: Callable[[int, Array], Array],
    *,
    count: int = 6,
    suffix: str | Callable[[int], str] = ".png",
    **options: Any,
) -> Path:
    """Write images and the masks that `draw` makes of (number, disks); `options` are Pillow's."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        mask = disks(seed)
        Image.fromarray(picture(mask, seed)).save(root / "images" / f"{seed}.png")
        ending = suffix if isinstance(suffix, str) else suffix(seed)
        path = root / "masks" / f"{seed}{ending}"
        drawn = draw(seed, mask)
        if ending == ".tif":
            tifffile.imwrite(path, drawn)
        else:
            Image.fromarray(drawn).save(path, **(options if ending == ".jpg" else {}))
    return root
